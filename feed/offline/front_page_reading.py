"""What readers were shown lately, and what was published, read from the archive.

As `python -m feed.offline.front_page_reading` it answers a question in JSON on standard input.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson

from feed.config import DAY_S, HOUR_S
from feed.editorial.editorial_limits import LIMITS_KEY, limit_from_json
from feed.features.sections import read_aliases, section_key
from feed.offline.spread import gini
from feed.storage.archive import Archive

MOST_ARTICLES = 30
"""Articles in each list of an answer."""
MOST_NAMES = 12
"""Names of a property; the others are one."""
OTHERS = "others"
MEMORY_MB = 1000

_AGES = ((1.0, "under 1 h"), (6.0, "1 to 6 h"), (24.0, "6 to 24 h"), (72.0, "1 to 3 days"))
_OLDER = "over 3 days"

# One row an article, so that everything after it works on as many rows as there are articles.
_SHOWN = """
CREATE TEMP TABLE shown AS
SELECT article_id, count(*) FILTER (served_at >= make_timestamptz($from)) AS slots,
       count(DISTINCT user_id) FILTER (served_at >= make_timestamptz($from)) AS readers
FROM served
WHERE served_at >= make_timestamptz($day) AND served_at < make_timestamptz($to)
GROUP BY article_id
"""
_SEEN = """
CREATE TEMP TABLE seen AS
SELECT article_id, count(*) FILTER (kind = 'impression') AS in_view,
       count(*) FILTER (kind = 'click') AS clicks
FROM events
WHERE kind IN ('impression', 'click')
  AND occurred_at >= make_timestamptz($from) AND occurred_at < make_timestamptz($to)
GROUP BY article_id
"""
_KNOWN = """
CREATE TEMP TABLE known AS
SELECT article_id, title, section, source, language, epoch_us(published_at) / 1e6 AS published_at,
       epoch_us(fresh_at) / 1e6 AS fresh_at, ai_generated,
       NOT (coalesce(deleted, false) OR coalesce(retracted, false)) AS live
FROM articles
QUALIFY row_number() OVER (PARTITION BY article_id ORDER BY logged_at DESC) = 1
"""
_JOINED = """
SELECT article_id, coalesce(k.title, '') AS title, coalesce(k.section, '') AS section,
       coalesce(k.source, '') AS source, coalesce(k.language, '') AS language,
       coalesce(k.ai_generated, 'none') AS ai_generated, k.published_at, k.fresh_at,
       coalesce(k.live, false) AS live, coalesce(s.slots, 0) AS slots, s.slots IS NULL AS unseen,
       coalesce(s.readers, 0) AS readers, coalesce(e.in_view, 0) AS in_view,
       coalesce(e.clicks, 0) AS clicks
FROM known k FULL JOIN shown s USING (article_id) LEFT JOIN seen e USING (article_id)
WHERE coalesce(s.slots, 0) > 0 OR (k.live AND k.published_at >= $published_from)
"""
_TOTALS = """
SELECT count(*), count(DISTINCT request_id), count(DISTINCT user_id) FROM served
WHERE served_at >= make_timestamptz($from) AND served_at < make_timestamptz($to)
"""
_LIMITS = f"""
SELECT context ->> '{LIMITS_KEY}' AS limits, count(DISTINCT request_id) FROM served
WHERE served_at >= make_timestamptz($from) AND served_at < make_timestamptz($to)
  AND contains(context, '"{LIMITS_KEY}"')
GROUP BY 1
"""  # noqa: S608 - a constant

Row = Mapping[str, Any]


def read_front_page(
    archive: Archive, now: float, hours: float, aliases: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what readers were shown in the last hours, JSON-ready.

    A slot counts once for each page that it was given out on. Published is what came out in the
    24 hours before `now` and may still be shown.

    Args:
        archive: The archive.
        now: End of the window, epoch seconds; itself outside.
        hours: Length of the window, at most 24.
        aliases: key -> name of the section that is meant.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    moments = {"from": now - hours * HOUR_S, "day": now - DAY_S, "to": now}
    bounds = {name: round(max(at, 0.0) * 1e6) for name, at in moments.items()}
    window = {"from": bounds["from"], "to": bounds["to"]}
    with archive.query(now - DAY_S) as db:
        newest = db.execute("SELECT epoch_us(max(served_at)) / 1e6 FROM served").fetchall()[0][0]
        db.execute(_SHOWN, bounds)
        db.execute(_SEEN, window)
        db.execute(_KNOWN)
        rows = _rows(db.execute(_JOINED, {"published_from": now - DAY_S}))
        slots, feeds, readers = db.execute(_TOTALS, window).fetchall()[0]
        limits = db.execute(_LIMITS, window).fetchall()
    published = [row for row in rows if _is_published(row, now)]
    unseen = [row for row in published if row["unseen"]]
    amounts = np.array(sorted(row["slots"] for row in published), np.float64)
    return {
        "hours": hours,
        "now": now,
        "newest_at": newest,
        "slots": slots,
        "feeds": feeds,
        "readers": readers,
        "published": len(published),
        "never_shown": len(unseen),
        "gini": gini(amounts),
        "most_shown": _listed(sorted(rows, key=_by_slots), "slots"),
        "unseen": _listed(sorted(unseen, key=_by_age)),
        "shares": _all_shares(rows, published, now, aliases or {}),
        "limits": _count_limits(limits),
    }


def _rows(result: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _is_published(row: Row, now: float) -> bool:
    return (
        bool(row["live"])
        and row["published_at"] is not None
        and (now - DAY_S <= row["published_at"] <= now)
    )


def _by_slots(row: Row) -> tuple[int, str]:
    return -row["slots"], row["article_id"]


def _by_age(row: Row) -> tuple[float, str]:
    return -row["published_at"], row["article_id"]


def _listed(rows: Iterable[Row], needed: str = "article_id") -> list[dict[str, Any]]:
    """Return the first articles in the fields that a page shows."""
    names = ("article_id", "title", "section", "source", "published_at", "slots", "readers")
    wanted = (*names, "in_view", "clicks", "ai_generated")
    kept = [row for row in rows if row[needed]][:MOST_ARTICLES]
    return [{name: row[name] for name in wanted} for row in kept]


def _all_shares(
    rows: list[dict[str, Any]],
    published: list[dict[str, Any]],
    now: float,
    aliases: Mapping[str, str],
) -> dict[str, list[dict[str, Any]]]:
    names: dict[str, str] = {}

    def section(row: Row) -> str:
        text = aliases.get(section_key(row["section"]), row["section"])
        return names.setdefault(section_key(text), text)

    def age(row: Row) -> str:
        if row["fresh_at"] is None:
            return ""
        hours = (now - row["fresh_at"]) / HOUR_S
        return next((name for most, name in _AGES if hours < most), _OLDER)

    properties = {
        "section": section,
        "source": lambda row: row["source"],
        "language": lambda row: row["language"],
        "ai_generated": lambda row: row["ai_generated"],
        "age": age,
    }
    shares = {
        name: _shares(
            Counter(_sum_up((find(row), row["slots"]) for row in rows)),
            Counter(find(row) for row in published),
        )
        for name, find in properties.items()
    }
    in_order = [*(name for _, name in _AGES), _OLDER, ""]  # of an erased article nothing is known
    shares["age"].sort(key=lambda one: in_order.index(one["name"]))
    return shares


def _sum_up(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for name, count in pairs:
        if count:
            sums[name] = sums.get(name, 0) + count
    return sums


def _shares(shown: Counter[str], published: Counter[str]) -> list[dict[str, Any]]:
    """Return each name's share of the slots and of what was published, the most shown first."""
    names = sorted({*shown, *published}, key=lambda name: (-shown[name], -published[name], name))
    kept, rest = names[:MOST_NAMES], names[MOST_NAMES:]
    if rest:
        shown[OTHERS] += sum(shown[name] for name in rest)
        published[OTHERS] += sum(published[name] for name in rest)
        kept.append(OTHERS)
    of_shown = max(shown.total() - sum(shown[name] for name in rest), 1)
    of_published = max(published.total() - sum(published[name] for name in rest), 1)
    return [
        {
            "name": name,
            "slots": shown[name],
            "articles": published[name],
            "shown": shown[name] / of_shown,
            "published": published[name] / of_published,
        }
        for name in kept
    ]


def _count_limits(found: Iterable[tuple[str, int]]) -> list[dict[str, Any]]:
    """Return for each limit in how many feeds it held, was met, and moved something."""
    counts: dict[bytes, dict[str, Any]] = {}
    for text, feeds in found:
        for one in orjson.loads(text):
            key = orjson.dumps(one["limit"], option=orjson.OPT_SORT_KEYS)
            limit = limit_from_json(one["limit"])
            entry = counts.setdefault(
                key, {"text": limit.sentence(), "feeds": 0, "met": 0, "moved": 0}
            )
            entry["feeds"] += feeds
            entry["met"] += feeds * one["met"]
            entry["moved"] += feeds * bool(one["moved"])
    return sorted(counts.values(), key=lambda entry: (-entry["feeds"], entry["text"]))


def main() -> None:
    """Answer the question on standard input: `data_dir`, `now`, `hours` and `section_aliases`."""
    question = orjson.loads(sys.stdin.buffer.read())
    answer = read_front_page(
        Archive(Path(question["data_dir"]) / "archive", memory_mb=MEMORY_MB, threads=1),
        float(question["now"]),
        float(question["hours"]),
        read_aliases(question["section_aliases"]),
    )
    sys.stdout.buffer.write(orjson.dumps(answer))


if __name__ == "__main__":
    main()
