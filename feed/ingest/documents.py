"""Holds what a source contains, and what was found wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from feed.domain import Article, Event, Submission


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with one record of a source.

    Args:
        record: the guid, or the place, of the record.
        field: the field at fault; empty where it is the whole record.
        rule: what was broken, or what was done about it, as a sentence fragment.
    """

    record: str
    field: str
    rule: str

    def __str__(self) -> str:
        """Return the finding as one line."""
        return ": ".join(part for part in (self.record, self.field, self.rule) if part)


@dataclass(slots=True)
class Documents:
    """What a source holds.

    Args:
        submissions: articles, each with the fields that the source gives, in its order. Those
            whose time of publication is unknown carry the present.
        events: oldest first.
        faults: of records that were left out.
        notes: of records that were taken with a change, such as a text cut at its limit.
        origin: what the catalogue knows the source by.
        is_feed: whether it is a feed, not JSON in the API's own form.
        title: of the feed.
        wait_s: how long the publisher asks to wait before the feed is fetched again, seconds.
    """

    submissions: list[Submission] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    origin: str = ""
    is_feed: bool = False
    title: str = ""
    wait_s: float = 0.0

    @property
    def articles(self) -> list[Article]:
        """The articles, in the order of the source."""
        return [one.article for one in self.submissions]

    @property
    def undated(self) -> set[str]:
        """Ids of the articles whose time of publication is unknown."""
        return {
            one.article.article_id for one in self.submissions if "published_at" not in one.given
        }
