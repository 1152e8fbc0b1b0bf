"""What a metric may count or sum: the quantities of the log, and events that a site names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from feed.custom_data import EVENT_NAME
from feed.domain import InvalidInputError
from feed.experiments.design.parsing import Reader

QUALIFIED_DWELL_S = 10.0
"""A read at least this long counts as qualified, seconds."""
SESSION_GAP_S = 1800.0
"""A pause longer than this ends a session, seconds."""
LONGEST_DWELL_S = 1800.0
"""One read counts at most this long, seconds: tabs left open are not reading."""

ACTIVITY_COLUMNS: dict[str, str] = {
    "views": "count(*) FILTER (kind = 'view')",
    "impressions": "count(*) FILTER (kind = 'impression')",
    "clicks": "count(*) FILTER (kind = 'click')",
    "reads": "count(*) FILTER (kind = 'read')",
    "qualified_reads": f"count(*) FILTER (kind = 'read' AND amount >= {QUALIFIED_DWELL_S})",
    "dwell_s": "coalesce(sum(amount) FILTER (kind = 'read'), 0)",
    "likes": "count(*) FILTER (kind = 'like') - count(*) FILTER (kind = 'unlike')",
    "dislikes": "count(*) FILTER (kind = 'dislike') - count(*) FILTER (kind = 'undislike')",
    "saves": "count(*) FILTER (kind = 'save') - count(*) FILTER (kind = 'unsave')",
    "shares": "count(*) FILTER (kind = 'share')",
    "hides": "count(*) FILTER (kind = 'hide') - count(*) FILTER (kind = 'unhide')",
    "sessions": "count(*) FILTER (opens_session)",
    "fallback_views": "count(*) FILTER (kind = 'view' AND fallback)",
    "active_days": "1",
}
"""Columns of a reader's day, summed from the activity stream (events and feed views)."""

SHOWN_COLUMNS: dict[str, str] = {
    "slots": "sum(slots)",
    "trending_slots": "sum(trending_slots)",
    "ai_slots": "sum(ai_slots)",
    "explored_slots": "sum(explored_slots)",
    "section_entropy": "ln(sum(slots)) - sum(slots * ln(slots)) / sum(slots)",
    "shown_days": "1",
}
"""Columns of a reader's day, from what was shown, counted by section first."""

RETURN_COLUMNS = ("returned_days", "returnable_days")
"""Columns of a reader's day that look at the day after it."""

BASE_COLUMNS = (*ACTIVITY_COLUMNS, *SHOWN_COLUMNS, *RETURN_COLUMNS)
"""Columns that every analysis has; each adds up over days."""

SUMMED = {"reads": "dwell_s", "section_entropy": "section_entropy"}
"""Columns of the quantities that have a value of their own to sum."""
COUNTED = tuple(name for name in BASE_COLUMNS if name not in SUMMED.values())
"""Quantities that are counted."""

PARTS = {
    "qualified_reads": "reads",
    "fallback_views": "views",
    "trending_slots": "slots",
    "ai_slots": "slots",
    "explored_slots": "slots",
    "returned_days": "returnable_days",
}
"""Quantities that are a part of another one."""

CUSTOM = "custom:"
"""How the name of a site's own event begins."""

How = Literal["count", "sum", "value", "distinct"]

CHOICES: dict[How, tuple[str, ...]] = {
    "count": COUNTED,
    "sum": tuple(SUMMED),
    "value": ("latency", "reads"),
    "distinct": ("articles",),
}
"""What each way to measure may be of. All but the last take `custom:NAME`, too."""

NAME_RULE = "must be 1 to 64 lower-case letters, digits and _, starting with a letter"


@dataclass(frozen=True, slots=True)
class Measure:
    """What a metric takes from a reader's log.

    Attributes:
        how: ``count``: how many there are; ``sum``: their values together; ``value``: the values
            one by one; ``distinct``: how many different ones there are.
        of: A quantity, or ``custom:`` and the name of an event.
        at_least: Only reads of this many seconds, or events of this value, or more; None: all.
    """

    how: How
    of: str
    at_least: float | None = None

    def __post_init__(self) -> None:
        if self.of.startswith(CUSTOM) and not EVENT_NAME.fullmatch(self.event):
            raise InvalidInputError(self.how, f"must name an event after {CUSTOM}; it {NAME_RULE}")

    @property
    def event(self) -> str:
        """The site's own event; empty for a quantity of the log."""
        return self.of.removeprefix(CUSTOM) if self.of.startswith(CUSTOM) else ""

    @property
    def condition(self) -> str:
        """Which acts are meant, as SQL over the activity stream."""
        which = f"kind = 'custom' AND name = '{self.event}'" if self.event else "kind = 'read'"
        return which if self.at_least is None else f"{which} AND amount >= {self.at_least!r}"

    @property
    def column(self) -> str:
        """The column of a reader's day that holds it."""
        if not self.event and self.at_least is None:
            return SUMMED[self.of] if self.how == "sum" else self.of
        name = f"{'sum_' if self.how == 'sum' else ''}{self.of.replace(':', '_')}"
        if self.at_least is None:
            return name
        least = repr(self.at_least).removesuffix(".0").replace("+", "")
        return f"from_{least.replace('-', 'minus').replace('.', '_')}_{name}"

    @property
    def sql(self) -> str:
        """How the column is summed from the activity stream, where no analysis has it anyway."""
        if self.column in BASE_COLUMNS:
            return ""
        if self.how == "sum":
            return f"coalesce(sum(amount) FILTER ({self.condition}), 0)"
        return f"count(*) FILTER ({self.condition})"

    def __str__(self) -> str:
        least = "" if self.at_least is None else f" of {self.at_least:g} or more"
        return f"{'sum of ' if self.how == 'sum' else ''}{self.of}{least}"

    def is_part_of(self, other: Measure) -> bool:
        """Whether everything counted here is counted there, too."""
        if (self.how, other.how, other.at_least) != ("count", "count", None):
            return False
        if self.at_least is None:
            return PARTS.get(self.of) == other.of
        return self.of == other.of


def read_measure(reader: Reader, *ways: How) -> Measure:
    """Read a measure from an object that gives one of several ways to measure."""
    given = [how for how in ways if reader.has(how)]
    if len(given) != 1:
        rule = "must be given" if len(ways) == 1 else f"or {ways[-1]} must be given, and not both"
        raise reader.error(ways[0], rule)
    (how,) = given
    of = reader.text(how)
    custom = of.startswith(CUSTOM) and how != "distinct"
    if custom and not EVENT_NAME.fullmatch(of.removeprefix(CUSTOM)):
        raise reader.error(how, f"must name an event after {CUSTOM}, whose name {NAME_RULE}")
    if not custom and of not in CHOICES[how]:
        names = [*([] if how == "distinct" else [f"{CUSTOM}NAME"]), *CHOICES[how]]
        raise reader.error(how, f"must be one of {', '.join(names)}")
    least = reader.number("at_least") if reader.has("at_least") else None
    if least is not None and not custom and of != "reads":
        raise reader.error("at_least", f"goes with reads and {CUSTOM}NAME only")
    return Measure(how, of, least)


def measure_to_json(measure: Measure) -> dict[str, Any]:
    """Return what `read_measure` reads."""
    least = {} if measure.at_least is None else {"at_least": measure.at_least}
    return {measure.how: measure.of, **least}
