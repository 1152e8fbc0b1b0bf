"""The contract of CatalogueStore, on a real server."""

from dataclasses import replace

import numpy as np
import orjson

from feed.domain import AiGenerated, Pin
from feed.storage.article_codec import decode_article, encode_meta, encode_whole
from feed.storage.records import AuditEntry, ChangeBatch, Contribution, WriteOutcome

NOW = 1_780_000_000.0
DONE = AuditEntry(NOW, "ed", "erased", "articles/a")


def test_articles_come_back_whole_in_the_order_asked(store, make_article):
    full = make_article(
        "a",
        standfirst="S",
        url="https://example.org/a",
        section="sport",
        tags=("x", "y"),
        source="s",
        author="w",
        language="de",
        updated_at=NOW + 1,
        expires_at=NOW + 2,
        ai_generated=AiGenerated.ASSISTED,
        human_reviewed=True,
        sponsored=True,
        retracted=True,
    )
    store.write_articles([full, make_article("b")])
    found = store.read_articles(["b", "missing", "a"])
    assert found[1] is None
    assert found[0].article.article_id == "b"
    assert found[2].article == full.article
    assert (found[2].encoder, found[2].text_hash, found[2].added_at) == ("tfidf", "hash", NOW)
    assert found[2].embedding.shape == (0,)
    state = store.read_states(["a"])[0].stored
    np.testing.assert_allclose(state.embedding, full.embedding, atol=5e-4)
    assert store.read_articles([]) == []


def test_a_publishers_vector_and_an_article_without_one(store, make_article):
    supplied = make_article("a", embedding=(0.5, -0.25))
    supplied = replace(supplied, embedding=np.array([0.5, -0.25], np.float32))
    bare = replace(make_article("b"), embedding=np.zeros(0, np.float32))
    store.write_articles([supplied, bare])
    first, second = (state.stored for state in store.read_states(["a", "b"]))
    assert first.article.embedding == (0.5, -0.25)
    assert second.article.embedding is None
    assert second.embedding.shape == (0,)


def test_another_vector_of_a_publisher_is_another_state(store, make_article):
    def with_vector(*values):
        article = make_article("a", embedding=values)
        return replace(article, embedding=np.array(values, np.float32))

    store.write_articles([with_vector(0.5, -0.25)])
    digests = [store.read_states(["a"])[0].digest]
    store.write_articles([with_vector(0.5, 0.25)])
    digests.append(store.read_states(["a"])[0].digest)
    assert len(set(digests)) == 2
    outdated = store.write_articles([with_vector(0.0, 1.0)], digests[:1])
    assert outdated == [WriteOutcome.CONFLICT]
    assert store.read_states(["a"])[0].stored.article.embedding == (0.5, 0.25)


def test_an_article_that_an_earlier_version_wrote_has_its_vector_twice(store, make_article):
    supplied = replace(
        make_article("a", embedding=(0.5, -0.25)), embedding=np.array([0.5, -0.25], np.float32)
    )
    vector = np.array([0.5, -0.25], np.float16).tobytes()
    whole, meta = encode_whole(supplied) + vector, encode_meta(supplied)
    assert decode_article(whole) == decode_article(whole, meta) == supplied
    assert decode_article(whole, meta).embedding.tolist() == [0.5, -0.25]


def test_a_scan_yields_every_article_once_without_its_body(store, make_article):
    store.write_articles([make_article(f"a{n}") for n in range(1200)])
    found = list(store.scan_articles())
    assert {s.article.article_id for s in found} == {f"a{n}" for n in range(1200)}
    assert len(found) == 1200
    assert {s.article.body for s in found} == {""}


def test_changes_are_followed_from_a_position(store, make_article):
    start = store.catalogue_position()
    assert start == "0-0"
    assert store.changes_after(start) == ChangeBatch("0-0", ())
    store.write_articles([make_article("a"), make_article("b")])
    store.write_articles([make_article("a", title="Better")])
    batch = store.changes_after(start)
    assert not batch.gap
    titles = {c.article_id: c.stored.article.title for c in batch.changes}
    assert titles == {"a": "Better", "b": "A title"}
    assert batch.position == store.catalogue_position()
    assert store.changes_after(batch.position).changes == ()


def test_deletion_is_a_change_and_counts_what_was_there(store, make_article):
    store.write_articles([make_article("a")])
    position = store.catalogue_position()
    assert store.delete_articles(["a", "missing", "a"]) == 1
    assert store.delete_articles([]) == 0
    (change,) = store.changes_after(position).changes
    assert (change.article_id, change.stored) == ("a", None)
    assert store.read_articles(["a"]) == [None]
    assert list(store.scan_articles()) == []


def test_only_the_article_that_was_read_is_replaced(store, make_article):
    (state,) = store.read_states(["a"])
    assert (state.stored, state.digest, state.is_erased) == (None, "", False)
    assert store.write_articles([make_article("a")], [state.digest]) == [WriteOutcome.WRITTEN]
    position = store.catalogue_position()
    assert store.write_articles([make_article("a")], [state.digest]) == [WriteOutcome.CONFLICT]
    assert store.catalogue_position() == position
    (state,) = store.read_states(["a"])
    better = make_article("a", title="Better")
    assert store.write_articles([better], [state.digest]) == [WriteOutcome.WRITTEN]
    assert store.read_articles(["a"])[0].article.title == "Better"


def test_an_erased_article_is_not_written_until_it_is_restored(store, make_article):
    store.write_articles([make_article("a"), make_article("swept")])
    store.delete_articles(["swept"])
    assert not store.erase_article("unknown", DONE)
    assert store.erase_article("a", DONE)
    outcomes = store.write_articles([make_article(name) for name in ("a", "swept", "unknown")])
    assert outcomes == [WriteOutcome.ERASED, WriteOutcome.WRITTEN, WriteOutcome.WRITTEN]
    assert store.read_articles(["a"]) == [None]
    assert [state.is_erased for state in store.read_states(["a", "swept"])] == [True, False]
    assert store.restore_article("a", DONE)
    assert not store.restore_article("a", DONE)
    assert store.write_articles([make_article("a")]) == [WriteOutcome.WRITTEN]


def test_where_an_article_came_from_is_kept_with_it(store, make_article):
    full = replace(
        make_article("a"),
        fresh_at=NOW + 5,
        owned=frozenset({"title", "tags"}),
        origins=(Contribution("https://a.example/", ("Sport", "Local"), ("x",)), Contribution("b")),
        fillers={"author": "b"},
    )
    store.write_articles([full])
    assert store.read_articles(["a"]) == [full]
    (scanned,) = store.scan_articles()
    assert (scanned.fresh_at, scanned.owned, scanned.origins) == (NOW + 5, frozenset(), ())


def test_an_article_from_before_there_were_origins_can_be_read(store, make_article):
    old = encode_whole(make_article("a"))
    size = int.from_bytes(old[:4], "little")
    fields = orjson.loads(old[4 : 4 + size])
    del fields["fresh"], fields["other_sections"]
    text = orjson.dumps(fields)
    found = decode_article(len(text).to_bytes(4, "little") + text + old[4 + size :])
    assert (found.fresh_at, found.owned, found.origins, dict(found.fillers)) == (
        NOW, frozenset(), (), {},
    )  # fmt: skip


def test_a_position_that_was_trimmed_away_is_a_gap(store, make_article):
    store.change_log_max = 3
    store.write_articles([make_article("a")])
    lost = store.catalogue_position()
    store.write_articles([make_article(f"b{n}") for n in range(5)])
    batch = store.changes_after(lost)
    assert batch.gap
    assert batch.position == store.catalogue_position()
    assert store.changes_after("0-0").gap


def test_a_position_of_an_emptied_store_is_a_gap(store, make_article):
    store.write_articles([make_article("a")])
    position = store.catalogue_position()
    store._link.every_node("FLUSHALL")
    assert store.changes_after(position) == ChangeBatch("0-0", (), gap=True)


def test_long_change_logs_come_in_batches(store, make_article):
    store.changes_max = 4
    store.write_articles([make_article(f"a{n}") for n in range(10)])
    position, seen = "0-0", []
    while batch := store.changes_after(position):
        position = batch.position
        seen += [c.article_id for c in batch.changes]
        if not batch.changes:
            break
    assert seen == [f"a{n}" for n in range(10)]


def test_pins_are_written_only_over_those_that_were_read(store):
    pin = Pin(article_id="a", slot=0, starts_at=1.0, ends_at=9.0, attributes={"paid": ("yes", "")})
    done = AuditEntry(5.0, "ed", "pinned", "pins/a")
    pins, digest = store.read_pins()
    assert pins == []
    assert store.write_pins([pin], digest, done)
    assert not store.write_pins([], digest, done)
    assert store.read_pins()[0] == [pin]
    assert store.read_audit(5) == [done]


def test_old_articles_are_found_until_they_are_kept(store, make_article):
    old = replace(make_article("old", published_at=NOW - 100), added_at=NOW - 90)
    renewed = make_article("renewed", published_at=NOW - 100, updated_at=NOW)
    store.write_articles([old, replace(renewed, added_at=NOW - 90)])
    assert store.old_articles(NOW - 50, 10) == ["old"]
    store.keep_articles(["old", "unknown"], NOW)
    assert store.old_articles(NOW - 50, 10) == []
    assert store.old_articles(NOW + 50, 10) == ["old", "renewed"]
