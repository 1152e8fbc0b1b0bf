"""Metrics per impression and method, gathered chunk by chunk, and their summary."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from feed.arrays import Floats, Integers
from feed.offline.ranking_metrics import (
    MeanEstimate,
    RankedLists,
    auc,
    bootstrap_mean,
    expected_found,
    ndcg_at,
    recall_at,
    reciprocal_rank,
)

EARLIER = "earlier"
"""Lists of the pool as they would have stood half an hour before; see `offline.earlier_looks`."""

PROTOCOLS: dict[str, tuple[str, ...]] = {
    "slate": ("auc", "mrr", "ndcg@5", "ndcg@10"),
    "pool": ("ndcg@10", "recall@10", "recall@50", "mrr"),
    EARLIER: ("ndcg@10", "recall@50"),
}
"""What is measured in each protocol."""

READS_NDCG, READS_EXPECTED = "ndcg@10 of reads", "expected reads"
"""What is measured of satisfied reads, where the log says how long readers stayed."""
PERSISTENCE = 0.8
"""Chance that a reader who has looked at one place of a page looks at the next one, too."""
WARM_CLICKS = 20
"""A reader with fewer clicks in their history counts as cold."""
NEW_HOURS = 6.0
"""A clicked article younger than this counts as new."""


@dataclass(frozen=True, slots=True)
class ListFacts:
    """What slices need of n impressions: reader row, clicks in the history, age clicked, time.

    `numbers` are those that the impressions have in the log.
    """

    users: Integers
    reader_clicks: Integers
    clicked_age_hours: Floats
    at: Floats
    numbers: Integers


class MetricValues:
    """Metric values per impression; a few numbers each, whatever the number of candidates."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str, str], dict[int, Floats]] = defaultdict(dict)
        self._facts: dict[str, list[ListFacts]] = defaultdict(list)

    def add_facts(self, protocol: str, facts: ListFacts) -> None:
        """Begin a chunk of impressions with its facts: once per chunk and protocol, first."""
        self._facts[protocol].append(facts)

    def add(self, protocol: str, method: str, ranked: RankedLists) -> None:
        """Add the metrics of a method on the same chunk of impressions."""
        for metric in PROTOCOLS[protocol]:
            self.add_values(protocol, method, metric, _measure(metric, ranked))

    def add_reads(self, protocol: str, method: str, ranked: RankedLists) -> None:
        """Add what a method's order is worth in satisfied reads, on the same chunk of impressions.

        Args:
            protocol: of the chunk.
            method: whose order it is.
            ranked: where the satisfied reads stand.
        """
        self.add_values(protocol, method, READS_NDCG, ndcg_at(ranked, 10))
        self.add_values(protocol, method, READS_EXPECTED, expected_found(ranked, PERSISTENCE))

    def add_values(self, protocol: str, method: str, metric: str, values: Floats) -> None:
        """Add values measured elsewhere, one per impression of the chunk."""
        self._values[protocol, method, metric][len(self._facts[protocol]) - 1] = values

    def merge(self, other: MetricValues) -> None:
        """Take in what was measured of other protocols."""
        for key, values in other._values.items():
            self._values[key].update(values)
        for protocol, facts in other._facts.items():
            self._facts[protocol].extend(facts)

    def methods(self, protocol: str) -> list[str]:
        """Return the methods measured in a protocol, in the order they came."""
        return list(dict.fromkeys(m for p, m, _ in self._values if p == protocol))

    def metrics(self, protocol: str, method: str) -> list[str]:
        """Return the metrics of a method in a protocol."""
        return [k for p, m, k in self._values if (p, m) == (protocol, method)]

    def values(self, protocol: str, method: str, metric: str) -> Floats:
        """Return a metric per impression, f64 [n]; NaN in chunks that the method is missing from.

        A signal may be unknown for a while, as content is before the first model.
        """
        chunks = self._values[protocol, method, metric]
        return np.concatenate(
            [
                chunks.get(number, np.full(len(facts.at), np.nan))
                for number, facts in enumerate(self._facts[protocol])
            ]
        )

    def facts(self, protocol: str) -> ListFacts:
        """Return the facts of every impression of a protocol."""
        parts = self._facts[protocol]
        return ListFacts(
            users=np.concatenate([p.users for p in parts]),
            reader_clicks=np.concatenate([p.reader_clicks for p in parts]),
            clicked_age_hours=np.concatenate([p.clicked_age_hours for p in parts]),
            at=np.concatenate([p.at for p in parts]),
            numbers=np.concatenate([p.numbers for p in parts]),
        )

    def summary(self, protocol: str) -> dict[str, dict[str, MeanEstimate]]:
        """Return the mean of each metric per method with its interval over readers."""
        if protocol not in self._facts:
            return {}
        users = self.facts(protocol).users
        return {
            method: {
                metric: bootstrap_mean(self.values(protocol, method, metric), users)
                for metric in self.metrics(protocol, method)
            }
            for method in self.methods(protocol)
        }

    def leads(self, protocol: str, method: str, metric: str) -> dict[str, MeanEstimate]:
        """Return how far a method is ahead of each other one, list by list, over readers."""
        if protocol not in self._facts:
            return {}
        users, own = self.facts(protocol).users, self.values(protocol, method, metric)
        return {
            other: bootstrap_mean(own - self.values(protocol, other, metric), users)
            for other in self.methods(protocol)
            if other != method
        }

    def leads_by_freshness(
        self, method: str, metric: str
    ) -> dict[str, tuple[MeanEstimate, MeanEstimate, MeanEstimate]]:
        """Return how far a method is ahead in the pool, half an hour earlier, and the difference.

        All three are of the same lists, those that were measured at both moments. The difference
        is what of the lead is freshness.
        """
        if EARLIER not in self._facts:
            return {}
        now, before = self.facts("pool"), self.facts(EARLIER)
        _, at, earlier_at = np.intersect1d(now.numbers, before.numbers, return_indices=True)
        users = now.users[at]

        def lead(protocol: str, other: str, places: Integers) -> Floats:
            gap = self.values(protocol, method, metric) - self.values(protocol, other, metric)
            return gap[places]

        found = {}
        for other in self.methods(EARLIER):
            if other != method:
                fresh, old = lead("pool", other, at), lead(EARLIER, other, earlier_at)
                parts = [bootstrap_mean(gap, users) for gap in (fresh, old, fresh - old)]
                found[other] = parts[0], parts[1], parts[2]
        return found

    def slices(self, protocol: str, method: str, metric: str) -> dict[str, MeanEstimate]:
        """Return a metric for cold and warm readers, new and old articles, and each day."""
        facts, values = self.facts(protocol), self.values(protocol, method, metric)
        cold, new = facts.reader_clicks < WARM_CLICKS, facts.clicked_age_hours < NEW_HOURS
        parts = {
            f"readers with under {WARM_CLICKS} clicks": cold,
            f"readers with {WARM_CLICKS} clicks or more": ~cold,
            f"clicked article under {NEW_HOURS:g} h old": new,
            f"clicked article {NEW_HOURS:g} h or older": ~new & ~np.isnan(facts.clicked_age_hours),
        }
        days = ((facts.at - facts.at.min()) // 86400.0).astype(np.int64)
        parts |= {f"day {day + 1}": days == day for day in range(int(days.max()) + 1)}
        return {
            name: bootstrap_mean(values[part], facts.users[part])
            for name, part in parts.items()
            if part.any()
        }


def _measure(metric: str, ranked: RankedLists) -> Floats:
    name, _, k = metric.partition("@")
    if name == "auc":
        return auc(ranked)
    if name == "mrr":
        return reciprocal_rank(ranked)
    return ndcg_at(ranked, int(k)) if name == "ndcg" else recall_at(ranked, int(k))
