"""Decides whose value each field of an article takes: the API's, or that of one of its sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from feed.article_schemas import MAX_OTHER_SECTIONS, MAX_TAGS
from feed.catalogue.freshness import fresh_since
from feed.domain import ALL_FIELDS, AgeFrom, AiGenerated, Article, Submission
from feed.storage.catalogue_part import WAITING
from feed.storage.records import Contribution, StoredArticle

MAX_ORIGINS = 8
"""Sources that one article remembers; what further ones send is left out."""
SAME_TIME_S = 0.001
"""Callers see times rounded to milliseconds, and send them back like that."""

_TIMES = ("published_at", "updated_at", "expires_at")
_JOINED = frozenset({"section", "other_sections", "tags", "retracted"})
_RENEWED = frozenset({"updated_at"})
"""Some publishers give a new time at every fetch, so a new one alone does not count as news."""
_NOBODY = ""
_NO_VECTOR = np.zeros(0, np.float32)


def merge_submission(
    previous: StoredArticle | None,
    submission: Submission,
    now: float,
    origin: str,
    age_from: AgeFrom,
) -> StoredArticle:
    """Return an article as it is after a submission; its vector is still the previous one.

    Args:
        previous: the article as it is; None if there is none.
        submission: what was sent.
        now: epoch seconds.
        origin: the source that it comes from; empty for the API.
        age_from: what the age of the article counts from.
    """
    given = submission.given & ALL_FIELDS
    article = _rounded(submission.article)
    leads = previous is None or not origin or _leads(previous, article, given, origin)
    if previous is None:
        merged = _first(article, given, origin, now)
    elif not origin:
        merged = _replaced(previous, article, given)
    else:
        merged = _combined(previous, article, given, origin)
    updated_at = article.updated_at if "updated_at" in given else None
    since = fresh_since(previous, merged.article, updated_at, now, age_from if leads else None)
    return replace(merged, fresh_at=since)


def change_fields(
    previous: StoredArticle,
    submission: Submission,
    released: Iterable[str],
    now: float,
    *,
    hold: bool = False,
) -> StoredArticle:
    """Return an article with the given fields set by the API, and others given back to sources.

    Args:
        previous: the article as it is.
        submission: the fields to set.
        released: fields that sources, and the API's deliveries, may change again.
        now: epoch seconds.
        hold: whether the API's later deliveries leave the given fields alone, too.
    """
    given = submission.given & ALL_FIELDS
    source = _rounded(submission.article)
    article = replace(previous.article, **{name: getattr(source, name) for name in given})
    updated_at = article.updated_at if "updated_at" in given else None
    released = frozenset(released)
    origins = previous.origins
    if released:  # the sources' next values count even if they are unchanged
        origins = tuple(replace(one, digest="") for one in origins)
    return replace(
        previous,
        article=article,
        origins=origins,
        owned=(previous.owned | given) - released,
        held=(previous.held | given if hold else previous.held) - released,
        fresh_at=fresh_since(previous, article, updated_at, now, AgeFrom.UPDATED),
    )


def distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names without the empty ones and without repetitions, whatever their case."""
    found: dict[str, str] = {}
    for name in names:
        if name:
            found.setdefault(name.casefold(), name)
    return tuple(found.values())


def _first(article: Article, given: frozenset[str], origin: str, now: float) -> StoredArticle:
    is_dated = "published_at" in given
    stored = StoredArticle(
        article=article if is_dated else replace(article, published_at=now),
        embedding=_NO_VECTOR,
        encoder=WAITING,
        text_hash="",
        added_at=now,
        owned=frozenset() if origin else given,
        fillers={} if is_dated else {"published_at": _NOBODY},
    )
    return _combined(stored, article, given, origin) if origin else stored


def _replaced(previous: StoredArticle, article: Article, given: frozenset[str]) -> StoredArticle:
    """Return an article as the API sends it; what differs from before is the API's from now on."""
    before = previous.article
    left_out = {"published_at", "retracted"} - given
    kept: dict[str, Any] = {name: getattr(before, name) for name in left_out | previous.held}
    for name in _TIMES:
        if name in given - previous.held and _is_same_time(
            getattr(before, name), getattr(article, name)
        ):
            kept[name] = getattr(before, name)
    article = replace(article, **kept)
    changed = {name for name in given if getattr(article, name) != getattr(before, name)}
    owned = previous.owned | changed
    fillers = {name: filler for name, filler in previous.fillers.items() if name not in owned}
    return replace(previous, article=article, owned=owned, fillers=fillers)


def _combined(
    previous: StoredArticle, article: Article, given: frozenset[str], origin: str
) -> StoredArticle:
    """Return an article with what one of its sources, or a new one, sends."""
    known = [one.origin for one in previous.origins]
    if origin not in known and len(known) == MAX_ORIGINS:
        return previous
    filled = given - previous.owned - _JOINED
    if _is_repeated(previous, article, given, origin):
        filled &= _RENEWED if known[0] == origin else frozenset()
    elif known and known[0] != origin and _leads(previous, article, given, origin):
        filled -= {"published_at"}
    is_main = _leads(previous, article, given, origin)
    origins = _with(previous.origins, article, given, origin)
    values, fillers = _fill(previous, article, filled, origin, is_main=is_main)
    values |= _join(previous, origins, given)
    if "retracted" in given - previous.owned:
        values["retracted"] = previous.article.retracted or article.retracted
    merged = replace(previous.article, **values)
    return replace(previous, article=merged, origins=origins, fillers=fillers)


def _leads(previous: StoredArticle, article: Article, given: frozenset[str], origin: str) -> bool:
    """Return whether a source's values count: it is the main one, or it now sends other values.

    A source that is fetched again and again must not undo what another one has changed since, and
    a source from which the article was read only once must not keep it as it was then.
    """
    before = _of(previous.origins, origin)
    if not previous.origins or previous.origins[0].origin == origin:
        return True
    return before is not None and before.digest not in ("", _digest(article, given))


def _is_repeated(
    previous: StoredArticle, article: Article, given: frozenset[str], origin: str
) -> bool:
    before = _of(previous.origins, origin)
    return before is not None and before.digest == _digest(article, given)


def _of(origins: Sequence[Contribution], origin: str) -> Contribution | None:
    return next((one for one in origins if one.origin == origin), None)


def _digest(article: Article, given: frozenset[str]) -> str:
    values = [(name, getattr(article, name)) for name in sorted(given - _JOINED - _RENEWED)]
    return hashlib.blake2b(repr(values).encode(), digest_size=6).hexdigest()


def _fill(
    previous: StoredArticle, article: Article, filled: frozenset[str], origin: str, *, is_main: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields that a source sets, and which source filled what the main one lacks."""
    values: dict[str, Any] = {}
    fillers = dict(previous.fillers)
    for name in filled:
        value, before = getattr(article, name), getattr(previous.article, name)
        if is_main:
            if _is_empty(value) and name in fillers:
                continue
            fillers.pop(name, None)
        elif _is_empty(before) or fillers.get(name) in (origin, _NOBODY):
            fillers[name] = origin
            if _is_empty(value):
                del fillers[name]
        else:
            continue
        values[name] = value
    return values, fillers


def _join(
    previous: StoredArticle, origins: Sequence[Contribution], given: frozenset[str]
) -> dict[str, Any]:
    """Return the sections and tags that all sources together give."""
    values: dict[str, Any] = {}
    owned, main = previous.owned, origins[0]
    if "section" in given or "other_sections" in given:
        firsts = [one.sections[0] for one in origins if one.sections]
        section = previous.article.section
        taken = [section, *main.sections[:1]]
        if "section" not in owned:
            section = next(filter(None, firsts), "")
            values["section"], taken = section, [section]
        if "other_sections" not in owned:
            named = (name for one in origins for name in one.sections)
            others = distinct_names([*taken, *named])[len(distinct_names(taken)) :]
            values["other_sections"] = others[:MAX_OTHER_SECTIONS]
    if "tags" in given - owned:
        values["tags"] = distinct_names(tag for one in origins for tag in one.tags)[:MAX_TAGS]
    return values


def _with(
    origins: tuple[Contribution, ...], article: Article, given: frozenset[str], origin: str
) -> tuple[Contribution, ...]:
    before = _of(origins, origin)
    new = _contribution(article, given, origin, before)
    if before is None:
        return (*origins, new)
    return tuple(new if one is before else one for one in origins)


def _contribution(
    article: Article, given: frozenset[str], origin: str, before: Contribution | None
) -> Contribution:
    before = before or Contribution(origin)
    sections, tags = before.sections, before.tags
    if "section" in given or "other_sections" in given:
        sections = (article.section, *article.other_sections)
    tags = article.tags if "tags" in given else tags
    return Contribution(origin, sections, tags, _digest(article, given))


def _is_empty(value: object) -> bool:
    return not value or value is AiGenerated.NONE


def _is_same_time(before: float | None, after: float | None) -> bool:
    return before is not None and after is not None and abs(before - after) < SAME_TIME_S


def _rounded(article: Article) -> Article:
    """Return an article with its vector as the store keeps it: unit length, float16."""
    if article.embedding is None:
        return article
    vector = np.asarray(article.embedding, np.float32)
    largest = float(np.abs(vector).max(initial=0.0))
    if 0 < largest < np.inf:
        scaled = vector / np.float32(largest)
        unit = scaled / np.linalg.norm(scaled)
    else:
        unit = np.zeros_like(vector)
    return replace(article, embedding=tuple(unit.astype(np.float16).astype(np.float32).tolist()))
