"""Days of a newsroom whose log the feed writes itself: serve, be clicked, learn, serve again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import DAY_S, RankingConfig
from feed.domain import Article
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, READ, EventColumns
from feed.features.pool import ArticlePool
from feed.features.profile import Profile, build_profile
from feed.features.request_context import RequestContext
from feed.features.state import LiveSignals
from feed.features.trending import TrendingDetector, TrendingState
from feed.models.bundle import ModelBundle, empty_bundle
from feed.models.view import RankingView, build_view
from feed.newsroom.articles import load_articles
from feed.newsroom.simulation import SimulatedReader, appeal, build_readers
from feed.offline.event_log import EventLog, Impressions, ListPlaces, sort_events
from feed.offline.examination import Examination, PlaceLog
from feed.offline.examples import ExampleStore, sample_negatives, shown_places
from feed.offline.fitting import fit_bundle
from feed.offline.ranker_training import fit_ranker
from feed.offline.replay import build_log_pool
from feed.ranking.context import RankingContext
from feed.ranking.live_index import LiveIndex, build_index
from feed.ranking.pipeline import Ranking, build_slate, rank_in_stages
from feed.ranking.slate import Slate, StageTimer, Trace
from feed.training_config import TrainingConfig

START = 1_780_012_800.0
"""Midnight at which the first day begins; what is drawn does not depend on the day of the run."""
PAGE = 12
"""Articles of a page; all of them come into view."""
EYES = 1.0
"""Readers look at place k, from 0, with the chance (k + 1) ** -EYES."""
TICK_S = 1800.0
"""Age at which trending, orders and live articles are made anew."""
NEGATIVES = 20
"""Articles of the pool without a click, per list that teaches."""
PREVIOUS = 10
"""Clicks before a click that co-visitation pairs it with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Newsroom:
    """What is the same whoever ranks: the articles, the readers, their tastes and their visits.

    `worth` f64 [articles] is what each article is worth to everybody, in log-odds, beyond what the
    tastes of `newsroom.simulation` say. `visits` are (time, reader), in time order.
    """

    articles: tuple[Article, ...]
    embeddings: Matrix
    readers: tuple[SimulatedReader, ...]
    worth: Floats
    visits: tuple[tuple[float, int], ...]
    days: int

    def chances(self, reader: int, rows: Rows, now: float) -> Floats:
        """Return the chance that a reader who looks at each article reads it, f64 [k]."""
        who = self.readers[reader]
        chance = np.array([appeal(who, self.articles[row], now) for row in rows.tolist()])
        odds = chance / (1.0 - chance) * np.exp(self.worth[rows])
        return np.asarray(odds / (1.0 + odds), np.float64)

    def published_in(self, first: int, end: int) -> Rows:
        """Return the articles of some days, `end` itself outside."""
        at = (np.array([a.published_at for a in self.articles]) - START) / DAY_S
        return np.flatnonzero((at >= first) & (at < end))


def build_newsroom(seed: int, *, days: int, readers: int, articles: int) -> Newsroom:
    """Return a newsroom of the built-in articles' sections, tags and texts, drawn anew each day.

    Args:
        seed: of everything drawn.
        days: how long it runs.
        readers: how many readers.
        articles: new articles a day.
    """
    rng = np.random.default_rng(seed)
    models = [a for a in load_articles(START) if a.language == "en"]
    themes = sorted({name for a in models for name in (a.section, *a.tags)})
    vectors = dict(zip(themes, rng.standard_normal((len(themes), 48)), strict=True))
    made, embeddings = [], []
    for number, at in enumerate(np.sort(rng.uniform(-2, days, (days + 2) * articles)).tolist()):
        model = models[int(rng.integers(len(models)))]
        made.append(
            replace(
                model,
                article_id=f"article-{number:05d}",
                published_at=START + at * DAY_S,
                title=f"{model.title} ({number})",
            )
        )
        about = vectors[model.section] + sum(0.7 * vectors[tag] for tag in model.tags)
        embeddings.append(about + rng.standard_normal(48))
    found = np.array(embeddings, np.float32)
    people = build_readers(models, readers, rng)
    visits = [
        (START + day * DAY_S + float(at) * DAY_S, number)
        for day in range(days)
        for number, who in enumerate(people)
        for at in rng.uniform(size=rng.poisson(who.visits_per_day / 3.0))
    ]
    return Newsroom(
        articles=tuple(made),
        embeddings=found / np.linalg.norm(found, axis=1, keepdims=True),
        readers=tuple(people),
        worth=rng.normal(0.0, 1.0, len(made)),
        visits=tuple(sorted(visits)),
        days=days,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One way to run the feed: its settings, whether learning is corrected, or an oracle."""

    name: str
    ranking: RankingConfig = field(default_factory=RankingConfig)
    correct: bool = True
    oracle: bool = False


@dataclass(frozen=True, slots=True)
class Day:
    """What came of one day: sums over its visits, and how often each article was seen and clicked.

    `reached` is the appeal that readers could come upon on the pages served, each place by how
    readily it is looked at, and `best` that of the best order of the same articles.
    """

    visits: int
    clicks: int
    reached: float
    best: float
    shown: Rows
    clicked: Rows


class FeedDays:
    """One arm's feed in one newsroom, day after day."""

    def __init__(self, room: Newsroom, arm: Arm, seed: int) -> None:
        self.room, self.arm = room, arm
        self._rng = np.random.default_rng(seed)
        self._training = TrainingConfig()
        count = len(room.articles)
        self._ids = IdMap(a.article_id for a in room.articles)
        self._users = IdMap(r.user_id for r in room.readers)
        self._published = np.array([a.published_at for a in room.articles])
        self._signals = LiveSignals(self._ids)
        self._detector, self._trending = TrendingDetector(arm.ranking), TrendingState()
        self._events: list[tuple[int, int, int, float, float]] = []
        self._seen: list[tuple[int, float, Rows]] = []
        self._pool: ArticlePool = build_log_pool(self._log(), room.embeddings)
        self._bundle: ModelBundle = empty_bundle()
        self._view: RankingView = build_view(self._pool, self._bundle)
        self._index: LiveIndex | None = None
        self._ticked_at = -np.inf
        self._history = [_History() for _ in room.readers]
        self._examples = ExampleStore(self._training.ranker_days * DAY_S)
        self.places = PlaceLog(self._training.ranker_days * DAY_S)
        self.curve: Examination | None = None
        self._eyes = (1.0 + np.arange(PAGE)) ** -EYES
        self._count = count

    def run(self) -> Iterator[Day]:
        """Yield each day; the model is learnt anew after it."""
        visits = iter(self.room.visits)
        visit = next(visits, None)
        for day in range(self.room.days):
            end = START + (day + 1) * DAY_S
            sums, shown = np.zeros(4), np.zeros((2, self._count), np.int64)
            while visit is not None and visit[0] < end:
                sums += self._serve(*visit, shown)
                visit = next(visits, None)
            yield Day(int(sums[0]), int(sums[1]), float(sums[2]), float(sums[3]), *shown)
            if not self.arm.oracle:
                self._learn(end)

    def _serve(self, now: float, reader: int, shown: Rows) -> tuple[float, float, float, float]:
        if now >= self._ticked_at + TICK_S:
            self._tick(now)
        context = self._context(now, reader)
        trace = Trace()
        ranking = rank_in_stages(context, self.arm.ranking, trace, StageTimer(trace, None))
        slate = build_slate(ranking)
        eligible = ranking.situation.eligible.rows
        chances = np.zeros(self._count)
        chances[eligible] = self.room.chances(reader, eligible, now)
        ideal = eligible[np.argsort(-chances[eligible], kind="stable")][:PAGE]
        page = ideal if self.arm.oracle else slate.rows[:PAGE]
        eyes = self._eyes[: len(page)]
        lot = np.random.default_rng((int(now * 1e3), reader)).random((2, PAGE))[:, : len(page)]
        clicked = (lot[0] < eyes) & (lot[1] < chances[page])
        shown[0, page] += 1
        shown[1, page[clicked]] += 1
        self._count_visit(now, reader, page, clicked)
        if not self.arm.oracle:
            self._note(ranking, slate, page, clicked, now)
        return (
            1.0,
            clicked.sum(),
            float(eyes @ chances[page]),
            float(self._eyes[: len(ideal)] @ chances[ideal]),
        )

    def _context(self, now: float, reader: int) -> RankingContext:
        return RankingContext(
            view=self._view,
            signals=self._signals,
            trending=self._trending,
            request=RequestContext(now=now),
            rng=self._rng,
            profile=self._history[reader].profile(now, self.arm.ranking),
            index=self._index,
            with_reasons=False,
        )

    def _tick(self, now: float) -> None:
        live = (self._published < now) & (self._published > now - 3 * DAY_S)
        self._view = self._view.with_live(live)
        counters = self._signals.counters
        self._trending = self._detector.update(counters, self._view.pool, now)
        self._index = build_index(self._view.pool, counters, now, self._index)
        self._ticked_at = now

    def _count_visit(self, now: float, reader: int, page: Rows, clicked: Flags) -> None:
        history, counters = self._history[reader], self._signals.counters
        at = np.full(len(page), now)
        counters.add_impressions(page, at)
        history.show(page, now)
        self._seen.append((reader, now, page))
        for place, row in enumerate(page[clicked].tolist()):
            when = now + 1.0 + place
            rows, times = np.array([row]), np.array([when])
            before, before_at = history.last_clicks(PREVIOUS)
            counters.add_clicks(rows, times, from_feed=True)
            self._signals.covisitation.add_clicks(
                rows, times, before, before_at, np.array([len(before)])
            )
            dwell_s = float(self._rng.lognormal(3.5, 0.8))
            counters.add_dwell(rows, np.array([dwell_s]))
            history.do(row, when, dwell_s)
            self._events.append((reader, row, CLICK, when, np.nan))
            self._events.append((reader, row, READ, when + 0.5, dwell_s))

    def _note(self, ranking: Ranking, slate: Slate, page: Rows, clicked: Flags, now: float) -> None:
        """Keep what the visit teaches, as a replay would find it."""
        drawn = slate.explored[: len(page)]
        scores = np.where(drawn, np.nan, slate.scores[: len(page)]).astype(np.float32)
        placed = ListPlaces(places=np.arange(len(page)), scores=scores, drawn=drawn)
        self.places.add(placed, clicked, now)
        if not clicked.any():
            return
        rows = ranking.candidates.rows
        places = shown_places(rows, page, np.arange(len(page)))
        was_clicked = np.isin(rows, page[clicked])
        if self.arm.correct:
            kept = np.flatnonzero(places >= 0)
        else:
            kept = sample_negatives(was_clicked, NEGATIVES, self._rng)
        self._examples.add(ranking.scores.features[kept], was_clicked[kept], now, places[kept])

    def _learn(self, until: float) -> None:
        bundle = fit_bundle(self._log(), until, self._training, embeddings=self.room.embeddings)
        self.curve = self.places.learn(until)
        examples = self._examples.collect(until)
        ranker = fit_ranker(
            examples, "pool", self._training, 1, self.curve if self.arm.correct else None
        )
        self._bundle = replace(bundle, ranker=ranker)
        self._view = build_view(self._pool, self._bundle)
        self._ticked_at = -np.inf

    def _log(self) -> EventLog:
        columns = list(zip(*self._events, strict=True)) or [()] * 5
        events = EventColumns(
            users=np.array(columns[0], np.int64),
            articles=np.array(columns[1], np.int64),
            kinds=np.array(columns[2], np.int8),
            occurred_at=np.array(columns[3], np.float64),
            dwell_s=np.array(columns[4], np.float64),
        )
        yes = events.kinds == CLICK
        return EventLog(
            name="simulated",
            articles=self._ids,
            users=self._users,
            events=sort_events(events, yes, ~yes & False, yes | True),
            impressions=Impressions.none(),
            first_seen_at=self._published,
            catalogue=self.room.articles,
        )


class _History:
    """What one reader did, as ranking asks for it."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._kinds: list[int] = []
        self._at: list[float] = []
        self._dwell: list[float] = []
        self._shown: dict[int, tuple[float, float]] = {}

    def show(self, page: Rows, now: float) -> None:
        for row in page.tolist():
            self._shown[row] = self._shown.get(row, (0.0, 0.0))[0] + 1.0, now

    def do(self, row: int, at: float, dwell_s: float) -> None:
        self._rows += [row, row]
        self._kinds += [CLICK, READ]
        self._at += [at, at + 0.5]
        self._dwell += [np.nan, dwell_s]

    def last_clicks(self, count: int) -> tuple[Rows, Floats]:
        rows, at = np.array(self._rows[::2][-count:], np.int64), np.array(self._at[::2][-count:])
        return rows, at

    def profile(self, now: float, config: RankingConfig) -> Profile:
        recent = {r: v for r, v in self._shown.items() if v[1] > now - 2 * DAY_S}
        self._shown = recent
        return build_profile(
            np.array(self._rows[-200:], np.int64),
            np.array(self._kinds[-200:], np.int8),
            np.array(self._at[-200:], np.float64),
            np.array(self._dwell[-200:], np.float64),
            now=now,
            config=config,
            shown_rows=np.array(list(recent), np.int64),
            shown_counts=np.array([v[0] for v in recent.values()]),
            shown_last_at=np.array([v[1] for v in recent.values()]),
        )
