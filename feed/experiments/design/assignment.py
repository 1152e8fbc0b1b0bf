"""Assigns readers to variants by a hash of salt, layer and unit, equal in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from feed.domain import InvalidInputError

BUCKETS = 10_000
"""Traffic is dealt in units of a hundredth of a percent."""

HOLDOUT = "holdout"
"""Takes the place of the layer in the holdout's hash; no layer may have this name."""

HELD_OUT = "(held out)"
"""What a served feed records in place of a variant for a reader of the holdout; no variant can
have this name."""

NOT_JOINED = "(not joined)"
"""What a served feed records in place of a variant that the process could not serve, because it
does not have the model that the variant names; no variant can have this name."""

Why = Literal["assigned", "override", "not_personalized", "holdout", "outside"]
_NO_OVERRIDES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Allocation:
    """The part of the traffic that one experiment has, and how it is dealt.

    Attributes:
        experiment_id: Salts the choice of variant, so that experiments after one another in the
            same layer do not inherit groups.
        salt: Of the installation; changes every assignment.
        layer: Experiments in one layer share no reader; layers are independent of each other.
        buckets: Half-open range of the layer's buckets, which are a ring: an end of more than
            ``BUCKETS`` goes on from 0.
        variants: Names, control first.
        shares: One a variant, adding up to 1.
        overrides: Variant by user for testing; such readers never enter the analysis.
    """

    experiment_id: str
    salt: str
    layer: str
    buckets: tuple[int, int]
    variants: tuple[str, ...]
    shares: tuple[float, ...]
    overrides: Mapping[str, str] = field(default_factory=lambda: _NO_OVERRIDES)

    def __post_init__(self) -> None:
        if self.layer == HOLDOUT:
            raise InvalidInputError("layer", f"must not be {HOLDOUT!r}")
        low, high = self.buckets
        if not (0 <= low <= BUCKETS and 0 <= high - low <= BUCKETS):
            raise InvalidInputError("buckets", f"must be a range of at most {BUCKETS} from 0 on")
        if len(set(self.variants)) != len(self.variants) or len(self.variants) < 2:
            raise InvalidInputError("variants", "must be two or more different names")
        if len(self.shares) != len(self.variants) or min(self.shares) <= 0:
            raise InvalidInputError("shares", "must be a positive number for each variant")
        if abs(sum(self.shares) - 1.0) > 1e-9:
            raise InvalidInputError("shares", "must add up to 1")
        if not set(self.overrides.values()) <= set(self.variants):
            raise InvalidInputError("overrides", "must name variants of the experiment")


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one reader gets from one experiment.

    Attributes:
        variant: Name; None for a reader who is not in the experiment.
        why: How it came about.
    """

    variant: str | None
    why: Why

    @property
    def analysed(self) -> bool:
        """Whether the reader counts in the report."""
        return self.why == "assigned"


def bucket_of(*parts: str) -> int:
    """Deal a reader into one of the buckets.

    Args:
        *parts: What the bucket depends on, the user id last; none contains the separator.

    Returns:
        SHA-256 of the parts joined by ``|``, modulo ``BUCKETS``.
    """
    digest = hashlib.sha256("|".join(parts).encode()).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def is_held_out(user_id: str, salt: str, holdout_share: float) -> bool:
    """Whether a reader is kept out of every experiment, to measure all of them together.

    Args:
        user_id: The reader.
        salt: Of the installation.
        holdout_share: Between 0 and 1.

    Returns:
        True for that share of the readers, always the same ones; raising the share keeps them.
    """
    return bucket_of(salt, HOLDOUT, user_id) < round(holdout_share * BUCKETS)


def assign(
    user_id: str,
    allocation: Allocation,
    *,
    unit: str = "",
    personalized: bool = True,
    holdout_share: float = 0.0,
) -> Assignment:
    """Assign one reader in one experiment.

    Source: Tang, Agarwal, O'Brien and Meyer (2010), Overlapping experiment infrastructure, for
    layers; Kohavi, Tang and Xu (2020), chapter 14, for hashing again within the experiment.

    Args:
        user_id: The reader.
        allocation: The experiment's traffic.
        unit: What decides the variant; the reader's own id if empty. An account that was new when
            an anonymous reader logged in to it keeps that reader's variants by it.
        personalized: Whether the reader allows personalisation; others are in no experiment.
        holdout_share: Share of readers kept out of every experiment.

    Returns:
        The assignment; depends on nothing but the arguments.
    """
    if not personalized:
        return Assignment(None, "not_personalized")
    if user_id in allocation.overrides:
        return Assignment(allocation.overrides[user_id], "override")
    unit = unit or user_id
    if is_held_out(unit, allocation.salt, holdout_share):
        return Assignment(None, "holdout")
    low, high = allocation.buckets
    if not (bucket_of(allocation.salt, allocation.layer, unit) - low) % BUCKETS < high - low:
        return Assignment(None, "outside")
    bucket = bucket_of(allocation.salt, allocation.layer, allocation.experiment_id, unit)
    return Assignment(_variant_at(bucket, allocation), "assigned")


def free_buckets(
    taken: Sequence[tuple[int, int]], share: float, seed: str
) -> tuple[int, int] | None:
    """Find room for one more experiment in a layer.

    The place depends on the experiment: if every small one began at the lowest free bucket, the
    same few readers would get all of them.

    Args:
        taken: Half-open ranges that running experiments of the layer hold.
        share: Share of the layer's traffic wanted, between 0 and 1.
        seed: Names the experiment.

    Returns:
        A free range of that size: the one that begins at the seed's bucket, else the first after
        it that begins where another ends; None when there is none.
    """
    size = round(share * BUCKETS)
    preferred = bucket_of(seed)
    ends = sorted((high % BUCKETS for _, high in taken), key=lambda at: (at - preferred) % BUCKETS)
    for start in (preferred, *ends):
        if all(_gap(start, size, low, high) for low, high in taken):
            return start, start + size
    return None


def room_from(start: int, taken: Sequence[tuple[int, int]]) -> int:
    """Return how many buckets from one on, in the order of the ring, no range of `taken` holds."""
    return min(((low - start) % BUCKETS for low, _ in taken), default=BUCKETS)


def _gap(start: int, size: int, low: int, high: int) -> bool:
    """Whether a range of some size shares no bucket with another range, on the ring."""
    return (start - low) % BUCKETS >= high - low and (low - start) % BUCKETS >= size


def _variant_at(bucket: int, allocation: Allocation) -> str:
    upper = 0.0
    for variant, share in zip(allocation.variants, allocation.shares, strict=True):
        upper += share
        if bucket < round(upper * BUCKETS):
            return variant
    return allocation.variants[-1]
