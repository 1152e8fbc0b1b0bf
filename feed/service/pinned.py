"""Which pins are for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feed.domain import Pin
from feed.experiments.design.audience import Audience


def audiences_of(pins: Sequence[Pin]) -> dict[int, Audience]:
    """Return the audience of each pin that is not for everybody, by its place."""
    return {
        place: Audience(platforms=pin.platforms, languages=pin.languages, attributes=pin.attributes)
        for place, pin in enumerate(pins)
        if pin.platforms or pin.languages or pin.attributes
    }


def pins_for(
    pins: tuple[Pin, ...],
    audiences: Mapping[int, Audience],
    *,
    platform: str,
    language: str,
    attributes: Mapping[str, str],
) -> tuple[Pin, ...]:
    """Return the pins whose audience admits a request; `find_pins` checks section and time."""
    if not audiences:
        return pins
    return tuple(
        pin
        for place, pin in enumerate(pins)
        if place not in audiences
        or audiences[place].admits(platform=platform, language=language, attributes=attributes)
    )
