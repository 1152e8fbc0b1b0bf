"""Boosts and burials of articles: set and ended by editors, each with its audit entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from feed.catalogue.decisions import TAKEN_BACK, Editor, article_subject
from feed.config import DAY_S
from feed.domain import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    format_time,
    parse_time,
)
from feed.editorial.boosts import GREATEST_FACTOR, LEAST_FACTOR, Boost
from feed.editorial.editorial import BOOSTS, editorial_from_store
from feed.storage.editorial_part import EditorialPart
from feed.storage.records import AuditEntry

MOST_BOOSTS = 200
LONGEST_DAYS = 7
ATTEMPTS = 20
"""How often a change is tried, because somebody else may change another boost meanwhile."""
BOOST = "boost"
"""Name of a boost in audit entries."""


def check_boost(boost: Boost, now: float) -> Boost:
    """Return a boost if it may be set.

    Raises:
        InvalidInputError: its factor or its times break a rule.
    """
    if not LEAST_FACTOR <= boost.factor <= GREATEST_FACTOR:
        rule = f"must be a number from {LEAST_FACTOR} to {GREATEST_FACTOR:g}"
        raise InvalidInputError("factor", rule)
    if boost.ends_at <= max(boost.starts_at, now):
        raise InvalidInputError("ends_at", "must be in the future, and after starts_at")
    if boost.ends_at - now > LONGEST_DAYS * DAY_S:
        raise InvalidInputError("ends_at", f"must be at most {LONGEST_DAYS} days from now")
    return boost


def set_boost(store: EditorialPart, boost: Boost, editor: Editor) -> AuditEntry:
    """Boost or bury an article, instead of what was decided for it before; return the entry.

    Boosts that have ended are dropped.

    Raises:
        InvalidInputError: a value of the boost breaks a rule.
        ConflictError: there are as many boosts as there may be.
    """
    check_boost(boost, editor.at)
    return _change(store, boost.article_id, lambda _: boost, editor)


def remove_boost(store: EditorialPart, article_id: str, editor: Editor) -> AuditEntry:
    """End the boost or burial of an article; return the entry.

    Raises:
        NotFoundError: there is none.
    """

    def end(present: Boost | None) -> None:
        if present is None:
            raise NotFoundError("the article is neither boosted nor buried")

    return _change(store, article_id, end, editor)


def present_boosts(store: EditorialPart, now: float) -> list[Boost]:
    """Return the boosts that have not ended, in the order of their articles."""
    boosts = editorial_from_store(store.read_editorial()).boosts
    return [boost for _, boost in sorted(boosts.items()) if boost.ends_at > now]


def take_back_boost(store: EditorialPart, entry: AuditEntry, editor: Editor) -> AuditEntry:
    """Give an article the boost, or none, that it had before an entry; return the new entry.

    Raises:
        ConflictError: its boost is not what the entry left.
    """
    left, before = ((side or {}).get(BOOST) for side in (entry.after, entry.before))
    article_id = entry.subject.partition("/")[2]

    def restore(present: Boost | None) -> Boost | None:
        if describe_boost(present) != left:
            raise ConflictError("the boost has ended or was changed since: look at it again")
        boost = _read(article_id, before) if before else None
        return boost if boost and boost.ends_at > editor.at else None

    return _change(store, article_id, restore, editor, TAKEN_BACK)


def _change(
    store: EditorialPart,
    article_id: str,
    decide: Callable[[Boost | None], Boost | None],
    editor: Editor,
    action: str = "",
) -> AuditEntry:
    """Write what `decide` makes of the present boost of an article, and the entry about it."""
    for _ in range(ATTEMPTS):
        editorial = editorial_from_store(store.read_editorial())
        present = {k: b for k, b in editorial.boosts.items() if b.ends_at > editor.at}
        before = present.pop(article_id, None)
        after = decide(before)
        if after is not None:
            present[article_id] = after
        if len(present) > MOST_BOOSTS:
            raise ConflictError(f"there are {MOST_BOOSTS} boosts already: end one first")
        entry = editor.entry(
            action or _action_of(after),
            article_subject(article_id),
            {BOOST: describe_boost(before)},
            {BOOST: describe_boost(after)},
        )
        kept = [boost.to_json() for boost in present.values()]
        version = editorial.versions.get(BOOSTS, 0) + 1
        with suppress(ConflictError):
            store.write_editorial(BOOSTS, kept, version=version, entry=entry)
            return entry
    raise ConflictError("others keep changing boosts: try again")


def _action_of(boost: Boost | None) -> str:
    if boost is None:
        return "no longer boosted"
    return "buried" if boost.factor < 1 else "boosted"


def describe_boost(boost: Boost | None) -> dict[str, Any] | None:
    """Return a boost as the audit log holds it, times in ISO 8601."""
    if boost is None:
        return None
    return {
        "factor": boost.factor,
        "starts_at": format_time(boost.starts_at),
        "ends_at": format_time(boost.ends_at),
        "author": boost.author,
    }


def _read(article_id: str, described: Mapping[str, Any]) -> Boost:
    times = {name: parse_time(name, described[name]) for name in ("starts_at", "ends_at")}
    factor, author = described["factor"], described["author"]
    return Boost(article_id=article_id, factor=factor, author=author, **times)
