"""Limits how much readers of one network, or fresh readers, count in the trending test."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from math import exp2
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from feed.arrays import Floats, Rows
from feed.features.counters import HALF_LIVES_S
from feed.features.decay import DecayedTable
from feed.features.ids import IdMap
from feed.features.usual_networks import UsualNetworks

_SITE: Rows = np.zeros(1, np.int64)
_WITHHELD, _WEIGHED = slice(0, len(HALF_LIVES_S)), slice(len(HALF_LIVES_S), None)
_NOTHING = 1e-3
"""Readers below which a sum is not worth keeping in a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRules:
    """Parameters of the bound; `scripts/lab/run bench/trending` measures its cost and its effect.

    Attributes:
        half_life_s: half-life of an article's readers by network, seconds.
        usual_half_life_s: half-life of a network's usual share of the site's reads, seconds. Each
            further reader of the same article adds less to that share, so a network cannot raise
            it by sending a thousand readers to one article.
        usual_prior: reads of unknown networks that are added to the site's own, so that on a quiet
            site a few reads do not make a network usual.
        room: a network's allowance for an article is one reader, plus this many times the network's
            usual share of the article's readers from other networks.
        flood: a network that sends this many times its allowance does not count at all.
        memory_s: seconds after which a network that no longer reads an article is forgotten.
        usual_memory_s: seconds after which a network that no longer reads anything is forgotten.
        article_networks: largest number of networks remembered for one article.
        most_networks: largest number of networks remembered for all articles together.
    """

    half_life_s: float = HALF_LIVES_S[0]
    usual_half_life_s: float = 7200.0
    usual_prior: float = 200.0
    room: float = 3.0
    flood: float = 4.0
    memory_s: float = 7200.0
    usual_memory_s: float = 21600.0
    article_networks: int = 512
    most_networks: int = 100_000


@dataclass(slots=True)
class _Network:
    """One network's readers of one article, decayed to `at`: how many came, how many count."""

    at: float
    came: float = 0.0
    counted: float = 0.0


@dataclass(slots=True)
class _Article:
    """An article's networks and counted readers, established and fresh, decayed to `at`."""

    at: float
    networks: float = 0.0
    established: float = 0.0
    fresh: float = 0.0
    by_network: dict[str, _Network] = field(default_factory=dict)


class NetworkBound:
    """Weights readers whose events came from untrusted callers, and sums what is withheld.

    The first reader of a network to read an article has full weight. Further readers of the
    network count as long as it sends no more than a small multiple of its usual share. A network
    that sends far more does not count at all. So N networks that the site does not know are worth
    at most N readers, whatever they send. Fresh readers together never count more than one for
    each network and one for each established reader. A reader gets one weight on arrival, which
    applies to the recent count and to the usual rate alike. So a steady stream stays steady.

    Weights use the times at which the service received the events, which no client can choose.
    The sums decay from the times at which the clicks occurred, as the counters do, and are
    subtracted from the counters.

    Args:
        ids: the id map of the article rows.
        rules: parameters of the bound.
    """

    def __init__(self, ids: IdMap, rules: NetworkRules | None = None) -> None:
        self._ids = ids
        self._rules = rules or NetworkRules()
        self._articles: dict[int, _Article] = {}
        self._usual = UsualNetworks(self._rules.usual_half_life_s, self._rules.usual_prior)
        self._site = DecayedTable(HALF_LIVES_S)
        self._sums = DecayedTable((*HALF_LIVES_S, HALF_LIVES_S[0]))
        self._pairs = 0

    @property
    def networks_held(self) -> int:
        """How many pairs of article and network are remembered."""
        return self._pairs

    def add_readers(
        self,
        rows: Sequence[int],
        networks: Sequence[str],
        fresh: Sequence[bool],
        occurred: Sequence[float],
        received: Sequence[float],
        stories: Sequence[int] | None = None,
    ) -> Floats:
        """Add readers' first clicks on articles; return the weight of each, f64 [k].

        A weight is at most 1. It is negative when a network begins to flood and loses weight that
        it already had. `occurred` and `received` are epoch seconds; `networks` are any names.
        `stories` are the rows of the first articles of the clicked ones' stories: what a network
        sends to several articles of a story counts as sent to one. None: each is its own.
        """
        came = zip(rows if stories is None else stories, networks, received, fresh, strict=True)
        weights = np.array([self._weigh(r, n, at, is_fresh=f) for r, n, at, f in came], np.float64)
        at, times = np.asarray(rows, np.int64), np.asarray(occurred, np.float64)
        sums = np.ones((len(at), len(HALF_LIVES_S) + 1))
        sums[:, _WITHHELD] -= weights[:, None]
        self._sums.add(at, times, sums)
        self._site.add(np.zeros(len(at), np.int64), times, 1 - weights)
        if max(self._pairs, len(self._usual)) > 1.25 * self._rules.most_networks:
            self.forget(max(received))
        return weights

    def add_repeats(self, rows: npt.ArrayLike, occurred: npt.ArrayLike) -> None:
        """Withhold clicks, at these epoch seconds, of readers who count for the story already."""
        at, times = np.asarray(rows, np.int64), np.asarray(occurred, np.float64)
        sums = np.zeros((len(at), len(HALF_LIVES_S) + 1))
        sums[:, _WITHHELD] = 1.0
        self._sums.add(at, times, sums)
        self._site.add(np.zeros(len(at), np.int64), times)

    def withheld(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that do not count, f64 [k, 4], one column per half-life."""
        return self._sums.read(rows, now, _WITHHELD)

    def site_withheld(self, now: float) -> Floats:
        """Return the same summed over the site, f64 [4]."""
        total: Floats = self._site.read(_SITE, now)[0]
        return total

    def readers(self, rows: Rows, now: float) -> Floats:
        """Return the decayed readers that were weighted (half-life 30 minutes), f64 [k]."""
        taken: Floats = self._sums.read(rows, now, _WEIGHED)[:, 0]
        return taken

    def forget(self, now: float) -> None:
        """Forget the networks that no longer read, and the oldest where there are too many."""
        self._forget_before(now - self._rules.memory_s)
        if self._pairs > self._rules.most_networks:
            times = np.fromiter((n.at for n in self._all_networks()), np.float64, self._pairs)
            self._forget_before(float(np.sort(times)[-self._rules.most_networks]))
        self._usual.forget(now - self._rules.usual_memory_s, self._rules.most_networks)

    def dump(self, now: float) -> bytes:
        """Forget what is due by now, then return everything held, for a checkpoint."""
        self.forget(now)
        latest = max(now, self._sums.landmark or now)  # a clock that was set back decays nothing
        sums = self._sums.read(np.arange(self._sums.size, dtype=np.int64), latest)
        rows = np.flatnonzero(np.abs(sums).max(axis=1, initial=0) > _NOTHING)
        ids, (usual, readings) = self._ids.ids, self._usual.dump()
        names = {
            "summed": [ids[r] for r in rows.tolist()],
            "articles": [ids[r] for r in self._articles],
            "networks": list(chain.from_iterable(a.by_network for a in self._articles.values())),
            "usual": usual,
        }
        arrays: dict[str, Any] = {
            "names": np.frombuffer(orjson.dumps(names), np.uint8),
            "landmark": _number(self._sums.landmark),
            "sums": self._sums.stored(rows),
            "site_landmark": _number(self._site.landmark),
            "site": self._site.all_stored(),
            "articles": _table(
                [(a.at, a.networks, a.established, a.fresh) for a in self._articles.values()], 4
            ),
            "counts": np.array([len(a.by_network) for a in self._articles.values()], np.int64),
            "networks": _table([(n.at, n.came, n.counted) for n in self._all_networks()], 3),
            "usual": readings,
        }
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def load(cls, data: bytes, ids: IdMap, rules: NetworkRules | None = None) -> NetworkBound:
        """Return a bound holding what `dump` wrote; its article ids are added to `ids`."""
        bound = cls(ids, rules)
        with np.load(io.BytesIO(data), allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in packed.files}
        names = orjson.loads(arrays["names"].tobytes())
        rows = ids.add_all(names["summed"])
        if not np.isnan(arrays["landmark"]):
            bound._sums.write(rows, arrays["sums"], float(arrays["landmark"]))
            bound._site.write(_SITE, arrays["site"], float(arrays["site_landmark"]))
        networks = zip(names["networks"], arrays["networks"].tolist(), strict=True)
        for article_id, values, count in zip(
            names["articles"], arrays["articles"].tolist(), arrays["counts"].tolist(), strict=True
        ):
            held = {name: _Network(*figures) for name, figures in islice(networks, count)}
            at, distinct, established, fresh = values
            bound._articles[ids.add(article_id)] = _Article(at, distinct, established, fresh, held)
        bound._pairs = len(names["networks"])
        bound._usual.restore(names["usual"], arrays["usual"])
        return bound

    def _weigh(self, row: int, network: str, at: float, *, is_fresh: bool) -> float:
        """Return the weight of one more reader, and remember that they came."""
        article = self._article(row, at)
        one = self._network(article, network)
        share = self._usual.add(network, 1 / (1 + one.came), article.at)
        one.came += 1
        weight = one.came - one.counted
        if one.came > 1:  # the first reader of a network always has room
            weight = min(self._worth(article, one, share) - one.counted, 1.0)
        if is_fresh:
            left = article.networks + article.established - article.fresh
            weight = min(weight, max(left, 0.0))
            article.fresh += weight
        else:
            article.established += weight
        one.counted += weight
        return weight

    def _worth(self, article: _Article, one: _Network, share: float) -> float:
        """Return how many readers of a network count: all within its allowance, none in a flood."""
        others = max(article.established + article.fresh - one.counted, 0.0)
        room = 1 + self._rules.room * share * others
        if one.came <= room:
            return one.came
        return max(room - (one.came - room) / (self._rules.flood - 1), 0.0)

    def _article(self, row: int, at: float) -> _Article:
        """Return an article decayed to a time, or to its own where that is later."""
        article = self._articles.get(row)
        if article is None:
            article = self._articles[row] = _Article(at)
        elif at > article.at:
            decay = exp2((article.at - at) / self._rules.half_life_s)
            article.at = at
            article.networks *= decay
            article.established *= decay
            article.fresh *= decay
        return article

    def _network(self, article: _Article, network: str) -> _Network:
        """Return an article's network decayed to its time, counted among its networks as of now."""
        at = article.at
        one = article.by_network.get(network)
        if one is None:
            if len(article.by_network) >= self._rules.article_networks:
                self._make_room(article)
            one = article.by_network[network] = _Network(at)
            article.networks += 1
            self._pairs += 1
            return one
        if at > one.at:
            decay = exp2((one.at - at) / self._rules.half_life_s)
            article.networks += 1 - decay
            one.at = at
            one.came *= decay
            one.counted *= decay
        return one

    def _make_room(self, article: _Article) -> None:
        """Forget the quarter of an article's networks that have not read it for longest."""
        oldest = sorted(article.by_network, key=lambda name: article.by_network[name].at)
        for name in oldest[: len(oldest) // 4]:
            del article.by_network[name]
        self._pairs -= len(oldest) // 4

    def _forget_before(self, oldest: float) -> None:
        for row, article in list(self._articles.items()):
            if article.at < oldest:
                del self._articles[row]
            elif any(network.at < oldest for network in article.by_network.values()):
                article.by_network = {
                    name: network
                    for name, network in article.by_network.items()
                    if network.at >= oldest
                }
        self._pairs = sum(len(article.by_network) for article in self._articles.values())

    def _all_networks(self) -> chain[_Network]:
        return chain.from_iterable(a.by_network.values() for a in self._articles.values())


def _table(rows: Sequence[tuple[float, ...]], width: int) -> Floats:
    return np.array(rows, np.float64).reshape(len(rows), width)


def _number(landmark: float | None) -> float:
    return np.nan if landmark is None else landmark
