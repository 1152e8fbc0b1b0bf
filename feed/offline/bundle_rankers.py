"""The rankers of a bundle, taught by examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from feed.models.bundle import ModelBundle
from feed.models.feature_drift import bin_features
from feed.models.ranker import LearnedRanker
from feed.models.satisfied_ranker import SatisfiedRanker
from feed.offline.examination import Examination
from feed.offline.examples import Examples
from feed.offline.plugin_training import fit_with_plugin
from feed.offline.ranker_training import fit_ranker
from feed.offline.read_training import with_reads
from feed.offline.reads import ReadExamples
from feed.plugins.loading import active_plugins
from feed.training_config import TrainingConfig

NO_READS: Mapping[str, ReadExamples] = MappingProxyType({})


def with_rankers(
    bundle: ModelBundle,
    examples: Mapping[str, Examples],
    config: TrainingConfig,
    threads: int = 1,
    examination: Examination | None = None,
    reads: Mapping[str, ReadExamples] = NO_READS,
) -> ModelBundle:
    """Return a bundle with the rankers that the examples of each head teach.

    With `config.satisfied_reads`, `reads` teach the chance that a click is a satisfied read. The
    manifest notes what they rest on, how readily readers look at each place if that is known,
    and how the features of the pool were distributed, by which drift is found.
    """
    rankers = {
        head: fit_one(found, head, config, threads, examination, reads.get(head))
        for head, found in examples.items()
    }
    bins = bin_features(examples["pool"].features)
    notes: dict[str, Any] = {
        "importance": {h: r.importance() for h, r in rankers.items() if r is not None},
        "feature_bins": {name: found.to_json() for name, found in bins.items()},
    }
    if config.satisfied_reads:
        notes["reads"] = {
            head: {
                "clicks": len(found),
                "satisfied": int(found.satisfied.sum()),
                "trees": ranker.reads.trees if isinstance(ranker, SatisfiedRanker) else 0,
            }
            for head, found in reads.items()
            for ranker in [rankers[head]]
        }
    if examination is not None:
        notes["examination"] = examination.to_json()
    return replace(
        bundle,
        ranker=rankers["pool"],
        slate_ranker=rankers["slate"],
        manifest=bundle.manifest | notes,
    )


def fit_one(
    examples: Examples,
    head: str,
    config: TrainingConfig,
    threads: int = 1,
    examination: Examination | None = None,
    reads: ReadExamples | None = None,
) -> LearnedRanker | None:
    """Return the ranker of one head, a plugin's if there is one; None where nothing is learned."""
    plugin = active_plugins().ranker
    if plugin is not None:
        return fit_with_plugin(plugin, examples, head, config)
    ranker = fit_ranker(examples, head, config, threads, examination)
    if ranker is None:
        return None
    if config.satisfied_reads and reads is not None:
        return with_reads(ranker, reads, config, threads).with_threads(threads)
    return ranker.with_threads(threads)
