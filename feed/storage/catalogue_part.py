"""The catalogue in the store: articles, their change log, and pins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from feed.domain import Pin
from feed.storage import scripts
from feed.storage.article_codec import (
    decode_article,
    decode_pins,
    encode_meta,
    encode_pins,
    encode_whole,
)
from feed.storage.audit_part import audit_arguments, audited_call
from feed.storage.key_names import AUDIT_MAX, CHANGE_LOG_MAX
from feed.storage.link import ScriptCall
from feed.storage.part import START, StorePart, newest_entry, position_of
from feed.storage.records import (
    ArticleState,
    AuditEntry,
    CatalogueChange,
    ChangeBatch,
    StoredArticle,
    WriteOutcome,
)

SCAN_COUNT = 500
ARTICLES_PER_CALL = 100
WAITING = ""
"""Encoder of an article that waits for its vector."""
ANY_STATE = "*"
"""Given for a digest where the present state does not matter."""


class CataloguePart(StorePart):
    """Articles, their change log, ids of erased ones, and pins: one group of keys for scripts."""

    change_log_max = CHANGE_LOG_MAX
    changes_max = 5000
    """Log entries that `changes_after` looks at in one go."""

    def write_articles(
        self,
        articles: Sequence[StoredArticle],
        digests: Sequence[str] | None = None,
        entries: Sequence[AuditEntry | None] | None = None,
        anew: Sequence[bool] | None = None,
    ) -> list[WriteOutcome]:
        """Insert or replace articles and log the changes; atomic for each 100.

        An article that was erased is not written.

        Args:
            articles: what to write.
            digests: as `read_states` gave them; an article that has changed since is not written.
                None: every article is written whatever there was before.
            entries: for the audit log, each kept if its article is written; None: nobody acted by
                hand.
            anew: whether an article's vector comes from another encoder than the one that is
                there; that one is kept for `earlier_vectors`, unless an earlier one is kept
                already. None: no vector is kept.
        """
        outcomes: list[WriteOutcome] = []
        expected = digests or [ANY_STATE] * len(articles)
        notes = entries or [None] * len(articles)
        replaced = anew or [False] * len(articles)
        changes = list(zip(articles, expected, notes, replaced, strict=True))
        for start in range(0, len(changes), ARTICLES_PER_CALL):
            args: list[Any] = [self.change_log_max, AUDIT_MAX]
            for stored, digest, entry, is_replaced in changes[start : start + ARTICLES_PER_CALL]:
                args += [
                    stored.article.article_id,
                    digest,
                    encode_whole(stored),
                    encode_meta(stored),
                    _newest_time(stored),
                    int(stored.encoder == WAITING),
                    int(is_replaced),
                    _audit_text(entry),
                ]
            results = self._bulk.scripts([self._catalogue_call(scripts.WRITE_ARTICLES, args)])[0]
            outcomes += map(WriteOutcome, results)
        return outcomes

    def read_articles(self, article_ids: Sequence[str]) -> list[StoredArticle | None]:
        """Return articles with body, without vector, in the given order, None for unknown ones."""
        if not article_ids:
            return []
        key = self._keys.catalogue("articles")
        values = self._link.call(key, "HMGET", key, *article_ids)
        return [None if data is None else decode_article(data) for data in values]

    def read_states(self, article_ids: Sequence[str]) -> list[ArticleState]:
        """Return complete articles for a change that `write_articles` makes only to these."""
        if not article_ids:
            return []
        articles, meta, erased = map(self._keys.catalogue, ("articles", "meta", "erased"))
        # An article that is written between the replies has other bytes than its digest says.
        values, metas, times = self._link.pipeline(
            articles,
            [
                ("HMGET", articles, *article_ids),
                ("HMGET", meta, *article_ids),
                ("ZMSCORE", erased, *article_ids),
            ],
        )
        return [
            ArticleState(
                None if data is None else decode_article(data, described or b""),
                "" if data is None else hashlib.sha1(data, usedforsecurity=False).hexdigest(),
                at is not None,
            )
            for data, described, at in zip(values, metas, times, strict=True)
        ]

    def delete_articles(self, article_ids: Sequence[str]) -> int:
        """Remove articles, logging the change; return how many there were."""
        return self._delete(article_ids)

    def erase_article(self, article_id: str, entry: AuditEntry) -> bool:
        """Remove an article and keep it out until `restore_article`; return whether there was one.

        Args:
            article_id: which one.
            entry: for the audit log; says when.
        """
        return self._delete([article_id], entry) == 1

    def restore_article(self, article_id: str, entry: AuditEntry) -> bool:
        """Let an erased article be written again; return whether it was erased."""
        key, audit = self._keys.catalogue("erased"), self._keys.catalogue("audit")
        return bool(self._link.scripts([audited_call(key, audit, entry, "ZREM", article_id)])[0])

    def _delete(self, article_ids: Sequence[str], entry: AuditEntry | None = None) -> int:
        if not article_ids:
            return 0
        erased_at = repr(entry.at) if entry else ""
        args = [self.change_log_max, erased_at, AUDIT_MAX, _audit_text(entry)]
        args += dict.fromkeys(article_ids)
        result: int = self._link.scripts([self._catalogue_call(scripts.DELETE_ARTICLES, args)])[0]
        return result

    def unencoded_articles(self, limit: int) -> list[str]:
        """Return ids of some articles that wait for their vector, in no order."""
        key = self._keys.catalogue("unencoded")
        ids = self._link.call(key, "SRANDMEMBER", key, limit)
        return [article_id.decode() for article_id in ids]

    def count_unencoded(self) -> int:
        """Return how many articles wait for their vector."""
        key = self._keys.catalogue("unencoded")
        count: int = self._link.call(key, "SCARD", key)
        return count

    def scan_articles(self) -> Iterator[StoredArticle]:
        """Yield every article without its body, each once."""
        yield from self._scan("meta")

    def earlier_vectors(self) -> Iterator[StoredArticle]:
        """Yield articles as they were before they were encoded anew, without body, each once."""
        yield from self._scan("earlier")

    def drop_earlier_vectors(self) -> None:
        """Forget the vectors that articles had before they were encoded anew."""
        key = self._keys.catalogue("earlier")
        self._link.call(key, "UNLINK", key)

    def catalogue_position(self) -> str:
        """Return the newest position of the change log ("0-0" when empty)."""
        key = self._keys.catalogue("changes")
        return position_of(self._link.call(key, *newest_entry(key)))

    def changes_after(self, position: str) -> ChangeBatch:
        """Return the catalogue changes after a position, at most 5,000 log entries at a time.

        An article that changed several times appears once, in its present state. Call again from
        the batch's `position` until a batch contains no changes.
        """
        key = self._keys.catalogue("changes")
        entries = self._link.call(key, "XRANGE", key, position, "+", "COUNT", self.changes_max + 1)
        if position == START:
            gap = bool(entries) and self._log_was_trimmed(key)
        else:
            gap = not entries or entries[0][0].decode() != position
            entries = entries if gap else entries[1:]
        if not entries:
            return ChangeBatch(START if gap else position, (), gap)
        ids = list(dict.fromkeys(entry[1][1] for entry in entries))
        meta = self._keys.catalogue("meta")
        values = self._bulk.call(meta, "HMGET", meta, *ids)
        changes = tuple(
            CatalogueChange(article_id.decode(), None if data is None else decode_article(data))
            for article_id, data in zip(ids, values, strict=True)
        )
        return ChangeBatch(entries[-1][0].decode(), changes, gap)

    def read_pins(self) -> tuple[list[Pin], str]:
        """Return every pin, ended ones too, and the digest that `write_pins` compares."""
        key = self._keys.catalogue("pins")
        data = self._link.call(key, "GET", key)
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest() if data else ""
        return decode_pins(data), digest

    def write_pins(self, pins: Sequence[Pin], digest: str, entry: AuditEntry) -> bool:
        """Replace the pins and keep an audit entry.

        Args:
            pins: all of them.
            digest: as `read_pins` gave it.
            entry: for the audit log.

        Returns:
            False if somebody else has changed the pins since they were read; nothing is written.
        """
        keys = (self._keys.catalogue("pins"), self._keys.catalogue("audit"))
        args = (digest, encode_pins(list(pins)), *audit_arguments(entry))
        return bool(self._link.scripts([ScriptCall(scripts.WRITE_PINS, keys, args)])[0])

    def old_articles(self, before: float, limit: int) -> list[str]:
        """Return ids of articles published, changed and added before a time, oldest first."""
        key = self._keys.catalogue("age")
        ids = self._link.call(key, "ZRANGEBYSCORE", key, "-inf", f"({before}", "LIMIT", 0, limit)
        return [article_id.decode() for article_id in ids]

    def keep_articles(self, article_ids: Sequence[str], at: float) -> None:
        """Mark articles as fresh at a time or later, so that the sweep keeps them."""
        if article_ids:
            key = self._keys.catalogue("age")
            pairs = [part for article_id in article_ids for part in (at, article_id)]
            self._link.call(key, "ZADD", key, "XX", "GT", *pairs)

    def _scan(self, name: str) -> Iterator[StoredArticle]:
        key = self._keys.catalogue(name)
        cursor: Any = b"0"
        seen: set[bytes] = set()
        while True:
            cursor, pairs = self._bulk.call(key, "HSCAN", key, cursor, "COUNT", SCAN_COUNT)
            for article_id, data in zip(pairs[::2], pairs[1::2], strict=True):
                if article_id not in seen:  # a growing hash may show a field twice
                    seen.add(article_id)
                    yield decode_article(data)
            if cursor == b"0":
                return

    def _log_was_trimmed(self, key: str) -> bool:
        info = self._link.call(key, "XINFO", "STREAM", key)
        facts = dict(zip(info[::2], info[1::2], strict=True))
        return bool(facts[b"entries-added"] > facts[b"length"])

    def _catalogue_call(self, script: scripts.Script, args: list[Any]) -> ScriptCall:
        names = ("articles", "meta", "age", "changes", "erased", "unencoded", "audit", "earlier")
        return ScriptCall(script, tuple(self._keys.catalogue(n) for n in names), tuple(args))


def _newest_time(stored: StoredArticle) -> float:
    article = stored.article
    return max(article.published_at, article.updated_at or 0.0, stored.added_at)


def _audit_text(entry: AuditEntry | None) -> bytes:
    return audit_arguments(entry)[0] if entry else b""
