"""Interleaves two rankings of one request into one feed, by team draft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from feed.domain import WINDOW_KEY, Rung, ServedFeed, Slots
from feed.experiments.statistics.interleaving import interleave


def interleave_feeds(
    names: Sequence[str], feeds: Sequence[ServedFeed], size: int, rng: np.random.Generator
) -> ServedFeed:
    """Return one feed drafted from two, with what is true of both.

    Each slot's sources name the side that picked it. The rung is the lower one, the feed is
    personalized if a side is, all model versions are named, and the age limit is the higher one.
    The context says what each side was.

    Args:
        names: of the two sides.
        feeds: what each side ranked.
        size: how many slots are drafted.
        rng: decides which side picks first.
    """
    described: dict[str, str] = {}
    for name, feed in zip(names, feeds, strict=True):
        described[f"{name}.rung"] = feed.rung.value
        described[f"{name}.personalized"] = str(feed.personalized).lower()
        described[f"{name}.model_version"] = feed.model_version
    windows = [feed.context[WINDOW_KEY] for feed in feeds if WINDOW_KEY in feed.context]
    if windows:
        described[WINDOW_KEY] = max(windows, key=float)
    first, second = feeds
    return replace(
        first,
        slots=draft_slots(names, first.slots, second.slots, size, rng),
        rung=max((feed.rung for feed in feeds), key=[*Rung].index),
        personalized=any(feed.personalized for feed in feeds),
        model_version="+".join(dict.fromkeys(feed.model_version for feed in feeds)),
        context=first.context | described,
    )


def draft_slots(
    names: Sequence[str], first: Slots, second: Slots, size: int, rng: np.random.Generator
) -> Slots:
    """Let both sides pick in turn; each slot is as its side ranked it, but for its position."""
    article_ids, teams = interleave(first.article_ids, second.article_ids, size, rng)
    places = {
        "a": {article_id: at for at, article_id in enumerate(first.article_ids)},
        "b": {article_id: at for at, article_id in enumerate(second.article_ids, len(first))},
    }
    picked = [places[team][article_id] for article_id, team in zip(article_ids, teams, strict=True)]
    drafted = first.followed_by(second).pick(picked)
    side = {"a": f"team:{names[0]}", "b": f"team:{names[1]}"}
    proposed = zip(drafted.sources, teams, strict=True)
    return replace(
        drafted,
        positions=range(len(drafted)),
        sources=[(*sources, side[team]) for sources, team in proposed],
    )
