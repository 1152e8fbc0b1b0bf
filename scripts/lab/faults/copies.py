"""Copies a whole installation while it runs, and restores it elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from feed.storage.archive import Archive
from lab.faults.crashes import ENVIRONMENT, READERS, begin, finish
from lab.faults.installation import Installation, wait_until
from lab.faults.load import ask_feed
from lab.faults.outcome import Outcome
from lab.faults.proof import reckon

WATCHED = [f"reader-{n:05d}" for n in range(0, READERS, 40)]


def backup_and_restore(data_dir: Path, events: int, rate: float, seed: int) -> Outcome:
    """`feed backup` under load, `feed restore` into an empty directory, and serve from it."""
    outcome = Outcome("backup", "feed backup under load, feed restore elsewhere", times=1)
    copy, restored = data_dir / "copy", data_dir / "restored"
    with Installation(data_dir / "original", environment=ENVIRONMENT) as original:
        load, probe = begin(original, events, rate, seed)
        wait_until(lambda: len(load.acknowledged) > events // 2, "half of the events")
        before = set(load.acknowledged)
        outcome.remarks.append(_feed("backup", str(copy), "--data", str(original.data_dir)))
        finish(original, load, probe, outcome)
        outcome.acknowledged = len(before)
    outcome.remarks.append(_feed("restore", str(copy), "--data", str(restored)))
    with Installation(restored, environment=ENVIRONMENT) as again:
        with closing(again.open_store()) as store:
            later = load.acknowledged | load.given_up
            found = reckon(store, Archive(restored / "archive"), before, later)
            histories = sum(bool(store.read_reader(user_id).history) for user_id in WATCHED)
        client = again.client()
        answer, _ = ask_feed(client, WATCHED[0])
        client.close()
    outcome.expect(found.is_clean, f"restored: {found}")
    outcome.expect(histories > 0, "no reader has a history any more")
    outcome.expect(answer.status == 200, f"the restored service answers {answer.status}")
    outcome.remarks.append(f"{found.archived} events archived after the restore")
    return outcome


def _feed(*arguments: str) -> str:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FEED_")}
    done = subprocess.run(
        [sys.executable, "-m", "feed", *arguments],
        env=kept, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"feed {arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout.strip()
