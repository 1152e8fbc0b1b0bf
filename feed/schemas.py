"""The pydantic models of request bodies and queries."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    Strict,
    ValidationError,
    WithJsonSchema,
    with_config,
)
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

from feed.custom_data import (
    LARGEST_VALUE,
    LONGEST_TEXT,
    check_event,
    read_attributes,
)
from feed.domain import Event, EventKind, Mode

MAX_EVENTS = 500
MAX_SOURCES = 500
MAX_PAGE = 100

ID_PATTERN_TEXT = r"^[^\s\x00-\x1f\x7f]+$"
NOT_BLANK = r"\S"
URL_PATTERN_TEXT = r"^([Hh][Tt][Tt][Pp][Ss]?:/)?/\S+$"
EXPERIMENT_PATTERN_TEXT = r"^[a-z0-9][a-z0-9_-]*$"
_LANGUAGE_TAG = "[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"
LANGUAGE_PATTERN_TEXT = f"^{_LANGUAGE_TAG}$"
OPTIONAL_LANGUAGE_PATTERN_TEXT = f"^({_LANGUAGE_TAG})?$"

_LANGUAGE_RULE = 'must be a language tag, such as "en" or "pt-BR"'
PATTERN_RULES = {
    ID_PATTERN_TEXT: "must not contain white space or control characters",
    NOT_BLANK: "must not be blank",
    URL_PATTERN_TEXT: "must begin with https://, http:// or /, and contain no white space",
    EXPERIMENT_PATTERN_TEXT: "must be lower-case letters, digits, - and _, and must not begin with "
    "- or _",
    LANGUAGE_PATTERN_TEXT: _LANGUAGE_RULE,
    OPTIONAL_LANGUAGE_PATTERN_TEXT: _LANGUAGE_RULE,
}
"""What the patterns ask for, in words."""

_NOT_A_TIME = "must be a time in ISO 8601, such as 2026-01-31T08:30:00Z"
_TIME_RULES = dict.fromkeys(
    ("datetime_parsing", "datetime_from_date_parsing", "datetime_type"), _NOT_A_TIME
)

EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _sane(moment: datetime) -> datetime:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if not EARLIEST <= aware <= LATEST:
        raise ValueError("must be a time between 1970 and 2200")
    return aware


def _no_number(given: Any) -> Any:
    """Refuse days, and numbers such as `20261129`, which would count as epoch seconds."""
    if isinstance(given, datetime) or (isinstance(given, str) and given[4:5] == "-" and given[10:]):
        return given
    raise ValueError(_NOT_A_TIME)


def _hyphenated(tag: Any) -> Any:
    """Return a language tag such as `en_GB`, as many devices write it, in the form of BCP 47."""
    return tag.replace("_", "-") if isinstance(tag, str) else tag


Id = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        pattern=ID_PATTERN_TEXT,
        description="1 to 128 characters without white space or control characters",
    ),
]
Moment = Annotated[datetime, Strict(False), BeforeValidator(_no_number)]
Time = Annotated[
    Moment,
    AfterValidator(_sane),
    Field(description="ISO 8601; without an offset it is UTC", examples=["2026-01-31T08:30:00Z"]),
]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=NOT_BLANK)]
Label = Annotated[str, Field(max_length=128)]
Language = Annotated[
    str,
    Field(max_length=35, pattern=LANGUAGE_PATTERN_TEXT, examples=["en"]),
    BeforeValidator(_hyphenated),
]
OptionalLanguage = Annotated[
    str,
    Field(max_length=35, pattern=OPTIONAL_LANGUAGE_PATTERN_TEXT, examples=["en"]),
    BeforeValidator(_hyphenated),
]
ContextKey = Annotated[str, Field(min_length=1, max_length=64)]
ContextText = Annotated[str, Field(max_length=256)]
Minutes = Annotated[float, Field(ge=1, le=1440, allow_inf_nan=False)]
KeyScope = Literal["site", "read", "write", "admin", "metrics"]
Names = Annotated[list[Name], Field(max_length=200)]


class Input(BaseModel):
    """Base of request bodies, which have exact types and no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@with_config(Input.model_config)
class EventIn(TypedDict):
    """One action of one reader, on one article unless the kind is custom."""

    # A dict, not a model: there are up to 500 in a request, and a dict takes half the time.
    event_id: Id
    user_id: NotRequired[
        Annotated[Id, Field(description="may be left out with a reader's own token")]
    ]
    article_id: NotRequired[
        Annotated[Id | None, Field(description="must be given, except for kind custom")]
    ]
    kind: EventKind
    occurred_at: NotRequired[
        Annotated[
            Moment | None,
            Field(
                description="ISO 8601; by default the time of receipt, which also counts instead "
                "of a time that is more than 5 minutes in the future or 30 days in the past",
                examples=["2026-01-31T08:30:00Z"],
            ),
        ]
    ]
    dwell_s: NotRequired[
        Annotated[
            Annotated[float, Field(ge=0, le=86_400)] | None,
            Field(description="seconds for which the article was read, for kind read"),
        ]
    ]
    request_id: NotRequired[
        Annotated[Id | None, Field(description="request_id of the feed that showed the article")]
    ]
    position: NotRequired[
        Annotated[
            Annotated[int, Field(ge=0, le=100_000)] | None,
            Field(description="position in that feed, 0 is the top"),
        ]
    ]
    context: NotRequired[
        Annotated[
            dict[ContextKey, ContextText],
            Field(
                max_length=16,
                description="free text from the front end: device, platform, page_article_id ...",
            ),
        ]
    ]
    name: NotRequired[
        Annotated[
            Annotated[str, Field(max_length=64)] | None,
            Field(
                description="for kind custom only, which needs it: 1 to 64 lower-case letters, "
                "digits and _, starting with a letter",
                examples=["newsletter_signup"],
            ),
        ]
    ]
    value: NotRequired[
        Annotated[
            Annotated[float, Field(ge=-LARGEST_VALUE, le=LARGEST_VALUE)] | None,
            Field(description="a number for kind custom, such as an amount"),
        ]
    ]


def build_event(given: EventIn, now: float) -> Event:
    """Return the event of the domain, received now (epoch seconds); without an offset it is UTC.

    `given` names its reader.

    Raises:
        InvalidInputError: its fields do not suit its kind.
    """
    moment = given.get("occurred_at")
    occurred_at = now if moment is None else epoch_seconds(moment)
    fields: dict[str, Any] = {**given, "received_at": now, "occurred_at": occurred_at}
    has_own = given["kind"] is EventKind.CUSTOM or "name" in given or "value" in given
    if given.get("article_id") and not has_own:
        return Event(**fields)  # most are so: they need no further check
    fields |= {name: given.get(name) or "" for name in ("article_id", "name")}
    return check_event(Event(**fields))


def epoch_seconds(moment: datetime) -> float:
    """Return the epoch seconds of a moment; without an offset it is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class EventBatchIn(Input):
    """One to 500 events; an invalid event does not affect the others."""

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)]
    sent_at: Moment | None = Field(
        None,
        description="the present time on the clock that gave the events their occurred_at; if it "
        "differs from the service's, all these times are corrected by the difference",
        examples=["2026-01-31T08:30:00Z"],
    )


class KeyIn(Input):
    """A name for a new API key, and what it may do."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=ID_PATTERN_TEXT)]
    scope: KeyScope


class SourceIn(Input):
    """A feed to poll."""

    address: Annotated[
        str,
        Field(
            min_length=1,
            max_length=2048,
            description="http(s) address of the feed, or of a page that names it; a login in it is "
            "used and never shown",
            examples=["https://paper.example/feed"],
        ),
    ]
    name: Label = Field("", description="what you call it; empty: the title of the feed")
    zone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        "UTC",
        description="IANA time zone, for times without one and for ambiguous zone names",
        examples=["Europe/Berlin"],
    )
    age_from: Literal["published", "updated"] = Field(
        "updated",
        description="what the age of its articles counts from: their publication, or their last "
        "real change",
    )
    min_minutes: Minutes | None = Field(None, description="shortest time between two checks")
    max_minutes: Minutes | None = Field(
        None,
        description="longest time between two checks; it overrides what the feed asks for",
    )


class SourcesIn(Input):
    """One to 500 sources; if one is invalid, none is added."""

    sources: Annotated[list[SourceIn], Field(min_length=1, max_length=MAX_SOURCES)]


class Query(BaseModel):
    """Base of query strings; unknown parameters are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class FeedQuery(Query):
    """The reader of a feed, its length, its filters and its order."""

    user_id: Id = Field("", description="may be left out with a reader's own token")
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20
    cursor: Annotated[str, Field(max_length=512)] | None = Field(
        None, description="next_cursor of the previous page"
    )
    section: Label = Field("", description="only articles of this section")
    language: Language | None = Field(None, description="only articles in this language")
    mode: Mode = Field(Mode.PERSONALIZED, description="what the feed is ordered by")
    page_article_id: Id | None = Field(
        None, description="the article that the reader is reading, for a feed on its page"
    )
    device: Annotated[str, Field(max_length=64)] = Field(
        "", description="what the reader reads on: desktop, mobile or tablet"
    )
    platform: Annotated[str, Field(max_length=64)] = Field(
        "", description="where the reader reads, such as web or ios"
    )
    attributes: Annotated[
        dict[str, str],
        BeforeValidator(lambda text: read_attributes("attributes", text)),
        WithJsonSchema(
            {
                "type": "string",
                "maxLength": LONGEST_TEXT,
                "description": "attributes of the reader, for experiments, as "
                "name:value,name:value; what the newsroom has stored counts before it",
                "examples": ["subscriber:yes,region:north"],
            }
        ),
    ] = Field(default_factory=dict)


class TrendingQuery(Query):
    """How many trending articles, and from which section and language."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 20
    section: Label = ""
    language: Language | None = None


class RelatedQuery(Query):
    """How many related articles."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 10


class RetractQuery(Query):
    """Whether a retracted article is erased as well."""

    purge: bool = Field(
        False,
        description="true: the article is erased; false: it can still be read, marked as retracted",
    )


class RankingPatch(RootModel[dict[str, Any]]):
    """Ranking settings by name, such as {"trending_boost": 0.5}; null takes a change back.

    `weights` is an object of weights by feature.
    """


def rules_broken(error: ValidationError, prefix: str = "") -> list[tuple[str, str]]:
    """Return (field, rule) for everything a pydantic model found wrong; input is not echoed."""
    found = []
    for item in error.errors(include_url=False, include_input=False):
        path = ".".join(str(step) for step in item["loc"])
        rule = _pattern_rule(item) or _TIME_RULES.get(item["type"]) or plain_rule(item["msg"])
        found.append((".".join(p for p in (prefix, path) if p) or "body", rule))
    return found


def _pattern_rule(item: ErrorDetails) -> str | None:
    return PATTERN_RULES.get(item.get("ctx", {}).get("pattern", ""))


def plain_rule(message: str) -> str:
    """Return what pydantic says of a value in the words of a rule."""
    words = message.removeprefix("Value error, ")
    words = re.sub("^(Input|String|List|Dictionary|Data) (?=should )", "", words)
    return words[:1].lower() + words[1:]
