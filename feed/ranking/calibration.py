"""Calibration: a front page whose sections are near those that its reader reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from feed.arrays import Codes, Flags, Floats, Rows
from feed.config import RankingConfig
from feed.features.pool import ArticlePool
from feed.features.profile import Profile
from feed.ranking.context import RankingContext
from feed.ranking.diversity import DiversifiedOrder, earlier_of_same
from feed.ranking.live_index import LiveIndex

PRIOR = 5.0
"""Clicks of today that the site's mixture counts for beside the reader's own."""
SMOOTHING = 0.01
"""Share of the wanted mixture in the page's own, so that a section that is missing costs much but
not everything (alpha in the source)."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """The shares of sections that a page should have, f64 [sections].

    `own` says which sections the reader has read.
    """

    shares: Floats
    own: Flags

    @property
    def is_personal(self) -> bool:
        """The reader's own history has a part in it."""
        return bool(self.own.any())


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """An order, and what calibration did to it.

    Attributes:
        order: the order with its first page calibrated.
        mixture: what the page should be like; None where nothing was calibrated.
        raised: positions of the candidates that are on the first page because of that, int64.
    """

    order: DiversifiedOrder
    mixture: Mixture | None
    raised: Rows

    @property
    def is_personal(self) -> bool:
        """The reader's own history changed who is on the first page."""
        return self.mixture is not None and self.mixture.is_personal and self.raised.size > 0


def is_calibrated(context: RankingContext, config: RankingConfig) -> bool:
    """Return whether a request's first page is calibrated: front pages are, if it is wanted."""
    request = context.request
    return config.calibration > 0 and request.section < 0 and request.page_row < 0


def find_mixture(pool: ArticlePool, index: LiveIndex, profile: Profile) -> Mixture:
    """Return the mixture of sections that a reader's page should have.

    It is what the reader has read, decayed as the profile is, with `PRIOR` clicks spread as those
    of all readers on the present articles (as these articles themselves, before the first click).
    So a reader without a history gets the site's mixture.

    Args:
        pool: the articles.
        index: the snapshot's orders.
        profile: the reader.
    """
    size = len(index.sections)
    known = (profile.engaged_rows < pool.size) & (profile.weights > 0)
    sections, weights = pool.section[profile.engaged_rows[known]], profile.weights[known]
    coded = (sections >= 0) & (sections < size)
    own = np.bincount(sections[coded], weights[coded], minlength=size)
    site = index.sections.sum()
    amounts = own + (PRIOR * index.sections / site if site else 0.0)
    total = amounts.sum()
    return Mixture(amounts / total if total else amounts, own > 0)


def calibrate(
    context: RankingContext,
    index: LiveIndex,
    rows: Rows,
    scores: Floats,
    order: DiversifiedOrder,
    pin_slots: Rows,
    config: RankingConfig,
) -> Calibrated:
    """Return an order with its first page calibrated to the reader's mixture of sections.

    Args:
        context: the articles, the reader and the request.
        index: the snapshot's orders.
        rows: of all candidates, the pins first, int64 [k].
        scores: of all candidates, f64 [k].
        order: candidates that are not pinned, best first.
        pin_slots: where the pins belong, ascending.
        config: `calibration`, `first_page`, `slate_size`.
    """
    nothing = np.empty(0, np.int64)
    if not is_calibrated(context, config):
        return Calibrated(order, None, nothing)
    pool = context.view.pool
    mixture = find_mixture(pool, index, context.profile)
    page = min(config.first_page, config.slate_size, len(order.order) + len(pin_slots))
    pinned = rows[: len(pin_slots)][pin_slots < page]
    places = choose_page(
        scores[order.order] * order.decay,
        pool.section[rows[order.order]],
        mixture.shares,
        pool.section[pinned],
        page,
        config.calibration,
    )
    raised = order.order[places[places >= len(places)]]
    left = np.ones(len(order.order), np.bool_)
    left[places] = False
    turned = np.concatenate([places, np.flatnonzero(left)])
    calibrated = replace(order, order=order.order[turned], decay=order.decay[turned])
    return Calibrated(calibrated, mixture, raised)


def choose_page(
    scores: Floats,
    sections: Codes,
    shares: Floats,
    pinned: Codes,
    page: int,
    weight: float,
) -> Rows:
    """Return the places of the candidates that fill a page, ascending.

    The page has the greatest `(1 - weight) * score - weight * KL(p || q)` that any choice of these
    candidates has. `score` is the sum of their scores over the sum of those that would stand there
    without calibration, `p` the wanted shares, and `q` the shares on the page, pins included, mixed
    with `SMOOTHING * p`. A candidate's score counts for no more than those before it, so whoever
    stood on the page stays there wherever sections make no difference.

    Source: Steck: Calibrated Recommendations (RecSys 2018), which takes slot after slot by the
    greatest gain. Where an article may be of several sections, the divergence is, but for a
    constant, monotone and submodular in the articles, so such a greedy reaches 1 - 1/e of the best
    (Nemhauser, Wolsey, Fisher 1978). Here each article is of one section. Then the gain of a
    section's next article depends on that section alone and falls with each one taken, and the
    greedy is exact (Fox: Discrete optimization via marginal analysis, 1966). It is a sort by gain.
    Those chosen keep their order: calibration says who is on the page, and scores say where.

    Args:
        scores: best first, non-negative, f64 [k].
        sections: codes, -1 for none, [k].
        shares: wanted, f64 [sections]; codes beyond are wanted no more than those with 0.
        pinned: codes of the sections of the pins on the page.
        page: slots of the page, pins included.
        weight: of the divergence, 0 to 1.

    Returns:
        `page - len(pinned)` places, or all if there are fewer, int64.
    """
    count = min(page - len(pinned), len(scores))
    values = np.minimum.accumulate(scores)
    total = values[:count].sum()
    gains = (1.0 - weight) * values / total if total > 0 else np.zeros(len(scores))
    wanted = np.append(shares, 0.0)  # the last one stands for no section and unknown ones
    codes = np.where((sections >= 0) & (sections < len(shares)), sections, len(shares))
    earlier = earlier_of_same(codes)
    known_pins = pinned[(pinned >= 0) & (pinned < len(shares))]
    earlier += np.bincount(known_pins, minlength=len(wanted))[codes]
    at_zero = SMOOTHING / (1.0 - SMOOTHING) * page * wanted[codes]
    some = at_zero > 0
    gains[some] += weight * wanted[codes[some]] * np.log1p(1.0 / (at_zero[some] + earlier[some]))
    chosen: Rows = np.argsort(-gains, kind="stable")[:count]
    return np.sort(chosen)


def divergence(sections: Codes, shares: Floats) -> float:
    """Return KL(p || q) in nats of a page's sections from the wanted shares, smoothed as above.

    Args:
        sections: codes of the page's articles, -1 for none.
        shares: wanted, f64 [sections].
    """
    known = sections[(sections >= 0) & (sections < len(shares))]
    on_page = np.bincount(known, minlength=len(shares)) / max(len(sections), 1)
    wanted = shares > 0
    smoothed = (1.0 - SMOOTHING) * on_page[wanted] + SMOOTHING * shares[wanted]
    return float((shares[wanted] * np.log(shares[wanted] / smoothed)).sum())


def section_entropy(counts: Floats) -> float:
    """Return the entropy in nats of sections that have these counts, f64 [sections]."""
    shares = counts[counts > 0] / counts.sum() if counts.sum() else counts[:0]
    return float(-(shares * np.log(shares)).sum())
