"""Decides when a source is checked again, by pure functions of what was found."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from feed.config import DAY_S, HOUR_S
from feed.sources.subscription import Source, SourceState

MINUTE_S = 60.0
MIN_MINUTES, MAX_MINUTES = 5.0, 15.0
"""Bounds of the time between two checks if the source has none of its own."""
FIRST_MINUTES = 10.0
FASTER, SLOWER = 0.5, 1.5
"""Factors on the interval after a check that found something new, and after one that did not."""
LONGEST_WAIT_S = 6 * HOUR_S
LONGEST_RETRY_S = DAY_S
JITTER = 0.1


def interval_after_success(
    source: Source, state: SourceState, wait_s: float, *, changed: bool
) -> float:
    """Return the seconds until the next check of a source that was read.

    What the publisher asks for is a lower bound, unless somebody chose a longest interval for
    this source.

    Args:
        source: its own bounds.
        state: the interval until now.
        wait_s: what the publisher asks for.
        changed: whether it held something new.
    """
    shortest, longest = bounds_s(source)
    present = state.interval_s or FIRST_MINUTES * MINUTE_S
    interval = min(max(present * (FASTER if changed else SLOWER), shortest), longest)
    asked_for = min(wait_s, LONGEST_WAIT_S) if source.max_minutes is None else 0.0
    return max(interval, asked_for)


def wait_after_failure(source: Source, failures: int, retry_after_s: float) -> float:
    """Return the seconds until the next try: longer after each failure, up to six hours.

    Args:
        source: its own bounds.
        failures: how many in a row, at least 1.
        retry_after_s: how long the server asks to wait.
    """
    shortest, _ = bounds_s(source)
    backing_off = min(shortest * 2.0 ** min(failures - 1, 20), LONGEST_WAIT_S)
    return max(backing_off, min(retry_after_s, LONGEST_RETRY_S))


def bounds_s(source: Source) -> tuple[float, float]:
    """Return the shortest and the longest time between two checks, seconds."""
    shortest = source.min_minutes
    if shortest is None:
        shortest = min(MIN_MINUTES, source.max_minutes or MIN_MINUTES)
    longest = max(MAX_MINUTES if source.max_minutes is None else source.max_minutes, shortest)
    return shortest * MINUTE_S, longest * MINUTE_S


def spread(wait_s: float, chance: float) -> float:
    """Return a waiting time that is up to a tenth longer, so that sources do not come at once."""
    return wait_s * (1 + JITTER * chance)


def is_due(source: Source, state: SourceState, now: float) -> bool:
    """Return whether a source is to be checked now."""
    if source.asked != state.answered:
        return True
    # A time beyond all bounds was written by a clock that was wrong.
    is_time = state.next_at <= now or state.next_at > now + 2 * LONGEST_RETRY_S
    return is_time and not source.paused and not state.gone


def read_retry_after(text: str, now: float) -> float:
    """Return the seconds that a `Retry-After` header asks to wait, 0 if it can't be read."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def read_max_age(text: str) -> float:
    """Return the seconds for which a `Cache-Control` header calls an answer fresh, 0: none."""
    for directive in text.lower().split(","):
        name, _, seconds = directive.strip().partition("=")
        seconds = seconds.strip().strip('"')
        if name.strip() == "max-age" and seconds.isascii() and seconds.isdigit():
            return float(seconds[:9])
    return 0.0
