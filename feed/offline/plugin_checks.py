"""The contract of plugins, tried on a small log.

A plugin is asked at several moments of one log. It must answer what its protocol says, answer the
same again, and leave what it was given as it is. It must also answer the same to a new object that
is asked about the moments in the opposite order, on a log that ends at the moment: what a plugin
remembers of earlier calls, or learns of anything later, shows there.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np

from feed.arrays import Floats, Matrix, Rows
from feed.config import RankingConfig
from feed.models.bundle import empty_bundle
from feed.models.plugin_columns import moment_of
from feed.models.plugin_ranker import saved
from feed.models.schema import FEATURES
from feed.models.view import build_view
from feed.offline.event_log import EventLog, Seen
from feed.offline.examples import Examples
from feed.offline.own_methods import ENTRY_GROUP, OwnMethods
from feed.offline.plugin_training import to_learn_from
from feed.offline.replay import Replay, build_log_pool
from feed.offline.sample_log import draw_log, draw_vectors
from feed.plugins.calling import apply, compute, margin, propose, told
from feed.plugins.loading import PluginError, make_plugin
from feed.plugins.moments import Moment
from feed.plugins.protocols import GROUPS, FittedPlugin, PluginRanker

MOMENTS = 6
LIMIT = 100
EXAMPLES = 400
_RANKED = 80
_COLUMNS = (
    "ids", "sections", "sources", "languages", "published_at", "first_seen_at", "age_hours",
    "sponsored", "ai_generated", "content", "readers",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckedPlugin:
    """A plugin that keeps the contract.

    Attributes:
        name: of its entry point.
        kind: in words.
        seconds: the median of one call.
        articles: how many a call was about, on average.
    """

    name: str
    kind: str
    seconds: float
    articles: float


class PluginChecks:
    """Checks plugins one after the other on the same log.

    Args:
        clock: seconds, for the cost of a call.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._log = draw_log()
        self._vectors = draw_vectors(self._log)

    def check(self, entry: EntryPoint) -> CheckedPlugin:
        """Return what a call of a plugin costs.

        Raises:
            PluginError: the plugin breaks the contract.
            FeedError: a method cannot be made, or fails.
        """
        if entry.group == ENTRY_GROUP:
            return self._check_method(entry.name)
        if entry.group == "feed.rankers":
            return self._check_ranker(entry)
        label = f"{GROUPS[entry.group]} {entry.name}"
        plugin, again = make_plugin(entry), make_plugin(entry)
        lists = self._lists()
        first, seconds, sizes = [], [], []
        for seen in lists:
            moment = self._moment(entry.group, self._log, seen)
            started = self._clock()
            first.append(_ask(entry.group, plugin, moment))
            seconds.append(self._clock() - started)
            sizes.append(len(moment.articles))
            self._check_untouched(label, moment, self._moment(entry.group, self._log, seen))
            same = _ask(entry.group, plugin, self._moment(entry.group, self._log, seen))
            _check_same(f"{label} gives two answers to one question", first[-1], same)
        for seen, answer in zip(reversed(lists), reversed(first), strict=True):
            for one in (plugin, again):
                other = _ask(entry.group, one, self._moment(entry.group, self._cut(seen), seen))
                _check_same(
                    f"{label} does not depend on the moment alone: it answers otherwise when it "
                    "was asked in another order, or when nothing follows in the log",
                    answer,
                    other,
                )
        mean = statistics.fmean(sizes)
        return CheckedPlugin(entry.name, GROUPS[entry.group], statistics.median(seconds), mean)

    def _lists(self) -> list[Seen]:
        every = list(self._log.impressions)
        step = len(every) // (MOMENTS + 1)
        return every[step::step][:MOMENTS]

    def _cut(self, seen: Seen) -> EventLog:
        """Return the log as it stood at a moment."""
        known = tuple(a for a in self._log.catalogue if a.published_at < seen.at)
        return replace(self._log.window(-np.inf, seen.at), catalogue=known)

    def _moment(self, group: str, log: EventLog, seen: Seen) -> Moment:
        replay = Replay(log)
        replay.advance(seen.at)
        rows = replay.pool_rows()
        if group == "feed.features":
            rows = np.union1d(rows[:_RANKED], seen.shown)
        if group == "feed.rules":
            rows = np.random.default_rng(seen.number).permutation(rows)[:_RANKED]
        view = build_view(build_log_pool(log, self._vectors), empty_bundle())
        profile = replay.readers.profile(seen.user, seen.at, RankingConfig())
        return moment_of(view, replay.signals, profile, replay.context(seen), rows)

    @staticmethod
    def _check_untouched(label: str, moment: Moment, fresh: Moment) -> None:
        for part, unused in (
            (moment.articles, fresh.articles),
            (moment.reader.clicked, fresh.reader.clicked),
        ):
            for name in _COLUMNS:
                if not _is_same(getattr(part, name), getattr(unused, name)):
                    raise PluginError(f"{label} changes {name} of the articles it is given")

    def _check_ranker(self, entry: EntryPoint) -> CheckedPlugin:
        plugin, label = make_plugin(entry), f"ranker {entry.name}"
        seconds = []
        for head in ("pool", "slate"):
            examples = draw_examples()
            given = to_learn_from(examples, head, seed=7)
            fitted = [_fit(plugin, label, given) for _ in range(2)]
            if fitted[0] is None or fitted[1] is None:
                raise PluginError(f"{label}: fit learns nothing from {EXAMPLES} lists of {head}")
            features = examples.features[: LIMIT * 2].view()
            features.setflags(write=False)
            started = self._clock()
            first = _margin(label, fitted[0], features)
            seconds.append(self._clock() - started)
            what = f"{label} gives two answers to one question"
            _check_same(what, first, _margin(label, fitted[0], features))
            _check_same(f"{label} learns two things from one log", first,
                        _margin(label, fitted[1], features))  # fmt: skip
            back = _load(make_plugin(entry), label, saved(entry.name, fitted[0]))
            _check_same(f"{label} scores otherwise after save and load", first,
                        _margin(label, back, features))  # fmt: skip
        return CheckedPlugin(entry.name, GROUPS[entry.group], statistics.median(seconds), LIMIT * 2)

    def _check_method(self, name: str) -> CheckedPlugin:
        seconds, scores = [], []
        for log in (self._log, self._cut(list(self._log.impressions)[-1])):
            methods = OwnMethods((name,), log, self._vectors)
            found = []
            for seen in list(log.impressions)[:-1]:
                started = self._clock()
                found.append(methods.score(seen, seen.shown)[name])
                seconds.append(self._clock() - started)
            scores.append(np.concatenate(found[:LISTS_OF_A_METHOD]))
        _check_same(f"method {name} gives two answers to one question", *scores)
        sizes = len(self._log.impressions.shown) / len(self._log.impressions)
        return CheckedPlugin(name, "method", statistics.median(seconds), sizes)


LISTS_OF_A_METHOD = 300
"""Lists of a method whose scores are compared; both logs have them."""


def draw_examples(seed: int = 4) -> Examples:
    """Return lists of drawn features, a tenth of them unknown, with clicks that follow some."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(EXAMPLES * 10, len(FEATURES))).astype(np.float32)
    liking = features[:, 0] + features[:, -1] + rng.gumbel(size=len(features))
    lists = liking.reshape(-1, 10)
    features[rng.random(features.shape) < 0.1] = np.nan
    clicked = (lists == lists.max(axis=1, keepdims=True)).ravel()
    return Examples(features, clicked, np.full(EXAMPLES, 10))


def _ask(group: str, plugin: Any, moment: Moment) -> Rows | Floats:
    if group == "feed.candidates":
        return propose(plugin, moment, LIMIT)
    if group == "feed.features":
        return compute(plugin, moment)
    scores = np.linspace(0.9, 0.1, len(moment.articles))
    scores.setflags(write=False)
    return apply(plugin, moment, scores)


def _fit(plugin: PluginRanker, label: str, given: Any) -> FittedPlugin | None:
    try:
        return plugin.fit(given)
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"{label}: fit failed: {told(error)}") from error


def _load(plugin: PluginRanker, label: str, data: bytes) -> FittedPlugin:
    try:
        return plugin.load(data)
    except Exception as error:  # the code is somebody else's and may raise anything
        raise PluginError(f"{label}: load failed: {told(error)}") from error


def _margin(label: str, fitted: FittedPlugin, features: Matrix) -> Floats:
    found = margin(label.removeprefix("ranker "), fitted, features)
    assert found is not None  # noqa: S101 - only a guard of the service leaves anything out
    return found


def _check_same(problem: str, one: Rows | Floats, other: Rows | Floats) -> None:
    if not _is_same(one, other):
        raise PluginError(problem)


def _is_same(one: Any, other: Any) -> bool:
    is_number = np.issubdtype(one.dtype, np.floating)
    return bool(np.array_equal(one, other, equal_nan=is_number))


def entries_in_order(entries: Iterator[EntryPoint]) -> list[EntryPoint]:
    """Return entry points by kind and name."""
    order = [*GROUPS, ENTRY_GROUP]
    return sorted(entries, key=lambda entry: (order.index(entry.group), entry.name))
