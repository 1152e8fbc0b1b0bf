"""Events, histories and served feeds as the bytes the store keeps."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from feed.domain import PAGE_KEY, Event, EventKind, Mode, Origin, Rung, ServedFeed
from feed.preferences import Preferences, wishes_from_json, wishes_to_json
from feed.storage.records import History, Shown
from feed.storage.slate_codec import slots_from_json, slots_to_json

KIND_LETTERS = {
    EventKind.IMPRESSION: "i",
    EventKind.CLICK: "c",
    EventKind.READ: "r",
    EventKind.LIKE: "l",
    EventKind.UNLIKE: "L",
    EventKind.DISLIKE: "d",
    EventKind.UNDISLIKE: "D",
    EventKind.SAVE: "s",
    EventKind.UNSAVE: "S",
    EventKind.SHARE: "z",
    EventKind.HIDE: "x",
    EventKind.UNHIDE: "X",
    EventKind.CUSTOM: "n",
}
"""One letter for each kind; `append_events.lua` knows them too."""

CLICK_IN_FEED, CLICK_ON_PAGE = "f", "p"
"""Letters in a history for clicks that answered a feed, on a front page and below an article."""

_KINDS = {letter: kind for kind, letter in KIND_LETTERS.items()} | {
    CLICK_IN_FEED: EventKind.CLICK,
    CLICK_ON_PAGE: EventKind.CLICK,
}

_ORIGIN = re.compile(rb'^\{"network":"[0-9a-f]*","fresh":(?:true|false),')
_COUNTED = b',"previous":['
_REACTIONS = {1: EventKind.LIKE, 2: EventKind.DISLIKE}


def _setters(cls: type, names: str) -> tuple[Callable[[Any, Any], None], ...]:
    return tuple(getattr(cls, name).__set__ for name in names.split())


# A request reads hundreds of these. The `__init__` of a frozen object goes a long way round the
# freezing; setting the slots of a new one directly takes a third of the time.
_SHOWN = _setters(Shown, "article_id count last_at")


def event_arguments(event: Event, origin: Origin | None = None) -> tuple[Any, ...]:
    """Return the eight arguments of one event for `append_events.lua`.

    Times and dwell are kept to the millisecond, in the reader's state and in the log alike. Only
    the stream's record contains the origin, as its first field; `archived_fields` removes it.
    """
    at_ms = round(event.occurred_at * 1000)
    letter = KIND_LETTERS[event.kind]
    entry_letter = letter
    if letter == "c" and event.request_id is not None:
        entry_letter = CLICK_ON_PAGE if event.context.get(PAGE_KEY) else CLICK_IN_FEED
    dwell_s = None if event.dwell_s is None else round(event.dwell_s, 3)
    fields = {
        "event_id": event.event_id,
        "article_id": event.article_id,
        "kind": event.kind.value,
        "occurred_at": at_ms / 1000,
        "received_at": round(event.received_at, 3),
        "dwell_s": dwell_s,
        "position": event.position,
        "context": event.context,
    }
    if event.kind is EventKind.CUSTOM:
        fields |= {"name": event.name, "value": event.value}
    body = orjson.dumps(fields)
    return (
        event_digest(event),
        event.user_id,
        event.article_id,
        letter,
        at_ms,
        orjson.dumps([entry_letter, at_ms / 1000, dwell_s, event.article_id])[1:-1],
        body[:-1]
        if origin is None or event.kind is not EventKind.CLICK
        else _origin_first(origin, body[:-1]),
        b"null" if event.request_id is None else orjson.dumps(event.request_id),
    )


def event_digest(event: Event) -> bytes:
    """Return what tells an event from every other one: event ids are unique for each reader."""
    text = f"{event.user_id} {event.event_id}"  # neither id can contain a space
    return hashlib.blake2b(text.encode(), digest_size=12).digest()


def archived_fields(payload: bytes) -> bytes:
    """Return an event's record without its closing brace and without what is not archived.

    That is the origin, which the archive must not keep, and everything from `previous` on, which
    only counting needs: it is half of the record, and the archive would parse it in vain. No text
    looks like that field, because the quotes in a text are escaped.
    """
    fields, found, rest = payload.rpartition(_COUNTED)
    fields = fields if found else rest[:-1]
    return _ORIGIN.sub(b"{", fields) if fields.startswith(b'{"network"') else fields


def _origin_first(origin: Origin, body: bytes) -> bytes:
    head = orjson.dumps({"network": origin.network, "fresh": origin.is_fresh})
    return head[:-1] + b"," + body[1:]


def decode_history(entries: list[bytes]) -> History:
    """Return the history from its entries (newest first as stored), oldest first by time.

    An entry is the inside of a JSON list, so all of them together are one list to be read.
    """
    flat = orjson.loads(b"[" + b",".join(reversed(entries)) + b"]")
    letters, times, dwells, article_ids = (flat[at::4] for at in range(4))
    if times != sorted(times):
        in_order = itemgetter(*sorted(range(len(times)), key=times.__getitem__))
        letters, times, dwells, article_ids = map(in_order, (letters, times, dwells, article_ids))
    return History([*map(_KINDS.__getitem__, letters)], article_ids, times, dwells)


def decode_shown(pairs: list[bytes]) -> tuple[Shown, ...]:
    """Return what was shown from members and scores: milliseconds * 1024 + count."""
    put_id, put_count, put_last = _SHOWN
    shown = []
    for member, score in zip(pairs[::2], pairs[1::2], strict=True):
        packed = int(score)
        one = object.__new__(Shown)
        put_id(one, member.decode())
        put_count(one, packed & 1023)
        put_last(one, (packed >> 10) / 1000)
        shown.append(one)
    return tuple(shown)


def decode_reactions(pairs: Sequence[bytes]) -> tuple[dict[str, EventKind], dict[str, float]]:
    """Return article -> like or dislike, and article -> when (epoch seconds)."""
    kinds, times = {}, {}
    for member, score in zip(pairs[::2], pairs[1::2], strict=True):
        at_ms, code = divmod(int(score), 4)
        article_id = member.decode()
        kinds[article_id] = _REACTIONS[code]
        times[article_id] = at_ms / 1000
    return kinds, times


def decode_undone(pairs: Sequence[bytes]) -> list[dict[str, Any]]:
    """Return what a reader has undone: kind, article and time (epoch seconds) of each undo."""
    return [
        {
            "kind": _KINDS[member[:1].decode()].value,
            "article_id": member[1:].decode(),
            "occurred_at": int(score) / 1000,
        }
        for member, score in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def encode_preferences(preferences: Preferences) -> bytes:
    """Return preferences as `1` (personalisation on) or `0` followed by JSON."""
    switch = b"1" if preferences.personalization else b"0"
    return switch + orjson.dumps(
        {
            "followed_sections": preferences.followed_sections,
            "muted_sections": preferences.muted_sections,
            "followed_sources": preferences.followed_sources,
            "muted_sources": preferences.muted_sources,
            "languages": preferences.languages,
        }
        | ({"wishes": wishes_to_json(preferences.wishes)} if preferences.wishes else {})
    )


def decode_preferences(data: bytes | None) -> Preferences:
    """Return the preferences; nothing kept means the defaults."""
    if not data:
        return Preferences()
    stored = orjson.loads(data[1:])
    wishes = wishes_from_json(stored.pop("wishes", ()))
    lists = {name: tuple(values) for name, values in stored.items()}
    return Preferences(personalization=data[:1] == b"1", wishes=wishes, **lists)


def encode_attributes(attributes: Mapping[str, str]) -> bytes:
    """Return a reader's attributes as JSON, empty if there are none."""
    return orjson.dumps(attributes) if attributes else b""


def decode_attributes(data: bytes | None) -> dict[str, str]:
    """Return the attributes that `encode_attributes` wrote."""
    attributes: dict[str, str] = orjson.loads(data) if data else {}
    return attributes


def reader_moved_to(preferences: bytes | None) -> str:
    """Return the reader that an id was merged into, kept in place of its preferences, or ""."""
    if not preferences or preferences[:1] != b">":
        return ""
    return preferences.split(b" ", 2)[1].decode()


def decode_noted_ids(pairs: list[bytes]) -> dict[str, float]:
    """Return ids and times (epoch seconds; below 0: not done yet) from members and scores."""
    scores = zip(pairs[::2], pairs[1::2], strict=True)
    return {member.decode(): float(score) / 1000 for member, score in scores}


def encode_exposure(served: ServedFeed) -> bytes:
    """Return the exposure record without user_id and closing brace: a list for each column.

    It holds the slots given out, and of each what the archive keeps.
    """
    slots, shown = served.slots, slice(served.shown_from, served.shown_to)
    body = orjson.dumps(
        {
            **_head(served),
            "positions": [*slots.positions[shown]],
            "article_ids": slots.article_ids[shown],
            "scores": slots.scores[shown],
            "sources_lists": [",".join(sources) for sources in slots.sources[shown]],
            "reasons": [given[0].code if given else "" for given in slots.reasons[shown]],
            "are_trending": slots.trending[shown],
            "are_explored": slots.explored[shown],
            "are_pinned": slots.pinned[shown],
            "propensities": slots.propensities[shown],
        }
    )
    return body[:-1]


def encode_slate(served: ServedFeed) -> bytes:
    """Return a whole slate as compressed JSON: the head and the columns of the slots.

    A slate of 14 kB takes 3.4 kB then. Each feed leaves one in the store
    for as long as its cursor is usable, and on a busy site that is most of what the store holds.
    """
    head = {**_head(served), "user_id": served.user_id}
    return zlib.compress(orjson.dumps([head, slots_to_json(served.slots)]), zlib.Z_BEST_SPEED)


def decode_slate(data: bytes) -> ServedFeed:
    """Return the slate that `encode_slate` wrote; earlier versions did not compress it."""
    fields, columns = orjson.loads(data if data.startswith(b"[") else zlib.decompress(data))
    fields["mode"] = Mode(fields["mode"])
    fields["rung"] = Rung(fields["rung"])
    return ServedFeed(slots=slots_from_json(columns), **fields)


def _head(served: ServedFeed) -> dict[str, Any]:
    return {
        "request_id": served.request_id,
        "served_at": served.served_at,
        "mode": served.mode.value,
        "rung": served.rung.value,
        "personalized": served.personalized,
        "model_version": served.model_version,
        "experiments": served.experiments,
        "shown_from": served.shown_from,
        "shown_to": served.shown_to,
        "section": served.section,
        "language": served.language,
        "latency_ms": served.latency_ms,
        "counters_at": served.counters_at,
        "context": served.context,
        "attributes": served.attributes,
    }
