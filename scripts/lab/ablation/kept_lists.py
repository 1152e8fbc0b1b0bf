"""The measured lists of a window, kept so that rankers can be compared on the same ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np

from feed.arrays import Flags, Floats, Integers, Matrix
from feed.models.ranker import logistic
from feed.offline.evaluated_lists import PoolList, Rankers, SlateList
from feed.offline.examples import Examples, is_choice
from feed.offline.ranker_training import boosting_parameters
from feed.offline.ranking_metrics import auc, ndcg_at, sort_lists
from feed.offline.walk_plan import HEADS
from feed.training_config import TrainingConfig

MEASURES = {"slate": "AUC", "pool": "nDCG@10"}
"""What the lists of each head are measured by."""


@dataclass(slots=True)
class KeptLists:
    """The measured lists of one head; `wanted` counts the clicked articles of each."""

    features: list[Matrix] = field(default_factory=list)
    clicked: list[Flags] = field(default_factory=list)
    factors: list[Floats] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    users: list[int] = field(default_factory=list)

    @property
    def sizes(self) -> Integers:
        """How many articles each list has, int64 [n]."""
        return np.array([len(clicked) for clicked in self.clicked])

    def add(self, entry: SlateList | PoolList, clicked: Flags, factors: Floats) -> None:
        """Keep one list: which articles were clicked, and what multiplies the score of each."""
        self.features.append(entry.features)
        self.clicked.append(clicked)
        self.factors.append(factors)
        self.wanted.append(int(entry.seen.clicked.sum()))
        self.users.append(entry.seen.user)

    def measure(self, margin: Floats, head: str) -> Floats:
        """Return the slate AUC or pool nDCG@10 of each list, f64 [n], as a margin orders it."""
        scores = logistic(margin) * np.concatenate(self.factors)
        ranked = sort_lists(scores, np.concatenate(self.clicked), self.sizes, self.wanted)
        return auc(ranked) if head == "slate" else ndcg_at(ranked, 10)


class ListBook:
    """Keeps the lists of the measured window. The rankers that are compared are trained later."""

    def __init__(self) -> None:
        self.lists = {head: KeptLists() for head in HEADS}

    def add_slate(self, entry: SlateList) -> None:
        """Keep a list that editors showed."""
        clicked = entry.seen.clicked
        if is_choice(clicked):
            self.lists["slate"].add(entry, clicked, np.ones(len(clicked)))

    def add_pool(self, entry: PoolList) -> None:
        """Keep a list of candidates."""
        self.lists["pool"].add(entry, entry.clicked, entry.factors)

    def use_rankers(self, rankers: Rankers) -> None:
        """Leave the period's rankers alone."""

    def flush(self) -> None:
        """Nothing waits."""


def boost(
    features: Matrix, examples: Examples, head: str, seed: int, changes: dict[str, Any]
) -> lightgbm.Booster:
    """Return trees that many lists teach, with some of LightGBM's parameters changed.

    Args:
        features: of the examples, f32 [n, columns].
        examples: which of them were clicked, and in which list each is.
        head: a key of `OBJECTIVES`.
        seed: of LightGBM.
        changes: parameters, by LightGBM's names.
    """
    parameters = boosting_parameters(head, len(examples), TrainingConfig(seed=seed))
    parameters.update(changes)
    ranks = parameters["objective"] != "binary"
    data = lightgbm.Dataset(
        features,
        examples.clicked.astype(np.float32),
        group=examples.sizes if ranks else None,
    )
    return lightgbm.train(parameters, data)
