"""Reads the forms of the room Articles."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from feed.custom_data import read_attributes
from feed.domain import (
    AiGenerated,
    Article,
    InvalidInputError,
    Pin,
    Submission,
    check_id,
    format_time,
    parse_time,
)
from feed.editorial.bodies import PinIn
from feed.editorial.boosts import Boost
from feed.schemas import EARLIEST, LATEST, MAX_PAGE, rules_broken

HOUR_S = 3600.0
DURATIONS = (
    ("1", "1 hour"),
    ("3", "3 hours"),
    ("6", "6 hours"),
    ("12", "12 hours"),
    ("24", "a day"),
    ("48", "2 days"),
    ("168", "7 days"),
)
"""What a form offers for how long something holds: hours, and words."""
FACTORS = (
    ("20", "as far up as possible (20 times the score)"),
    ("5", "far up (5 times the score)"),
    ("2", "up (2 times the score)"),
    ("0.5", "down (0.5 times the score)"),
    ("0.2", "far down (0.2 times the score)"),
    ("0.01", "as far down as possible (0.01 times the score)"),
)
"""What a form offers as the factor of a boost: the factor, and words."""


def form_id(form: Mapping[str, str]) -> str:
    """Return the id of the article that a form is about.

    Raises:
        InvalidInputError: it is no id.
    """
    return check_id("article_id", form.get("article_id", ""))


def read_pin(article_id: str, form: Mapping[str, str], now: float, author: str) -> Pin:
    """Return the pin of a form, by the rules of the API.

    Raises:
        InvalidInputError: a field breaks a rule.
    """
    slot = form.get("slot", "").strip()
    if not slot.isdecimal() or len(slot) > 3 or not 1 <= int(slot) <= MAX_PAGE:
        raise InvalidInputError("slot", f"must be a whole number from 1 to {MAX_PAGE}")
    attributes = read_attributes("attributes", form.get("attributes", "").strip())
    wanted = {
        "article_id": article_id,
        "slot": int(slot) - 1,
        "starts_at": datetime.fromtimestamp(now, UTC),
        "ends_at": datetime.fromtimestamp(now + _duration_s(form), UTC),
        "section": form.get("section", "").strip(),
        "platforms": _names(form.get("platforms", "")),
        "languages": _names(form.get("languages", "")),
        "attributes": {name: [value] for name, value in attributes.items()},
    }
    try:
        return PinIn.model_validate(wanted).to_pin(author)
    except ValidationError as error:
        raise InvalidInputError(*rules_broken(error)[0]) from None


def read_boost(article_id: str, form: Mapping[str, str], now: float, author: str) -> Boost:
    """Return the boost of a form.

    Raises:
        InvalidInputError: a field breaks a rule.
    """
    try:
        factor = float(form.get("factor", ""))
    except ValueError:
        raise InvalidInputError("factor", "must be a number") from None
    return Boost(
        article_id=article_id,
        factor=factor,
        starts_at=now,
        ends_at=now + _duration_s(form),
        author=author,
    )


def read_labels(article: Article, form: Mapping[str, str]) -> Submission:
    """Return the labels of a form that differ from those of an article.

    Raises:
        InvalidInputError: a field breaks a rule.
    """
    made = form.get("ai_generated", "")
    if made not in set(AiGenerated):
        raise InvalidInputError("ai_generated", f"must be one of {', '.join(AiGenerated)}")
    wanted = {
        "ai_generated": AiGenerated(made),
        "human_reviewed": "human_reviewed" in form,
        "sponsored": "sponsored" in form,
    }
    return _submission(article, wanted)


def read_expiry(article: Article, form: Mapping[str, str]) -> Submission:
    """Return the expiry of a form if it differs from that of an article; empty: it has none.

    Raises:
        InvalidInputError: it is no time.
    """
    return _submission(article, {"expires_at": _expiry_of(form)})


def describe_expiry(form: Mapping[str, str], now: float) -> str:
    """Return in words what the expiry of a form does.

    Raises:
        InvalidInputError: it is no time.
    """
    expires_at = _expiry_of(form)
    if expires_at is None:
        return "It does not expire."
    if expires_at <= now:
        return "This time is past: no feed shows it from now on."
    until = format_time(expires_at)[:16].replace("T", " ")
    return f"Feeds may show it until {until} UTC, and not after that."


def _expiry_of(form: Mapping[str, str]) -> float | None:
    text = form.get("expires_at", "").strip()
    expires_at = parse_time("expires_at", text) if text else None
    if expires_at is not None and not EARLIEST.timestamp() <= expires_at <= LATEST.timestamp():
        raise InvalidInputError("expires_at", "must be a time between 1970 and 2200")
    return expires_at


def _submission(article: Article, wanted: Mapping[str, object]) -> Submission:
    changed = {name for name, value in wanted.items() if getattr(article, name) != value}
    values = {name: wanted[name] for name in changed}
    sent = Article(article_id=article.article_id, title="", published_at=0.0, **values)  # type: ignore[arg-type]
    return Submission(sent, frozenset(changed))


def _duration_s(form: Mapping[str, str]) -> float:
    hours = form.get("hours", "")
    if hours not in dict(DURATIONS):
        raise InvalidInputError("hours", "must be one of the choices")
    return float(hours) * HOUR_S


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
