"""A description of the ranking and of a reader's control over it, made from the settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from feed.config import RankingConfig
from feed.editorial.editorial_limits import Limit
from feed.models.schema import FEATURES
from feed.setting_fields import documented

_SUMMARY = (
    "A feed is made anew for each request, from the articles of the last days.",
    (
        "Articles are proposed by what you read, what readers like you read, what is read a lot "
        "or more than usual right now, what is new, what you follow, and what editors pick."
    ),
    (
        "Each is scored by the signals below. Trending articles move up, articles that you were "
        "shown several times and did not open move down, and sections are mixed."
    ),
    (
        "One slot of the first page is drawn at random among new articles that few readers were "
        "shown, so that these get a chance; its reason says so."
    ),
    "Every article shows the reason that really put it where it is.",
)
_CHOICES = (
    (
        "Follow or mute sections and sources, and choose languages: "
        "PUT /v1/users/{user_id}/preferences."
    ),
    (
        "Ask for more or fewer articles like one, of a section or from a source, or for none for "
        "a while, with an end: wishes in PUT /v1/users/{user_id}/preferences."
    ),
    (
        "Say that you do not want an article: an event of kind hide or dislike; unhide and "
        "undislike take it back."
    ),
    (
        "Switch personalization off in the preferences: your history is deleted and no longer "
        "read. What you follow, mute, dislike or hide still counts."
    ),
    "Ask for mode=latest or mode=trending: such a feed does not use what you read.",
    (
        "See all that is held on you: GET /v1/users/{user_id}/export. "
        "Have it erased: DELETE /v1/users/{user_id}."
    ),
)


def about_ranking(config: RankingConfig, limits: Iterable[Limit] = ()) -> dict[str, Any]:
    """Return the description of a ranking with these parameters and limits, JSON-ready."""
    parameters = [
        {"name": f.name, "value": getattr(config, f.name), "text": f.metadata["doc"]}
        for f in documented(config)
    ]
    signals = [
        {"name": feature.name, "value": feature.group, "text": feature.doc} for feature in FEATURES
    ]
    return {
        "summary": list(_SUMMARY),
        "your_choices": list(_CHOICES),
        "limits": [limit.sentence() for limit in limits],
        "parameters": parameters,
        "signals": signals,
    }
