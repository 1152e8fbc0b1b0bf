"""Workers killed in the middle of commits to an object store that answers badly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from lab.faults.crashes import ENVIRONMENT, begin, finish
from lab.faults.installation import PATIENCE_S, Installation, wait_until
from lab.faults.object_proxy import ObjectProxy, proxied
from lab.faults.object_server import ObjectServer
from lab.faults.outcome import Outcome

FAULTY = 0.05
"""Share of requests that are slow, refused, cut in the middle, or lose their answer."""


def kill_between_objects(
    data_dir: Path, events: int, rate: float, seed: int, times: int
) -> Outcome:
    """SIGKILL the workers of two hosts when one has uploaded a file and not yet committed it."""
    outcome = Outcome(
        "objects",
        "archive in an S3 server that fails now and then; SIGKILL of the workers of two hosts in "
        "the middle of a commit; one comes back with an empty directory",
    )
    with ObjectServer.running() as server, proxied(server.port) as proxy:
        found = {**server.environment(proxy.port), "FEED_DATA_URL": server.new_url()}
        environment = {**ENVIRONMENT, **found, "FEED_ARCHIVE_EVENTS": "200"}
        os.environ |= {name: value for name, value in found.items() if name.startswith("AWS_")}
        proxy.chance = FAULTY
        with Installation(data_dir, environment=environment) as installation:
            load, probe = begin(installation, events, rate, seed)
            url = installation.settings().redis_url
            other = Installation(
                data_dir.with_name("other"),
                url,
                {**environment, "FEED_REDIS_URL": url},
            )
            second = _start_empty(other)
            try:
                while outcome.times < times:
                    await_upload(proxy)
                    installation.signal("worker", signal.SIGKILL, max)
                    second.kill()
                    second.wait(PATIENCE_S)
                    second = _start_empty(other)
                    outcome.times += 1
                proxy.chance = 0.0
                finish(installation, load, probe, outcome)
            finally:
                second.terminate()
                second.wait(PATIENCE_S)
        outcome.remarks.append(f"{len(proxy.seen):,} requests to the object store")
    return outcome


def await_upload(proxy: ObjectProxy) -> None:
    """Wait until a file of rows has come: its commit is not made yet."""
    before = len(proxy.seen)

    def has_come() -> bool:
        return any(m == "PUT" and p.endswith(".parquet") for m, p in proxy.seen[before:])

    wait_until(has_come, "a worker to upload a file", poll_s=0.002)


def _start_empty(other: Installation) -> subprocess.Popen[bytes]:
    shutil.rmtree(other.data_dir, ignore_errors=True)
    other.data_dir.mkdir(parents=True)
    return other.run_beside("worker")
