"""Limits: what the newsroom wants of every front page, whoever reads it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

import orjson

from feed.custom_data import check_text
from feed.domain import InvalidInputError

LIMITS_KEY = "limits"
"""Key of a served feed's context with what became of the newsroom's limits, as JSON."""
MOST_LIMITS = 20
MOST_SLOTS = 100
MOST_HOURS = 24.0 * 365
LONGEST_NAME = 256
_ROUNDING = 1e-9


class LimitRule(StrEnum):
    """Whether a limit caps a share of the first slots, or asks for a number of articles there."""

    AT_MOST = "at_most"
    AT_LEAST = "at_least"


class LimitOf(StrEnum):
    """Which of an article's properties a limit counts."""

    SECTION = "section"
    SOURCE = "source"
    LANGUAGE = "language"
    AI_GENERATED = "ai_generated"
    SPONSORED = "sponsored"
    AGE = "age"


NAMED = (LimitOf.SECTION, LimitOf.SOURCE, LimitOf.LANGUAGE)
"""Properties that have a name, so that a limit may be about one name or about any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit on the first slots of a front page.

    `at_most` caps the articles of each name (or of one name, if `value` says which), the articles
    made with AI (generated, or with its help), the sponsored ones, or those older than `hours`.
    `at_least` asks for articles of one name, or for articles younger than `hours`.

    Attributes:
        rule: A cap or a minimum.
        of: What is counted.
        value: Name of a section, source or language; empty for any of them.
        within: How many slots from the top it is about.
        share: Of these slots, 0 to 1; of a cap.
        count: Articles; of a minimum.
        hours: Age, counted as the ranking counts it; of a limit on age.
    """

    rule: LimitRule
    of: LimitOf
    value: str = ""
    within: int = 20
    share: float = 0.0
    count: int = 0
    hours: float = 0.0

    @property
    def is_cap(self) -> bool:
        """Whether it caps something, and does not ask for it."""
        return self.rule is LimitRule.AT_MOST

    def most_of(self, slots: int) -> int:
        """Return how many articles a cap allows in so many slots; of any name at least one."""
        return max(math.floor(self.share * slots + _ROUNDING), int(self.is_of_any))

    @property
    def is_of_any(self) -> bool:
        """Whether it is a cap on each name by itself."""
        return self.of in NAMED and not self.value

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, without those that do not apply."""
        return {name: value for name, value in asdict(self).items() if value or name == "within"}

    def sentence(self) -> str:
        """Return it in words."""
        if self.is_cap:
            return (
                f"At most {100 * self.share:g} % of the first {self.within} articles {_are(self)}"
            )
        verb = "is" if self.count == 1 else "are"
        return f"At least {self.count} of the first {self.within} articles {verb} {_what(self)}"


def limit_from_json(data: Mapping[str, Any]) -> Limit:
    """Return the limit that `Limit.to_json` gave."""
    return Limit(
        **{**data, "rule": LimitRule(data["rule"]), "of": LimitOf(data["of"])},
    )


def logged_limits(text: str) -> tuple[Limit, ...]:
    """Return the limits that a served feed's context names under `LIMITS_KEY`."""
    return tuple(limit_from_json(one["limit"]) for one in orjson.loads(text or "[]"))


def check_limits(limits: Sequence[Limit]) -> None:
    """Refuse limits that no front page can meet, alone or together.

    Raises:
        InvalidInputError: names the limit by its place in the list, and the rule it breaks.
    """
    if len(limits) > MOST_LIMITS:
        raise InvalidInputError("limits", f"must be at most {MOST_LIMITS}")
    for number, limit in enumerate(limits):
        _check_one(f"limits.{number}", limit)
        if any(_key(limit) == _key(other) for other in limits[:number]):
            raise InvalidInputError(f"limits.{number}", "must not be given twice")
    for number, limit in enumerate(limits):
        if not limit.is_cap:
            _check_against_caps(f"limits.{number}.count", limit, limits)
            _check_room(f"limits.{number}.count", limit, limits)


def _check_one(name: str, limit: Limit) -> None:
    if not 1 <= limit.within <= MOST_SLOTS:
        raise InvalidInputError(f"{name}.within", f"must be 1 to {MOST_SLOTS} slots")
    if limit.value and limit.of not in NAMED:
        raise InvalidInputError(f"{name}.value", f"must be empty for a limit on {limit.of}")
    check_text(f"{name}.value", limit.value)
    if len(limit.value) > LONGEST_NAME:
        raise InvalidInputError(f"{name}.value", f"must have at most {LONGEST_NAME} characters")
    if limit.of is LimitOf.AGE and not 0 < limit.hours <= MOST_HOURS:
        raise InvalidInputError(f"{name}.hours", f"must be over 0 and at most {MOST_HOURS:g}")
    if limit.of is not LimitOf.AGE and limit.hours:
        raise InvalidInputError(f"{name}.hours", "must be left out unless the limit is on age")
    check = _check_cap if limit.is_cap else _check_minimum
    check(name, limit)


def _check_cap(name: str, limit: Limit) -> None:
    if limit.count:
        raise InvalidInputError(f"{name}.count", "must be left out of a cap, which has a share")
    if not 0 <= limit.share < 1:
        raise InvalidInputError(f"{name}.share", "must be at least 0 and under 1")
    if limit.is_of_any and limit.share * limit.within + _ROUNDING < 1:
        rule = f"must allow each {limit.of} at least one of the first {limit.within} articles"
        raise InvalidInputError(f"{name}.share", rule)


def _check_minimum(name: str, limit: Limit) -> None:
    if limit.share:
        rule = "must be left out of a minimum, which has a count"
        raise InvalidInputError(f"{name}.share", rule)
    if limit.of not in (*NAMED, LimitOf.AGE):
        raise InvalidInputError(f"{name}.of", "must be section, source, language or age")
    if limit.of in NAMED and not limit.value:
        raise InvalidInputError(f"{name}.value", f"must name a {limit.of}")
    if not 1 <= limit.count <= limit.within:
        raise InvalidInputError(f"{name}.count", f"must be 1 to {limit.within}, the slots it has")


def _check_against_caps(name: str, wanted: Limit, limits: Iterable[Limit]) -> None:
    for cap in limits:
        is_same = cap.is_cap and cap.of is wanted.of and wanted.of in NAMED
        if not is_same or fold(cap.value) not in {"", fold(wanted.value)}:
            continue
        if wanted.within <= cap.within and wanted.count > cap.most_of(cap.within):
            rule = f"must be at most {cap.most_of(cap.within)}, because of another limit: "
            raise InvalidInputError(name, rule + cap.sentence())


def _check_room(name: str, wanted: Limit, limits: Iterable[Limit]) -> None:
    needed: dict[str, int] = {}
    for other in limits:
        is_same = not other.is_cap and other.of is wanted.of and wanted.of in NAMED
        if is_same and other.within <= wanted.within:
            key = fold(other.value)
            needed[key] = max(needed.get(key, 0), other.count)
    if sum(needed.values()) > wanted.within:
        rule = f"must leave room: the minimums of the first {wanted.within} articles ask for "
        raise InvalidInputError(name, f"{rule}{sum(needed.values())}")


def fold(name: str) -> str:
    """Return what two spellings of a name have in common."""
    return " ".join(name.split()).casefold()


def _key(limit: Limit) -> tuple[Any, ...]:
    values = {f.name: getattr(limit, f.name) for f in fields(limit)}
    values["value"] = fold(limit.value)
    return tuple(v for name, v in values.items() if name not in {"share", "count"})


def _are(limit: Limit) -> str:
    if not limit.is_of_any:
        return f"are {_what(limit)}"
    return "are in one language" if limit.of is LimitOf.LANGUAGE else f"are of one {limit.of}"


def _what(limit: Limit) -> str:
    """Return what a limit counts, in words that follow "is" or "are"."""
    if limit.of is LimitOf.AGE:
        return f"{'older' if limit.is_cap else 'younger'} than {limit.hours:g} h"
    words = {
        LimitOf.SECTION: f"of the section {limit.value}",
        LimitOf.SOURCE: f"of the source {limit.value}",
        LimitOf.LANGUAGE: f"in the language {limit.value}",
        LimitOf.AI_GENERATED: "made with AI",
        LimitOf.SPONSORED: "sponsored",
    }
    return words[limit.of]
