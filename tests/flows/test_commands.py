"""`feed ingest`, `encode`, `backup` and `restore` as people type them, on a real store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from werkzeug.serving import make_server

from feed.client import FeedClient
from feed.commands.opening import open_store
from feed.config import Settings
from feed.domain import AiGenerated, Event, EventKind, format_time
from feed.features.embeddings import SENTENCE_ENCODER
from feed.service.app import create_app
from feed.storage.embedded import EmbeddedStore
from feed.storage.records import AuditEntry
from feed.storage.redis_store import RedisStore

Run = Callable[..., subprocess.CompletedProcess[str]]

ARTICLES = [
    {
        "article_id": f"a{number}",
        "title": f"{subject} in district {number}",
        "published_at": format_time(time.time() - 60 * number),
    }
    for number, subject in enumerate(["Ferry strike", "Storm warning", "Rate decision"] * 8)
]
EVENTS = [
    {"event_id": f"e{n}", "user_id": f"u{n}", "article_id": "a0", "kind": "click"} for n in range(3)
]


@pytest.fixture
def run(store_url: str, tmp_path: Path) -> Run:
    """Run a `feed` command in a process of its own, on the session's store."""

    def call(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "FEED_REDIS_URL": store_url, "FEED_ENCODER": "none"}
        return subprocess.run(
            [sys.executable, "-m", "feed", *arguments],
            env={**environment, **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def service(store: RedisStore, store_settings: Settings) -> Iterator[str]:
    """A web process, in a thread; the address that it answers on."""
    app = create_app(replace(store_settings, encoder="none"), store)
    app.extensions["feed"].keeper.refresh()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def lines_file(folder: Path, *documents: object) -> str:
    path = folder / "documents.jsonl"
    path.write_text("\n".join(json.dumps(document) for document in documents) + "\n")
    return str(path)


def test_articles_and_events_are_ingested_once(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = lines_file(tmp_path, *ARTICLES, *EVENTS)
    first = run("ingest", path, "--url", service)
    assert (first.returncode, first.stderr) == (0, "")
    assert (
        first.stdout == "24 articles sent; events: 3 accepted, 0 duplicate, 0 waiting, 0 rejected\n"
    )
    assert all(store.read_articles([str(a["article_id"]) for a in ARTICLES]))
    again = run("ingest", path, "--url", service)
    assert "0 accepted, 3 duplicate" in again.stdout


def test_an_erased_article_is_named_and_not_counted_as_sent(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = lines_file(tmp_path, *ARTICLES)
    assert run("ingest", path, "--url", service).returncode == 0
    assert store.erase_article(str(ARTICLES[0]["article_id"]), AuditEntry(1.0, "ed", "erased", "a"))
    again = run("ingest", path, "--url", service)
    assert again.returncode == 0
    assert again.stdout.startswith(f"{len(ARTICLES) - 1} articles sent;")
    assert str(ARTICLES[0]["article_id"]) in again.stderr
    assert "was erased" in again.stderr


def test_a_wrong_line_is_named_and_the_others_are_sent_unless_it_is_strict(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = lines_file(tmp_path, ARTICLES[0], {**ARTICLES[1], "published_at": "yesterday"})
    refused = run("ingest", path, "--url", service, "--strict")
    assert refused.returncode == 2
    assert "published_at" in refused.stderr
    assert store.read_articles(["a0"]) == [None]
    for option in ([], ["--skip-invalid"]):
        taken = run("ingest", path, "--url", service, *option)
        assert (taken.returncode, taken.stdout[:15]) == (0, "1 articles sent"), taken.stderr
        assert "line 2  published_at" in taken.stderr
    assert store.read_articles(["a0", "a1"])[1] is None


def test_a_file_without_anything_valid_is_refused(run: Run, service: str, tmp_path: Path) -> None:
    refused = run("ingest", lines_file(tmp_path, {"title": "No id"}), "--url", service)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "article_id" in refused.stderr


def test_events_of_another_month_are_left_out(run: Run, service: str, tmp_path: Path) -> None:
    times = {"old": time.time() - 31 * 86_400, "ahead": time.time() + 3600, "now": time.time()}
    events = [
        {**EVENTS[0], "event_id": name, "occurred_at": format_time(at)}
        for name, at in times.items()
    ]
    sent = run("ingest", lines_file(tmp_path, ARTICLES[0], *events), "--url", service)
    assert (sent.returncode, sent.stdout.split("; ")[1]) == (
        0,
        "events: 1 accepted, 0 duplicate, 0 waiting, 0 rejected\n",
    )
    assert "old     occurred_at  must be at most 30 days in the past" in sent.stderr
    assert "ahead   occurred_at  must be at most 5 minutes in the future" in sent.stderr


FEED = """<rss version="2.0"><channel><title>Quay</title><link>https://quay.example/</link>
<item><title>Dated</title><guid>1</guid><pubDate>{today}</pubDate></item>
<item><title>Undated</title><guid>https://quay.example/2?a=b#c</guid></item>
<item><guid>3</guid></item></channel></rss>"""


def test_one_bad_entry_of_a_feed_does_not_lose_the_others_unless_it_has_to(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED.format(today=format_time(time.time() - 60)))
    refused = run("ingest", str(path), "--url", service, "--strict")
    assert refused.returncode == 2
    assert store.read_articles(["quay.example:1"]) == [None]
    taken = run("ingest", str(path), "--url", service)
    assert (taken.returncode, taken.stdout[:16]) == (0, "2 articles sent;")
    assert "1 left out" in taken.stderr
    assert "has neither a title nor a text" in taken.stderr
    assert "https://quay.example/2?a=b#c  published_at" in taken.stderr


def test_an_undated_entry_keeps_the_time_when_it_was_first_seen(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED.format(today=format_time(time.time() - 60)))
    times = []
    for _ in range(2):
        assert run("ingest", str(path), "--url", service).returncode == 0
        (stored,) = store.read_articles(["https://quay.example/2?a=b#c"])
        assert stored is not None
        times.append(stored.article.published_at)
    assert times[0] == times[1] == pytest.approx(time.time(), abs=60)


def test_reading_a_source_again_undoes_no_decision_of_the_desk(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(FEED.format(today=format_time(time.time() - 60)))
    lines = lines_file(tmp_path, *ARTICLES[:4])
    for source in (str(path), lines):
        assert run("ingest", source, "--url", service).returncode == 0
    with FeedClient(service) as desk:
        desk.call("DELETE", "/v1/articles/quay.example:1")
        desk.call("DELETE", "/v1/articles/a0")
        desk.call("DELETE", "/v1/articles/a1", query={"purge": "true"})
        desk.call("PATCH", "/v1/articles/a2", body={"sponsored": True})
        whole = {**ARTICLES[3], "ai_generated": "assisted", "expires_at": "2099-01-01T00:00:00Z"}
        desk.call("PUT", "/v1/articles/a3", body={k: whole[k] for k in whole if k != "article_id"})
    for source in (str(path), lines):
        assert run("ingest", source, "--url", service).returncode == 0
    dated, first, second, third, fourth = store.read_articles(
        ["quay.example:1", "a0", "a1", "a2", "a3"]
    )
    assert dated is not None
    assert first is not None
    assert third is not None
    assert fourth is not None
    assert dated.article.retracted
    assert first.article.retracted
    assert second is None
    assert third.article.sponsored
    assert fourth.article.ai_generated is AiGenerated.ASSISTED
    assert fourth.article.expires_at is not None


def test_an_unknown_zone_is_refused(run: Run, service: str, tmp_path: Path) -> None:
    refused = run("ingest", str(tmp_path), "--url", service, "--zone", "Mars/Olympus")
    assert refused.returncode == 2
    assert "Europe/Berlin" in refused.stderr


def test_articles_are_encoded_anew_after_a_change_of_encoder(
    run: Run, service: str, store: RedisStore, tmp_path: Path
) -> None:
    assert run("ingest", lines_file(tmp_path, *ARTICLES), "--url", service).returncode == 0
    where = ("--data", str(tmp_path))
    refused = run("encode", *where, FEED_ENCODER="tfidf")
    assert refused.returncode == 2
    assert refused.stderr.endswith("FEED_ENCODER: tfidf is not fitted yet: run feed encode --fit\n")
    fitted = run("encode", "--fit", *where, FEED_ENCODER="tfidf")
    assert (fitted.returncode, fitted.stdout) == (0, "encoded 24 articles\n"), fitted.stderr
    stored = [state.stored for state in store.read_states(["a0", "a3", "a1"])]
    ferry, other_ferry, storm = (each.embedding for each in stored if each)
    assert ferry @ other_ferry > ferry @ storm + 0.3
    assert stored[0] is not None
    assert stored[0].encoder.startswith("tfidf-svd-")
    again = run("encode", *where, FEED_ENCODER="tfidf", FORCE_COLOR="1", COLUMNS="100")
    assert again.stdout == "encoded 0 articles\n"
    assert "24/24" in again.stderr, "a terminal gets a bar"
    assert "looked at" not in again.stderr
    sentences = run("encode", *where, FEED_ENCODER="sentence")
    assert sentences.stdout == "encoded 24 articles\n", sentences.stderr
    assert sentences.stderr.endswith("24 of 24 articles looked at, 24 encoded\n")
    stored_anew = store.read_states(["a0"])[0].stored
    assert stored_anew is not None
    assert (stored_anew.encoder, stored_anew.embedding.shape) == (SENTENCE_ENCODER, (512,))


def test_fitting_on_too_few_articles_is_refused_in_one_line(
    run: Run, store: RedisStore, tmp_path: Path
) -> None:
    refused = run("encode", "--fit", "--data", str(tmp_path), FEED_ENCODER="tfidf")
    assert refused.returncode == 2
    assert "needs 20 articles or more" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_an_installation_is_backed_up_and_restored(
    run: Run,
    service: str,
    store: RedisStore,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    assert run("ingest", lines_file(tmp_path, *ARTICLES, *EVENTS), "--url", service).returncode == 0
    store.append_events([_like("u0")])
    archived = tmp_path / "archive" / "events" / "day=2026-01-01" / "part.parquet"
    archived.parent.mkdir(parents=True)
    archived.write_bytes(b"rows")
    copy = tmp_path_factory.mktemp("copies") / "copy"
    saved = run("backup", str(copy), "--data", str(tmp_path))
    assert saved.returncode == 0, saved.stderr
    assert saved.stdout.startswith("saved ")
    target = tmp_path_factory.mktemp("restored")
    with EmbeddedStore(target) as server:
        restored = run("restore", str(copy), "--data", str(target), FEED_REDIS_URL=server.url)
        assert restored.returncode == 0, restored.stderr
        assert restored.stdout == saved.stdout.replace("saved", "restored")
        other = RedisStore(replace(Settings(), redis_url=server.url, store_timeout_ms=5000))
        assert other.read_reader("u0") == store.read_reader("u0")
        assert other.read_reader("u0").reactions == {"a0": EventKind.LIKE}
        for before, after in zip(
            store.read_articles(["a0", "a9"]), other.read_articles(["a0", "a9"]), strict=True
        ):
            assert before is not None
            assert after is not None
            assert before.article == after.article
            np.testing.assert_array_equal(before.embedding, after.embedding)
        other.close()
        assert (target / archived.relative_to(tmp_path)).read_bytes() == b"rows"
        twice = run("restore", str(copy), "--data", str(target), FEED_REDIS_URL=server.url)
        assert twice.returncode == 2
        assert len(twice.stderr.strip().splitlines()) == 1


def test_without_a_store_a_backup_ends_with_one_line(run: Run, tmp_path: Path) -> None:
    away = f"unix://{tmp_path}/none.sock"
    failed = run("backup", str(tmp_path / "copy"), "--data", str(tmp_path), FEED_REDIS_URL=away)
    assert failed.returncode == 1
    assert len(failed.stderr.strip().splitlines()) == 1
    assert "no store answers" in failed.stderr


def test_commands_at_once_share_the_store_that_one_of_them_starts(tmp_path: Path) -> None:
    settings = replace(Settings(), data_dir=tmp_path)

    def use(seconds: float) -> int:
        with open_store(settings) as store:
            time.sleep(seconds)
            store.ping()
            return store.partitions

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(use, (0.0, 0.3, 0.0, 0.1, 0.0, 0.2) * 2))
    assert found == [settings.partitions] * 12


def _like(user_id: str) -> Event:
    return Event(
        event_id="like",
        user_id=user_id,
        article_id="a0",
        kind=EventKind.LIKE,
        occurred_at=time.time(),
        received_at=time.time(),
    )
