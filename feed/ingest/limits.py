"""Cuts the fields of an article at the limits of the API, and notes what it changed."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from feed.article_schemas import ArticleBody
from feed.ingest.documents import Finding
from feed.ingest.language_codes import NO_LANGUAGE, language_tag
from feed.ingest.urls import full_address

RULES: dict[str, Any] = ArticleBody.model_json_schema()["properties"]
MAX_URL: int = RULES["url"]["anyOf"][0]["maxLength"]
LANGUAGE = re.compile(RULES["language"]["pattern"])
CUT_MARK = "…"
LONGEST_QUOTE = 40
"""How much of a wrong value is shown, characters."""


def shorten(text: str, limit: int) -> str:
    """Return a text cut at a word so that it has at most `limit` characters."""
    if len(text) <= limit:
        return text
    short = textwrap.shorten(text, limit, placeholder=CUT_MARK)
    return short if len(short) > limit // 2 else text[: limit - 1] + CUT_MARK


class Limits:
    """Fits the fields of one record to the API, and notes what it changed.

    Args:
        record: what the record is called in the notes.
        base: the address that relative addresses begin from.
    """

    def __init__(self, record: str, base: str) -> None:
        self.record = record
        self.notes: list[Finding] = []
        self._base = base

    def note(self, field: str, rule: str) -> None:
        """Remember that a field was changed."""
        self.notes.append(Finding(self.record, field, rule))

    def note_wrong(self, field: str, value: str, rule: str) -> None:
        """Remember that a value was wrong and left out."""
        self.note(field, f"left out: {shorten(value, LONGEST_QUOTE)} {rule}")

    def text(self, field: str, text: str) -> str:
        """Return a text, cut at the limit of its field."""
        return self._cut(field, text, RULES[field]["maxLength"])

    def tags(self, tags: tuple[str, ...]) -> tuple[str, ...]:
        """Return tags, the first of too many, each of them cut."""
        most = RULES["tags"]["maxItems"]
        if len(tags) > most:
            self.note("tags", f"cut from {len(tags)} to {most}")
        longest = RULES["tags"]["items"]["maxLength"]
        return tuple(self._cut("tags", tag, longest) for tag in tags[:most])

    def url(self, field: str, text: str) -> str | None:
        """Return an absolute address, or None if the text is not one or is too long."""
        address = full_address(text, self._base)
        if len(address) > MAX_URL:
            self.note(field, f"left out: longer than {MAX_URL} characters")
            return None
        if text and not address:
            self.note_wrong(field, text, "is no http(s) address")
        return address or None

    def language(self, language: str) -> str:
        """Return a language tag in lower case, or an empty text if no language is named."""
        tag = language_tag(language)
        if language.strip().lower() in NO_LANGUAGE:
            return ""
        if language.strip() and not (tag and LANGUAGE.fullmatch(tag)):
            self.note_wrong("language", language, "is no language code")
            return ""
        return tag

    def _cut(self, field: str, text: str, limit: int) -> str:
        if len(text) > limit:
            self.note(field, f"cut from {len(text)} to {limit} characters")
        return shorten(text, limit)
