"""The best that this machine allows: an empty answer, a store round trip, a dot product."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from feed.config import Settings
from feed.storage.embedded import EmbeddedStore
from feed.storage.redis_store import RedisStore
from lab.bench.load import get, run_load
from lab.bench.service import ENVIRONMENT
from lab.bench.world import REDUCED


def measure_floors(
    settings: Settings, body: bytes, articles: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Return `p50_ms` and `per_second` of the same JSON without work, a round trip, a product."""
    floors: dict[str, dict[str, float]] = {}
    answer = settings.data_dir / "answer.json"
    answer.write_bytes(body)
    for web, concurrency in ((1, 1), (2, 8)):
        with empty_flask(settings.port, answer, web):
            floors[f"empty answer, {concurrency} at once"] = run_load(
                settings.port,
                itertools.repeat(get("/")),
                concurrency=concurrency,
                seconds=seconds,
            ).summary()
    with EmbeddedStore(settings.data_dir) as server:
        store = RedisStore(replace(settings, redis_url=server.url))
        floors["store round trip"] = timed(store.catalogue_position)
        store.close()
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((articles, REDUCED)).astype(np.float32)
    vector = matrix[0].copy()
    floors["dot product"] = timed(lambda: matrix @ vector)
    return floors


@contextmanager
def empty_flask(port: int, answer: Path, web: int) -> Iterator[None]:
    """Serve one file's bytes from Flask, under the same gunicorn settings."""
    command = [sys.executable, "-m", "gunicorn", "--config", "python:feed.service.gunicorn_config"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(web), "lab.bench.floor:application"]
    environment = {**ENVIRONMENT, "BENCH_ANSWER": str(answer)}
    process = subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[2])
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)


def timed(call: Callable[[], object], times: int = 300) -> dict[str, float]:
    """Return the median milliseconds of a call, and how many of it a second has room for."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    median_s = float(np.median(taken))
    return {"p50_ms": median_s * 1e3, "per_second": 1 / median_s}
