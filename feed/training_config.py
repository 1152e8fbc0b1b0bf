"""TrainingConfig: every parameter of a training."""

from __future__ import annotations

from dataclasses import dataclass

from feed.domain import EventKind
from feed.setting_fields import LEAST, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Every parameter of retraining."""

    window_days: float = setting(
        28.0, "days of events that enter the interaction matrix", between=(LEAST, 10_000)
    )
    half_life_hours: float = setting(
        72.0, "half-life of an interaction's weight, hours", between=(LEAST, 100_000)
    )
    factors: int = setting(64, "dimensions of the collaborative factors", between=(0, 1024))
    iterations: int = setting(15, "iterations of alternating least squares", between=(1, 1000))
    regularization: float = setting(
        2.0, "L2 regularisation of the factors, per mean reader of an article", between=(0, 1e9)
    )
    alpha: float = setting(10.0, "confidence per unit of interaction weight", between=(LEAST, 1e9))
    content_ridge: float = setting(
        10.0, "L2 regularisation of the map from embeddings to factors", between=(LEAST, 1e9)
    )
    content_min_readers: int = setting(
        5, "readers that an article needs before that map learns from it", between=(0, 1e9)
    )
    shrinkage_readers: float = setting(
        2.0, "readers at which an article's own and mapped factors weigh the same", between=(0, 1e9)
    )
    content_dimensions: int = setting(
        128, "dimensions to which embeddings are reduced for ranking", between=(1, 4096)
    )
    neighbours: int = setting(50, "item-item neighbours kept for an article", between=(0, 1000))
    kind_weights: dict[str, float] = setting(
        {
            EventKind.CLICK: 1.0,
            EventKind.READ: 1.0,
            EventKind.LIKE: 2.0,
            EventKind.SAVE: 2.0,
            EventKind.SHARE: 3.0,
            EventKind.DISLIKE: -2.0,
            EventKind.HIDE: -3.0,
        },
        "weight of one event of each kind in the interaction matrix",
    )
    accidental_dwell_s: float = setting(
        3.0, "reads shorter than this count as accidental, seconds", between=(0, 3600)
    )
    accidental_weight: float = setting(
        0.2, "factor on the weight of an accidental click", between=(0, 1)
    )
    bot_articles_per_minute: float = setting(
        20.0, "articles per minute above which a reader counts as a bot", between=(LEAST, 1e9)
    )
    bot_weight: float = setting(0.05, "factor on the weight of a bot's events", between=(0, 1))
    ranker_days: float = setting(
        14.0, "days of feeds from which the ranker learns", between=(0, 10_000)
    )
    ranker_trees: int = setting(150, "trees of the learned ranker", between=(0, 10_000))
    ranker_leaves: int = setting(31, "leaves of one tree", between=(2, 10_000))
    ranker_learning_rate: float = setting(0.06, "shrinkage of one tree", between=(LEAST, 1))
    ranker_min_impressions: int = setting(
        300, "clicked feeds below which there is no learned ranker", between=(0, 1e9)
    )
    correct_places: bool = setting(
        True,
        "whether learning from feed's own lists allows for how readily readers look at each place",
    )
    satisfied_reads: bool = setting(
        False,
        "whether the rankers order by the chance of a satisfied read (a click, and then a read) "
        "instead of that of a click; the gate judges by the same",
    )
    satisfied_dwell_s: float = setting(
        30.0,
        "how long a satisfied reader stays with an article, seconds; less if the whole text is "
        "known and takes less time to read",
        between=(LEAST, 3600),
    )
    gate_margin: float = setting(
        0.01, "how much worse (nDCG@10) a candidate model may be and still pass", between=(-1, 1)
    )
    seed: int = setting(7, "seed of all random draws in training", between=(0, 2_147_483_647))
