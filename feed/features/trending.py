"""Which stories are read far more than expected, and which labels are already on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from feed.arrays import Flags, Floats, Rows
from feed.config import RankingConfig
from feed.domain import TrendingEntry
from feed.features.counters import HALF_LIVES_S
from feed.features.ids import IdMap
from feed.features.judged_stories import JudgedStories, group_by_story
from feed.features.languages import matching_codes
from feed.features.pool import ArticlePool
from feed.features.request_context import asked_section
from feed.features.surprise import SLOW, Surprise, TrendingRules, measure_surprise
from feed.features.trend_tests import FEWEST_READERS, MOST_TESTS, TrendTest, TrendTests

WEIGHED = 0.5
"""Decayed readers from untrusted callers from which a story's label depends on them."""


class ClickCounters(Protocol):
    """What the test needs from the counters: those of the site, or of a simulated world.

    `began_at`: when the earliest counted click occurred, epoch seconds.
    """

    began_at: float

    def clicks(self, rows: Rows, now: float) -> Floats:
        """Return decayed distinct readers, shape [k, half-lives]."""
        ...

    def site_clicks(self, now: float) -> Floats:
        """Return the same summed over the site, shape [half-lives]."""
        ...


class WithheldReaders(Protocol):
    """What the test needs from the bound on networks, real or in a simulated world."""

    def withheld(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that do not count, shape [k, half-lives]."""
        ...

    def site_withheld(self, now: float) -> Floats:
        """Return the same summed over the site, shape [half-lives]."""
        ...

    def readers(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that were weighted, shape [k]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class TrendingState:
    """The trending stories at one moment.

    `entries` are sorted, best first, and include rising stories without the label. `ranked_rows`
    has the rows of their articles in that order, those of a story one after the other, the leading
    one first; `ranked_of` says to which entry each belongs. `rows`, `scores` and `flags` hold the
    same by pool row, `rows` ascending, and `places` where they are ranked. Rows are valid only in
    this process; the serialised form holds article ids.
    """

    at: float = 0.0
    entries: tuple[TrendingEntry, ...] = ()
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    scores: Floats = field(default_factory=lambda: np.empty(0))
    flags: Flags = field(default_factory=lambda: np.empty(0, np.bool_))
    places: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    ranked_rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    ranked_of: Rows = field(default_factory=lambda: np.empty(0, np.int64))

    def score(self, rows: Rows) -> Floats:
        """Return the trending score in [0, 1] of pool rows; 0 for what does not trend."""
        found, at = self._find(rows)
        return np.where(found, self.scores[at], 0.0) if self.rows.size else np.zeros(len(rows))

    def labelled(self, rows: Rows) -> Flags:
        """Return which pool rows are of a story that carries the label."""
        found, at = self._find(rows)
        return found & self.flags[at] if self.rows.size else np.zeros(len(rows), np.bool_)

    def labelled_once(self, rows: Rows) -> Flags:
        """Return which of the rows of one list carry the label: of a story, the first one."""
        labelled = self.labelled(rows)
        places = labelled.nonzero()[0]
        if places.size > 1:
            of = self.ranked_of[self.places[self._find(rows[places])[1]]]
            again = np.delete(np.arange(len(of)), np.unique(of, return_index=True)[1])
            labelled[places[again]] = False
        return labelled

    def entry(self, row: int) -> TrendingEntry | None:
        """Return the entry of the story of one pool row, or None."""
        return self.entries_of(np.array([row]))[0]

    def entries_of(self, rows: Rows) -> list[TrendingEntry | None]:
        """Return the entry of the story of each pool row; None for what does not trend, and -1."""
        found, at = self._find(rows)
        of: list[TrendingEntry | None] = [None] * len(rows)
        for place in found.nonzero()[0].tolist():
            of[place] = self.entries[self.ranked_of[self.places[at[place]]]]
        return of

    def select(
        self, pool: ArticlePool, section: str = "", language: str = ""
    ) -> tuple[TrendingEntry, ...]:
        """Return the entries, best first, of one section and/or language ("" for all).

        The first article of a story that can be shown and fits leads its entry there.
        """
        keep = (self.ranked_rows >= 0) & (self.ranked_rows < pool.size)
        at = np.where(keep, self.ranked_rows, 0)
        if not self.entries or pool.size == 0:
            return ()
        keep &= pool.live[at]
        if section:
            keep &= pool.stand_in(at, [asked_section(pool.sections, section)])
        if language:
            keep &= np.isin(pool.language[at], matching_codes(pool.languages, [language]))
        kept = np.flatnonzero(keep)
        first = kept[np.unique(self.ranked_of[kept], return_index=True)[1]]
        found = zip(self.ranked_of[first].tolist(), self.ranked_rows[first].tolist(), strict=True)
        return tuple(_led_by(self.entries[of], pool.ids.ids[row]) for of, row in found)

    def without(self, article_id: str, ids: IdMap) -> TrendingState:
        """Return the state without an article; its story keeps its numbers."""
        kept = [entry for entry in map(partial(_cut, article_id), self.entries) if entry]
        return build_state(self.at, kept, ids)

    def to_bytes(self) -> bytes:
        """Return the state as JSON, articles by id.

        The other articles of stories stand apart, where earlier versions do not look.
        """
        entries = [asdict(entry) for entry in self.entries]
        others = {e["article_id"]: found for e in entries if (found := e.pop("others"))}
        content = {"at": self.at, "entries": entries, "others": others}
        return json.dumps(content, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, ids: IdMap) -> TrendingState:
        """Return the state that `to_bytes` wrote, with the row numbers of `ids`.

        An article that `ids` does not know stays in `entries` and has no row.
        """
        content = json.loads(data)
        others = content.get("others", {})
        entries = [
            TrendingEntry(**entry, others=tuple(others.get(entry["article_id"], ())))
            for entry in content["entries"]
        ]
        return build_state(content["at"], entries, ids)

    def _find(self, rows: Rows) -> tuple[Flags, Rows]:
        if not self.rows.size:
            return np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.int64)
        at = np.minimum(np.searchsorted(self.rows, rows), self.rows.size - 1)
        return self.rows[at] == rows, at


def build_state(at: float, entries: Sequence[TrendingEntry], ids: IdMap) -> TrendingState:
    """Return the state of these entries (best first) with the row numbers of `ids`."""
    ranked_of = np.repeat(np.arange(len(entries)), [1 + len(e.others) for e in entries])
    names = [name for entry in entries for name in (entry.article_id, *entry.others)]
    ranked = np.array([ids.row(name) for name in names], dtype=np.int64)
    known = np.flatnonzero(ranked >= 0)
    places = known[np.argsort(ranked[known])]
    scores = np.array([entry.score for entry in entries], dtype=np.float64)
    flags = np.array([entry.labelled for entry in entries], dtype=np.bool_)
    return TrendingState(
        at=at,
        entries=tuple(entries),
        rows=ranked[places],
        scores=scores[ranked_of[places]],
        flags=flags[ranked_of[places]],
        places=places,
        ranked_rows=ranked,
        ranked_of=ranked_of,
    )


def _led_by(entry: TrendingEntry, article_id: str) -> TrendingEntry:
    """Return an entry with another of its articles as the leading one."""
    if article_id == entry.article_id:
        return entry
    others = (entry.article_id, *(one for one in entry.others if one != article_id))
    return replace(entry, article_id=article_id, others=others)


def _cut(article_id: str, entry: TrendingEntry) -> TrendingEntry | None:
    """Return an entry without an article; None if it has no other."""
    kept = [one for one in (entry.article_id, *entry.others) if one != article_id]
    return replace(entry, article_id=kept[0], others=tuple(kept[1:])) if kept else None


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What one update looked at and found, by story; arrays of shape [s], `came` before the bound.

    `is_met` says which stories satisfy the rule, whether they have waited or not.
    """

    at: float
    window_minutes: int
    stories: JudgedStories
    came: Floats
    surprise: Surprise
    is_met: Flags
    ids: IdMap


class TrendingDetector:
    """Computes trending states from counters, and remembers which labels are on and since when."""

    def __init__(
        self,
        config: RankingConfig | None = None,
        rules: TrendingRules | None = None,
        previous: TrendingState | None = None,
    ) -> None:
        half_life_s = (config or RankingConfig()).trending_half_life_minutes * 60
        distances = [abs(np.log(half_life_s / h)) for h in HALF_LIVES_S[:SLOW]]
        self._fast = int(np.argmin(distances))
        self._rules = rules or TrendingRules()
        self._since: dict[str, float] = {}
        self._waiting: dict[str, float] = {}
        self._led: list[str] = []
        self._judged: _Judged | None = None
        if previous is not None:
            self.restore(previous)

    def restore(self, state: TrendingState) -> None:
        """Go on from an earlier state (after a restart) instead of from no labels."""
        self._since = {
            article_id: entry.since or state.at
            for entry in state.entries
            if entry.labelled
            for article_id in (entry.article_id, *entry.others)
        }
        self._led = [entry.article_id for entry in state.entries if entry.others]

    def update(
        self,
        counters: ClickCounters,
        pool: ArticlePool,
        now: float,
        bound: WithheldReaders | None = None,
    ) -> TrendingState:
        """Return what trends now; labels that were on may stay on (hysteresis).

        A sponsored article never trends: its readers may have been paid for.

        Args:
            counters: decayed distinct readers, by row.
            pool: the articles; only live ones that are not sponsored are considered. Those that
                its `stories` unite are judged together.
            now: epoch seconds.
            bound: how many of those readers do not count, where that was weighed, or because they
                had read another article of the story; the same rows.
        """
        rows = np.flatnonzero(pool.live[: pool.size] & ~pool.sponsored[: pool.size])
        clicks = counters.clicks(rows, now)
        came, site = clicks[:, self._fast], counters.site_clicks(now)
        weighed = np.zeros(len(rows))
        if bound is not None:
            clicks = clicks - bound.withheld(rows, now)
            site = np.maximum(site - bound.site_withheld(now), 0.0)
            weighed = bound.readers(rows, now)
        started = np.maximum(pool.published_at[rows], counters.began_at)
        half_life_s = HALF_LIVES_S[self._fast]
        stories = group_by_story(pool, rows, clicks[:, self._fast], pool.ids.rows(self._led))
        surprise = measure_surprise(
            clicks[:, self._fast],
            clicks[:, SLOW],
            now - started,
            (float(site[self._fast]), float(site[SLOW])),
            half_life_s,
            self._rules,
            stories=stories.story,
        )
        window_minutes = round(half_life_s / np.log(2) / 60)
        is_weighed = stories.sum_of(weighed) > WEIGHED
        self._judged = judged = _Judged(
            at=now,
            window_minutes=window_minutes,
            stories=stories,
            came=stories.sum_of(came),
            surprise=surprise,
            is_met=np.zeros(len(stories.first), np.bool_),
            ids=pool.ids,
        )
        return self._label(judged, is_weighed)

    def tests(self) -> TrendTests | None:
        """Return what the last update found for each story that is read; None before it."""
        judged = self._judged
        if judged is None:
            return None
        read = np.flatnonzero(judged.came >= FEWEST_READERS)
        read = read[np.argsort(-judged.came[read], kind="stable")[:MOST_TESTS]]
        found, ids = judged.surprise, judged.ids.ids
        columns = (judged.came, found.readers, found.expected, found.lift, found.p_value)
        values: list[list[Any]] = [one[read].tolist() for one in (*columns, judged.is_met)]
        keys = [judged.stories.name(story, judged.ids) for story in read.tolist()]
        waits = [None if key in self._since else self._waiting.get(key) for key in keys]
        articles = [
            [ids[row] for row in judged.stories.articles_of(story)] for story in read.tolist()
        ]
        names = [some[0] for some in articles]
        tests = [TrendTest(*row) for row in zip(names, *values, waits, strict=True)]
        leaders = {one: some[0] for some in articles for one in some[1:]}
        return TrendTests(judged.at, judged.window_minutes, tests, leaders)

    def _label(self, judged: _Judged, weighed: Flags) -> TrendingState:
        """Return the state; write down which stories satisfy the rule.

        Args:
            judged: what was found.
            weighed: whose label depends on readers from untrusted callers, bool [s].
        """
        rules, surprise, stories = self._rules, judged.surprise, judged.stories
        held = stories.have(judged.ids.rows(list(self._since)))
        starts = (
            (surprise.p_value < rules.p_on)
            & (surprise.lift >= rules.lift_on)
            & (surprise.readers >= rules.min_readers)
        )
        stays = (
            held
            & (surprise.p_value < rules.p_off)
            & (surprise.lift >= rules.lift_off)
            & (surprise.readers >= rules.min_readers / 2)
        )
        judged.is_met[:] = starts | stays
        young = np.flatnonzero(starts & ~stays & weighed)
        starts[young] = self._settled(young, judged)
        on = np.flatnonzero(starts | stays)
        favoured = surprise.score[on] * np.where(held[on], 1.25, 1.0)
        on = on[np.argsort(-favoured, kind="stable")[: rules.max_labels]]
        self._since = {stories.name(i, judged.ids): self._since_of(i, judged) for i in on.tolist()}
        listed = np.flatnonzero(surprise.score > 0.01)
        listed = np.union1d(listed, on)
        listed = listed[np.argsort(-surprise.score[listed], kind="stable")[: rules.max_entries]]
        entries = [self._entry(judged, i) for i in listed.tolist()]
        self._led = [entry.article_id for entry in entries if entry.others]
        return build_state(judged.at, entries, judged.ids)

    def _since_of(self, story: int, judged: _Judged) -> float:
        """Return since when a story has had the label, under the id of any of its articles."""
        names = [judged.stories.name(story, judged.ids)]
        names += [judged.ids.ids[row] for row in judged.stories.articles_of(story)]
        return min((self._since[name] for name in names if name in self._since), default=judged.at)

    def _settled(self, stories: Rows, judged: _Judged) -> Flags:
        """Return which stories have met the rule for long enough, of all that meet it now."""
        names = [judged.stories.name(story, judged.ids) for story in stories.tolist()]
        now = judged.at
        self._waiting = {name: min(self._waiting.get(name, now), now) for name in names}
        met_s = now - np.array([*self._waiting.values()], np.float64)
        long_enough: Flags = met_s >= self._rules.settle_s
        return long_enough

    def _entry(self, judged: _Judged, story: int) -> TrendingEntry:
        surprise, ids = judged.surprise, judged.ids
        leading, *others = (ids.ids[row] for row in judged.stories.articles_of(story))
        since = self._since.get(judged.stories.name(story, ids))
        return TrendingEntry(
            article_id=leading,
            score=float(surprise.score[story]),
            readers=float(surprise.readers[story]),
            expected=float(surprise.expected[story]),
            lift=float(surprise.lift[story]),
            p_value=float(surprise.p_value[story]),
            labelled=since is not None,
            since=since,
            window_minutes=judged.window_minutes,
            others=tuple(others),
        )
