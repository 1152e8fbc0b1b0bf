"""The price of limits: an installation's own recorded feeds, ranked with and without them.

As `python -m feed.offline.limit_price` it answers a question in JSON on standard input, and writes
its progress and its result to the file that the question names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from feed.arrays import Flags, Floats, Integers, Rows
from feed.config import DAY_S, HOUR_S, RankingConfig
from feed.domain import PAGE_KEY, FeedError, Mode
from feed.editorial.editorial_limits import Limit, limit_from_json
from feed.experiments.off_policy.bootstrap import ReaderBootstrap
from feed.features.ids import IdMap
from feed.features.sections import read_aliases
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.registry import ModelRegistry
from feed.models.view import build_view
from feed.offline.archive_log import read_archive
from feed.offline.past_requests import PastRequests
from feed.offline.ranking_metrics import auc, ndcg_at, sort_lists
from feed.preferences import WISHES_KEY
from feed.ranking.front_page_limits import states_of
from feed.ranking.pipeline import recommend
from feed.storage.archive import Archive

HISTORY_S = 3 * DAY_S
"""What is read before the first feed, for counters and the readers' past."""
MOST_FEEDS = 2_000
"""Feeds that are ranked again; more are drawn evenly over the time."""
FEWEST_FEEDS = 100
FEWEST_READERS = 30
"""With fewer feeds or readers, no price is stated."""
FRESH_S = 60.0
TOP = 10
MEMORY_MB = 1000
_TELL_EVERY = 50

_FEEDS = f"""
WITH clicks AS (
    SELECT DISTINCT user_id, request_id, article_id FROM events WHERE kind = 'click'
)
SELECT s.user_id, min(s.logged_user_id) AS logged_user_id, min(epoch_us(s.served_at)) / 1e6 AS at,
       '' AS section, any_value(lower(coalesce(s.language, ''))) AS language,
       any_value(coalesce(s.context ->> 'device', '')) AS device, '' AS page, '' AS limits,
       any_value(coalesce(s.context ->> '{WISHES_KEY}', '')) AS wishes,
       list(s.article_id ORDER BY s.position) AS shown,
       list(c.article_id IS NOT NULL ORDER BY s.position) AS clicked
FROM served AS s LEFT JOIN clicks AS c USING (user_id, request_id, article_id)
WHERE s.mode = '{Mode.PERSONALIZED.value}' AND s.user_id <> '' AND coalesce(s.section, '') = ''
  AND (s.context ->> '{PAGE_KEY}') IS NULL
  AND s.served_at >= make_timestamptz(?) AND s.served_at < make_timestamptz(?)
GROUP BY s.user_id, s.request_id
HAVING bool_or(c.article_id IS NOT NULL)
ORDER BY min(s.served_at), s.user_id
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPrice:
    """A metric without and with the limits.

    Attributes:
        without: Its mean.
        within: Its mean with the limits.
        change: By how much the limits change it, as a share of `without`.
        low: Lower bound of that at 95 %, by bootstrap over readers; None where all agree.
        high: Upper bound.
    """

    without: float
    within: float
    change: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPrice:
    """What limits cost on recorded clicks.

    Attributes:
        hours: Length of the window.
        feeds: Front pages with a click that were ranked again.
        found: Such front pages in the window.
        readers: Whose they were.
        enough: Whether these are enough to state a price.
        changed: Share of the slots of the first page with another article.
        ndcg: nDCG of the first `TOP` of the whole order.
        auc: AUC of the clicked among the articles shown.
        met: Share of the feeds that keep each limit, without and with them.
    """

    hours: float
    feeds: int
    found: int
    readers: int
    enough: bool
    changed: float
    ndcg: MetricPrice | None
    auc: MetricPrice | None
    met: tuple[tuple[float, float], ...]

    def sentence(self) -> str:
        """Return it in words."""
        if self.ndcg is None or not self.enough:
            feeds, readers = _count(self.feeds, "front page"), _count(self.readers, "reader")
            return (
                f"The last {self.hours:g} hours hold {feeds} with a click, of {readers}. That is "
                f"too little to state a price: it takes {FEWEST_FEEDS} front pages of "
                f"{FEWEST_READERS} readers."
            )
        return f"On the clicks of the last {self.hours:g} hours, {_cost(self.ndcg)}."


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _cost(price: MetricPrice) -> str:
    if price.change == 0 and price.low is None:
        return f"the limits change nothing of nDCG@{TOP}"
    verb = "cost" if price.change <= 0 else "gained"
    text = f"the limits {verb} {abs(price.change):.1%} of nDCG@{TOP}".replace("%", " %")
    if price.low is None or price.high is None:
        return text
    low, high = sorted((-price.low, -price.high)) if verb == "cost" else (price.low, price.high)
    return f"{text} (95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


def price_limits(
    archive: Archive,
    limits: Sequence[Limit],
    bundle: ModelBundle,
    config: RankingConfig,
    *,
    now: float,
    hours: float = 24.0,
    section_aliases: dict[str, str] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> LimitPrice:
    """Rank recorded front pages with a click again, without limits and with them.

    The clicks were made on the order that was served. An article that a limit raises was seldom
    seen, so it could seldom be clicked: the price is more likely too high than too low.

    Args:
        archive: Where the feeds are.
        limits: What is to be priced.
        bundle: The model that ranks.
        config: The settings it ranks with; nothing is explored.
        now: End of the window, epoch seconds.
        hours: Length of the window.
        section_aliases: As for `read_archive`.
        progress: Called with the share done, 0 to 1.

    Raises:
        ArchiveError: the archive cannot be read.
    """
    start = now - hours * HOUR_S
    with archive.query(start) as db:
        result = db.execute(_FEEDS, [round(max(at, 0.0) * 1e6) for at in (start, now)])
        names = [column[0] for column in result.description]
        found = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    kept = np.unique(np.linspace(0, len(found) - 1, MOST_FEEDS).round().astype(int)).tolist()
    records = [found[i] for i in kept] if found else []
    if not records:
        return _no_price(hours)
    log, embeddings = read_archive(archive, start - HISTORY_S, now, section_aliases)
    past = PastRequests(log, embeddings, FRESH_S)
    view, plain = build_view(past.pool, bundle), replace(config, explore_slots=0)
    pairs: list[_Pair] = []
    for number, record in enumerate(records):
        past.tick(record["at"])
        without, within = (
            recommend(past.context(view, record, plain, some), plain)
            for some in ((), tuple(limits))
        )
        kept_before = states_of(limits, [0] * len(limits), past.pool, without.rows, record["at"])
        met = [(a.met, b.met) for a, b in zip(kept_before, within.trace.limits, strict=True)]
        pairs.append(_Pair(without.rows, within.rows, tuple(met)))
        if number % _TELL_EVERY == 0:
            progress(number / len(records))
    return _compare(records, pairs, past.log.articles, config.first_page, hours, len(found))


def _no_price(hours: float) -> LimitPrice:
    return LimitPrice(
        hours=hours, feeds=0, found=0, readers=0, enough=False, changed=0.0, ndcg=None, auc=None,
        met=(),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """The rows of one front page without and with limits, and for each limit which kept it."""

    without: Rows
    within: Rows
    met: tuple[tuple[bool, bool], ...]


def _compare(
    records: list[dict[str, Any]],
    pairs: list[_Pair],
    articles: IdMap,
    first_page: int,
    hours: float,
    found: int,
) -> LimitPrice:
    shown = [articles.rows(record["shown"]) for record in records]
    clicked = [np.array(record["clicked"], np.bool_) for record in records]
    wanted = [rows[flags] for rows, flags in zip(shown, clicked, strict=True)]
    names = np.array([record["user_id"] for record in records])
    readers = np.unique(names, return_inverse=True)[1].astype(np.int64)
    sides = [[pair.without for pair in pairs], [pair.within for pair in pairs]]
    gains = [_gains(side, wanted) for side in sides]
    areas = [_areas(side, shown, clicked) for side in sides]
    changed = [
        np.count_nonzero(~np.isin(pair.within[:first_page], pair.without[:first_page]))
        / max(len(pair.within[:first_page]), 1)
        for pair in pairs
    ]
    met = np.array([pair.met for pair in pairs], np.float64).reshape(len(pairs), -1, 2).mean(axis=0)
    count = int(readers.max()) + 1
    return LimitPrice(
        hours=hours,
        feeds=len(records),
        found=found,
        readers=count,
        enough=len(records) >= FEWEST_FEEDS and count >= FEWEST_READERS,
        changed=float(np.mean(changed)),
        ndcg=_price(gains[0], gains[1], readers),
        auc=_price(areas[0], areas[1], readers),
        met=tuple((float(before), float(after)) for before, after in met.tolist()),
    )


def _gains(side: list[Rows], wanted: list[Rows]) -> Floats:
    """Return the nDCG of each order; a click on what it does not hold counts as missed."""
    scores = np.concatenate([-np.arange(len(rows), dtype=np.float64) for rows in side])
    relevant = [np.isin(rows, clicks) for rows, clicks in zip(side, wanted, strict=True)]
    sizes, counts = [len(rows) for rows in side], [len(clicks) for clicks in wanted]
    return ndcg_at(sort_lists(scores, np.concatenate(relevant), sizes, counts), TOP)


def _areas(side: list[Rows], shown: list[Rows], clicked: list[Flags]) -> Floats:
    """Return the AUC of the clicked among the articles shown, in each order."""
    scores = []
    for rows, of_page in zip(side, shown, strict=True):
        place = {row: at for at, row in enumerate(rows.tolist())}
        scores += [-float(place.get(row, len(rows))) for row in of_page.tolist()]
    return auc(sort_lists(scores, np.concatenate(clicked), [len(rows) for rows in shown]))


def _price(without: Floats, within: Floats, readers: Integers) -> MetricPrice | None:
    known = ~np.isnan(without) & ~np.isnan(within)
    before, after = without[known], within[known]
    if not before.sum():
        return None
    bootstrap = ReaderBootstrap(readers[known], np.random.default_rng(11))
    interval = bootstrap.ratio_interval(after - before, before)
    return MetricPrice(
        without=float(before.mean()),
        within=float(after.mean()),
        change=float((after - before).sum() / before.sum()),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def present_price(price: LimitPrice) -> dict[str, Any]:
    """Return a price with its sentence, JSON-ready."""
    return {**asdict(price), "sentence": price.sentence()}


def main() -> None:
    """Answer the question on standard input.

    It is a JSON object with `data_dir`, `limits`, `ranking` (settings), `section_aliases`, `now`,
    `hours` and `result`, the file that progress and result are written to.
    """
    question = orjson.loads(sys.stdin.buffer.read())
    data_dir, target = Path(question["data_dir"]), Path(question["result"])
    about = {name: question[name] for name in ("limits", "now", "hours")}

    def tell(**state: Any) -> None:
        write_whole(target, orjson.dumps({**about, **state}))

    tell(state="running", share=0.0)
    try:
        price = price_limits(
            Archive(data_dir / "archive", memory_mb=MEMORY_MB, threads=1),
            [limit_from_json(one) for one in question["limits"]],
            ModelRegistry(data_dir / "models").load_live() or empty_bundle(),
            RankingConfig(**question["ranking"]),
            now=float(question["now"]),
            hours=float(question["hours"]),
            section_aliases=read_aliases(question["section_aliases"]),
            progress=lambda share: tell(state="running", share=share),
        )
    except FeedError as error:
        tell(state="failed", error=str(error))
        raise
    tell(state="done", share=1.0, price=present_price(price))


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that others read, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)


if __name__ == "__main__":
    main()
