"""The Open Bandit layout: logs of a policy on disk, and one policy seen from another's log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from feed.arrays import Floats, Integers
from feed.domain import NotFoundError
from feed.experiments.off_policy.bootstrap import ReaderBootstrap
from feed.experiments.off_policy.estimators import LoggedBandit
from feed.experiments.statistics.effects import Interval

_UNSEEN_ROWS = 0.5
_PRIOR_ROWS = 100.0

_READ = """
SELECT
  item_id,
  position - 1 AS place,
  click,
  propensity_score,
  dense_rank() OVER (
    ORDER BY user_feature_0, user_feature_1, user_feature_2, user_feature_3
  ) - 1 AS reader
FROM read_csv(?, header = true)
"""


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """What one policy showed and earned.

    Attributes:
        name: The policy's folder.
        items: Shape (rows,): item shown.
        places: Shape (rows,): slot, from 0.
        clicks: Shape (rows,): 1 for a click.
        propensities: Shape (rows,): probability of the item in its slot.
        readers: Shape (rows,): group of identical reader features. The published logs hold no
            reader id; rows of one group are the finest units that can be told apart.
        n_items: Items that could be shown.
        n_places: Slots.
    """

    name: str
    items: Integers
    places: Integers
    clicks: Floats
    propensities: Floats
    readers: Integers
    n_items: int
    n_places: int


def load_policy_log(folder: Path, campaign: str | None = None) -> PolicyLog:
    """Read one policy's log.

    Source: Saito, Aihara, Matsutani and Narita (2020), Open Bandit Dataset and Pipeline, appendix.

    Args:
        folder: The policy's folder, holding ``CAMPAIGN/CAMPAIGN.csv`` and
            ``CAMPAIGN/item_context.csv``.
        campaign: Which one; may be left out when there is only one.

    Returns:
        The log.

    Raises:
        NotFoundError: No such campaign, or several and none named.
    """
    names = sorted(
        child.name
        for child in (folder.iterdir() if folder.is_dir() else ())
        if (child / f"{child.name}.csv").is_file() and (child / "item_context.csv").is_file()
    )
    if campaign is None and len(names) == 1:
        campaign = names[0]
    if campaign not in names or campaign is None:
        known = ", ".join(names) or "none"
        raise NotFoundError(f"no single campaign in {folder}; campaigns there: {known}")
    inside = folder / campaign
    with duckdb.connect() as connection:
        rows = connection.execute(_READ, [str(inside / f"{campaign}.csv")]).fetchnumpy()
        items = connection.execute(
            "SELECT item_id FROM read_csv(?, header = true)", [str(inside / "item_context.csv")]
        ).fetchnumpy()["item_id"]
    places = rows["place"].astype(np.int64)
    return PolicyLog(
        name=folder.name,
        items=rows["item_id"].astype(np.int64),
        places=places,
        clicks=rows["click"].astype(np.float64),
        propensities=rows["propensity_score"].astype(np.float64),
        readers=rows["reader"].astype(np.int64),
        n_items=int(items.max()) + 1,
        n_places=int(places.max()) + 1 if places.size else 0,
    )


def estimate_action_distribution(log: PolicyLog) -> Floats:
    """Estimate how often a policy shows each item in each slot, from its own log.

    Each item's rows, over the sum of their inverse propensities: the ratio of two estimates, of
    its share of rows and of 1, whose errors cancel. With constant propensities it is exact.

    Source: Hajek (1971), in the self-normalised form of inverse propensity weighting.

    Args:
        log: The policy's log.

    Returns:
        Shape (items, slots); each slot adds up to 1. An item never shown in a slot counts like
        half a row.
    """
    shape = (log.n_items, log.n_places)
    shown = _table(np.ones_like(log.clicks), log, shape)
    inverse = _table(1.0 / log.propensities, log, shape)
    rows = np.maximum(shown.sum(axis=0), 1.0)
    chances = np.where(shown > 0, shown / np.maximum(inverse, 1.0), _UNSEEN_ROWS / rows)
    normalised: Floats = chances / chances.sum(axis=0)
    return normalised


def pair_logs(log: PolicyLog, policy: PolicyLog, rng: np.random.Generator) -> LoggedBandit:
    """See one policy from another policy's log.

    The reward model for the doubly robust estimate is the click rate of item and slot, drawn
    towards the slot's; each half of the readers is predicted from the other half.

    Args:
        log: The log to learn from.
        policy: The policy to evaluate; its clicks are not looked at.
        rng: Deals the readers into halves.

    Returns:
        The log, ready for ``evaluate_policy``.

    Raises:
        NotFoundError: The two do not share their items and slots.
    """
    if (log.n_items, log.n_places) != (policy.n_items, policy.n_places):
        raise NotFoundError("the two logs do not have the same items and slots")
    chances = estimate_action_distribution(policy)
    groups = int(log.readers.max()) + 1 if log.readers.size else 0
    half = (rng.permutation(groups) % 2)[log.readers]
    predicted, predicted_target = np.zeros_like(log.clicks), np.zeros_like(log.clicks)
    for side in (0, 1):
        rates = _click_rates(log, half != side)
        mine = half == side
        predicted[mine] = rates[log.items[mine], log.places[mine]]
        predicted_target[mine] = (rates * chances).sum(axis=0)[log.places[mine]]
    return LoggedBandit(
        rewards=log.clicks,
        propensities=log.propensities,
        targets=chances[log.items, log.places],
        readers=log.readers,
        predicted=predicted,
        predicted_target=predicted_target,
    )


def measure_reward(log: PolicyLog, rng: np.random.Generator) -> tuple[float, Interval | None]:
    """What a policy really got.

    Args:
        log: Its log.
        rng: Draws the bootstrap.

    Returns:
        Clicks a row and their 95 % interval over reader groups.
    """
    ones = np.ones_like(log.clicks)
    interval = ReaderBootstrap(log.readers, rng).ratio_interval(log.clicks, ones)
    return (float(log.clicks.mean()) if log.clicks.size else 0.0), interval


def _click_rates(log: PolicyLog, rows: NDArray[np.bool_]) -> Floats:
    shape = (log.n_items, log.n_places)
    clicks = _table(log.clicks * rows, log, shape)
    shown = _table(rows.astype(np.float64), log, shape)
    slot_rate = clicks.sum(axis=0) / np.maximum(shown.sum(axis=0), 1.0)
    rates: Floats = (clicks + _PRIOR_ROWS * slot_rate) / (shown + _PRIOR_ROWS)
    return rates


def _table(values: Floats, log: PolicyLog, shape: tuple[int, int]) -> Floats:
    cells = log.items * log.n_places + log.places
    sums = np.bincount(cells, values, minlength=shape[0] * shape[1]).astype(np.float64)
    return sums.reshape(shape)
