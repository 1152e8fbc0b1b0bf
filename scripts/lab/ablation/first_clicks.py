#!/usr/bin/env python
"""Measures the feed of readers whose history is cut to their last 0, 1, 2, 3, 5 and 10 clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import click
import numpy as np
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.commands.errors import one_line_errors
from feed.config import HOUR_S, RankingConfig
from feed.domain import parse_time
from feed.features.profile import Profile
from feed.models.ranker import LinearRanker, logistic
from feed.models.schema import feature_index
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.event_log import EventLog
from feed.offline.methods import CLICKS_BY_AGE, DAY_ONE, SIGNALS, clicks_by_age
from feed.offline.metric_values import MetricValues
from feed.offline.pool_protocol import PoolCandidates, find_pool_candidates
from feed.offline.ranking_metrics import MeanEstimate, bootstrap_mean, sort_lists
from feed.offline.walk import Walk
from feed.offline.walk_plan import WalkPlan
from feed.ranking.candidates import PERSONAL_SOURCES, TURNS, first_eligible, unite
from feed.ranking.scoring import build_candidate_features, find_factors
from lab.ablation.list_facts import facts_of
from lab.bench.first_model import read_world

CUTS = (0, 1, 2, 3, 5, 10)
WINDOWS = {
    "ebnerd": ("2023-05-23T07:00", "2023-05-25T07:00"),
    "mind": ("2019-11-11", "2019-11-13"),
}
"""Days on which nothing is reported but what parameters are chosen by."""
NEWSROOM_S = 12 * HOUR_S
"""Span at the end of the built-in newsroom's log that is measured."""
SOURCES_TRIED: dict[str, tuple[str, ...]] = {
    "as they are": (),
    "clicks over age as one more source": ("hot",),
    "clicks over age instead of clicks, 30 min": ("popular_30m",),
}
"""Sources whose proposals are the live articles by clicks over age; a new one has one turn."""
SHARES_TRIED = {
    "half a turn from the reader's clicks": 0.5,
    "one turn from the reader's clicks": 1.0,
}
"""Turns that each source gets which starts from a reader's clicks, instead of its own."""
WAYS = (*SOURCES_TRIED, *SHARES_TRIED)
_FOLDER = click.Path(path_type=Path)


@click.command()
@click.argument("directory", type=_FOLDER, required=False)
@click.option(
    "--dataset", type=click.Choice([*WINDOWS, "newsroom"]), default="ebnerd", show_default=True
)
@click.option("--from", "from_text", metavar="TIME", help="First list measured, ISO 8601.")
@click.option("--to", "to_text", metavar="TIME", help="End of the measured window.")
@click.option("--every", default=5, show_default=True, help="Of so many lists one is measured.")
@click.option("--json", "json_path", type=_FOLDER, help="Write the figures.")
def main(
    directory: Path | None,
    dataset: str,
    from_text: str | None,
    to_text: str | None,
    every: int,
    json_path: Path | None,
) -> None:
    """Print the pool nDCG@10 by the number of clicks that are left of each history.

    Every row is measured on the same lists: those of readers with at least as many clicks as the
    longest cut. Models learn from whole histories. What each row is compared with is the best of
    the orders by clicks alone, on the candidates of that row.

    Without --from and --to the days lie in EB-NeRD's training week, or before MIND's last two; in
    the built-in newsroom, which has no DIRECTORY, they are its last twelve hours.
    """
    with one_line_errors(), Progress(transient=True) as bar:
        log, vectors = read_world(dataset, directory, seed=7)
        start, end = _window(log, dataset, from_text, to_text)
        plan = WalkPlan(start=start, end=end, heads=("pool",), pool_every=every)
        book = CutBook(plan.ranking)
        task = bar.add_task("walking", total=1.0)
        with ThreadPoolExecutor(1) as trainer:
            walk = Walk(log, plan, vectors, book)
            walk.evaluate(trainer, lambda share: bar.update(task, completed=share))
            book.flush()
    figures = book.figures()
    for table in _tables(figures):
        Console().print(table)
    if json_path is not None:
        json_path.write_bytes(orjson.dumps(asdict(figures), option=orjson.OPT_INDENT_2))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFigures:
    """What was found, by the name of a cut or an order.

    `rival` is the order by clicks alone that was best on what 0 clicks propose; `leads` and
    `day_one_leads`, of the day-one weights, are those over it on the same candidates. `recalls`
    have the share of the clicked articles that are among the candidates, by `WAYS`.
    """

    feed: dict[str, MeanEstimate]
    day_one: dict[str, MeanEstimate]
    day_one_leads: dict[str, MeanEstimate]
    popularity: dict[str, MeanEstimate]
    rival: str
    leads: dict[str, MeanEstimate]
    recalls: dict[str, dict[str, MeanEstimate]]


@dataclass(slots=True)
class _Waiting:
    """The lists of one cut that wait for the period's ranker."""

    features: list[Matrix] = field(default_factory=list)
    factors: list[Floats] = field(default_factory=list)
    clicked: list[Flags] = field(default_factory=list)
    recalls: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in WAYS})


class CutBook:
    """Ranks the pool anew for each cut of a reader's history, and measures every cut.

    Args:
        config: how the pool is ranked.
    """

    def __init__(self, config: RankingConfig) -> None:
        self._config = config
        self._metrics = MetricValues()
        self._rankers: Rankers = {}
        self._entries: list[PoolList] = []
        self._waiting = {cut: _Waiting() for cut in CUTS}

    def add_slate(self, entry: SlateList) -> None:
        """Nothing: editors' lists are not measured here."""

    def add_pool(self, entry: PoolList) -> None:
        """Find the candidates of each cut, and their features."""
        context = entry.found.context
        if len(context.profile.clicked_rows) < max(CUTS):
            return
        self._entries.append(entry)
        for cut, waiting in self._waiting.items():
            cut_context = replace(context, profile=cut_profile(context.profile, cut))
            found = find_pool_candidates(cut_context, self._config)
            waiting.features.append(
                build_candidate_features(found.context, found.situation, found.rows, self._config)
            )
            factors = find_factors(found.context, found.rows, self._config).product
            waiting.factors.append(factors)
            waiting.clicked.append(np.isin(found.rows, entry.wanted))
            for name, rows in _ways_to_propose(found, self._config).items():
                waiting.recalls[name].append(float(np.isin(entry.wanted, rows).mean()))

    def use_rankers(self, rankers: Rankers) -> None:
        """Score what is added from now on with these, once they are trained."""
        self.flush()
        self._rankers = rankers

    def flush(self) -> None:
        """Score and measure everything that waits."""
        entries, all_waiting = self._entries, self._waiting
        self._entries, self._waiting = [], {cut: _Waiting() for cut in CUTS}
        if not entries:
            return
        trained = self._rankers["pool"].result() if "pool" in self._rankers else None
        day_one = LinearRanker()
        ranker = day_one if trained is None else trained
        self._metrics.add_facts("pool", facts_of(entries))
        wanted = [float(len(entry.wanted)) for entry in entries]
        for cut, waiting in all_waiting.items():
            features = np.concatenate(waiting.features)
            clicked = np.concatenate(waiting.clicked)
            sizes = [len(part) for part in waiting.clicked]
            factors = np.concatenate(waiting.factors)
            scored = {_rival(name, cut): s for name, s in _popularity(features).items()}
            scored[str(cut)] = logistic(ranker.margin(features)) * factors
            scored[_rival(DAY_ONE, cut)] = logistic(day_one.margin(features)) * factors
            for name, scores in scored.items():
                self._metrics.add("pool", name, sort_lists(scores, clicked, sizes, wanted))
            for name, shares in waiting.recalls.items():
                self._metrics.add_values("pool", str(cut), name, np.array(shares))

    def figures(self) -> CutFigures:
        """Return what was found; a lead is list by list, its interval over readers."""
        names = list(_popularity(np.zeros((1, len(feature_index())), np.float32)))
        popularity = {name: self._mean(_rival(name, 0)) for name in names}
        rival = max(popularity, key=lambda name: popularity[name].mean)
        return CutFigures(
            feed={str(cut): self._mean(str(cut)) for cut in CUTS},
            day_one={str(cut): self._mean(_rival(DAY_ONE, cut)) for cut in CUTS},
            day_one_leads={
                str(cut): self._mean(_rival(DAY_ONE, cut), less=_rival(rival, cut)) for cut in CUTS
            },
            popularity=popularity,
            rival=rival,
            leads={str(cut): self._mean(str(cut), less=_rival(rival, cut)) for cut in CUTS},
            recalls={str(cut): {name: self._mean(str(cut), name) for name in WAYS} for cut in CUTS},
        )

    def _mean(self, method: str, metric: str = "ndcg@10", less: str | None = None) -> MeanEstimate:
        values = self._metrics.values("pool", method, metric)
        if less is not None:
            values = values - self._metrics.values("pool", less, metric)
        return bootstrap_mean(values, self._metrics.facts("pool").users)


def _ways_to_propose(found: PoolCandidates, config: RankingConfig) -> dict[str, Rows]:
    ways = {name: _propose(found, sources, config) for name, sources in SOURCES_TRIED.items()}
    of_clicks = [n for n in PERSONAL_SOURCES if n not in {"followed", "content_page"}]
    for name, share in SHARES_TRIED.items():
        turns = TURNS | dict.fromkeys(of_clicks, share)
        ways[name] = take_turns(found.proposals, turns, config.candidate_cap)
    return ways


def take_turns(proposals: Mapping[str, Rows], turns: Mapping[str, float], cap: int) -> Rows:
    """Return the round-robin union of proposals, at most `cap` rows, with other turns."""
    due = [np.arange(1, len(rows) + 1) / turns.get(name, 1.0) for name, rows in proposals.items()]
    order = np.argsort(np.concatenate(due), kind="stable")
    rows = np.concatenate(list(proposals.values()))[order]
    _, first = np.unique(rows, return_index=True)
    taken: Rows = rows[np.sort(first)[:cap]]
    return taken


def _propose(found: PoolCandidates, replaced: Sequence[str], config: RankingConfig) -> Rows:
    """Return the candidates if some sources proposed the live articles by clicks over age."""
    situation = found.situation
    limit = config.candidates_per_source
    hot = first_eligible(situation.index.hot, situation.eligible.mask, limit)
    proposals = found.proposals | dict.fromkeys(replaced, hot)
    return unite(proposals, found.context.view.pool.size, config.candidate_cap).rows


def _window(
    log: EventLog, dataset: str, from_text: str | None, to_text: str | None
) -> tuple[float, float]:
    if dataset in WINDOWS:
        usual_start, usual_end = WINDOWS[dataset]
        start = parse_time("--from", from_text or usual_start)
        return start, parse_time("--to", to_text or usual_end)
    end = parse_time("--to", to_text) if to_text else log.ends_at + 1.0
    return parse_time("--from", from_text) if from_text else end - NEWSROOM_S, end


def _tables(found: CutFigures) -> list[Table]:
    ahead = f"ahead of {found.rival}"
    curve = Table("clicks left", "nDCG@10", ahead, "day-one weights", ahead, "lists")
    for cut, own in found.feed.items():
        lead, day_one = found.leads[cut], found.day_one[cut]
        day_one_lead = found.day_one_leads[cut]
        curve.add_row(
            cut,
            _cell(own),
            _cell(lead, "+.4f"),
            _cell(day_one),
            _cell(day_one_lead, "+.4f"),
            f"{own.n:,}",
        )
    orders = Table("of what 0 clicks propose", "nDCG@10")
    for name, own in found.popularity.items():
        orders.add_row(name, _cell(own))
    recalls = Table("clicked articles among the candidates", *found.recalls)
    for name in WAYS:
        recalls.add_row(name, *(f"{of[name].mean:.4f}" for of in found.recalls.values()))
    return [curve, orders, recalls]


def _cell(found: MeanEstimate, form: str = ".4f") -> str:
    return f"{found.mean:{form}} ({found.low:.4f} to {found.high:.4f})"


def cut_profile(profile: Profile, clicks: int) -> Profile:
    """Return the profile of a reader who had done nothing before their last clicks.

    What they have read stays out of the list, as it does with the whole history.
    """
    rows, times = profile.clicked_rows[:clicks], profile.clicked_at[:clicks]
    since = times.min(initial=np.inf)
    engaged = np.isin(profile.engaged_rows, rows)
    session = np.isin(profile.session_rows, rows)
    shown = profile.shown_last_at >= since
    return replace(
        profile,
        clicked_rows=rows,
        clicked_at=times,
        engaged_rows=profile.engaged_rows[engaged],
        weights=profile.weights[engaged],
        fold_in_weights=profile.fold_in_weights[engaged],
        session_rows=profile.session_rows[session],
        session_at=profile.session_at[session],
        shown_rows=profile.shown_rows[shown],
        shown_counts=profile.shown_counts[shown],
        shown_last_at=profile.shown_last_at[shown],
        n_events=int(engaged.sum()),
    )


def _popularity(features: Matrix) -> dict[str, Floats]:
    """Return the scores of every order by clicks alone, f64 [k] each."""
    scores = {CLICKS_BY_AGE: clicks_by_age(features)}
    for name, (feature, sign) in SIGNALS.items():
        if feature.startswith("clicks_"):
            column = features[:, feature_index()[feature]].astype(np.float64)
            scores[name] = sign * np.nan_to_num(column)
    return scores


def _rival(name: str, cut: int) -> str:
    return f"{name} of {cut}"


if __name__ == "__main__":
    main()
