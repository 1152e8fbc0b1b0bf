"""Reads MIND in its published layout as an EventLog."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feed.arrays import Rows
from feed.config import DAY_S
from feed.domain import ArchiveError, Article, NotFoundError
from feed.features.ids import IdMap
from feed.features.interactions import CLICK, EventColumns
from feed.offline.event_log import (
    EventLog,
    Impressions,
    LoggedEvents,
    first_appearance,
    kinds_of,
    sort_events,
)

HISTORY_GAP_S = DAY_S
"""Histories carry no times: their last click is placed this long before the first impression."""
HISTORY_STEP_S = 600.0
"""... and each earlier one this much before the next."""

_FOLDERS = ("MINDsmall_train", "MINDsmall_dev", "MINDlarge_train", "MINDlarge_dev", "train", "dev")


def read_mind(directory: Path) -> EventLog:
    """Return the log of a directory with `behaviors.tsv` and `news.tsv`, or with such folders.

    Histories are the same in every impression of a reader and have no times: they come before
    the first impression, in their order, and are counted for no article. Nothing says when an
    article was published, so only the time since its first appearance is known. MIND names no
    source; an article's subcategory takes that column, beside its category as section.

    Raises:
        NotFoundError: there is no behaviour file.
        ArchiveError: a line of it is not MIND's.
    """
    paths = [p for p in [directory, *(directory / f for f in _FOLDERS)] if _has(p)]
    if not paths:
        raise NotFoundError(f"no behaviors.tsv in {directory}")
    lines = [line for path in paths for line in _lines(path / "behaviors.tsv")]
    catalogue = {a.article_id: a for p in paths for a in _read_news(p / "news.tsv")}
    try:
        parsed = sorted((_parse(line) for line in lines), key=lambda p: (p.at, p.key))
    except (ValueError, IndexError) as error:
        raise ArchiveError(f"a line of behaviors.tsv in {directory} is not MIND's") from error
    return _assemble(parsed, tuple(catalogue.values()))


class _Record:
    __slots__ = ("at", "clicked", "history", "key", "shown", "user")

    def __init__(self, fields: list[str]) -> None:
        self.key = int(fields[0])
        self.user = fields[1]
        moment = datetime.strptime(fields[2], "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC)
        self.at = moment.timestamp()
        self.history = fields[3].split()
        pairs = [item.rpartition("-") for item in fields[4].split()]
        self.shown = [article for article, _, _ in pairs]
        self.clicked = [flag == "1" for _, _, flag in pairs]


def _parse(line: str) -> _Record:
    return _Record(line.split("\t"))


def _has(directory: Path) -> bool:
    return (directory / "behaviors.tsv").is_file()


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _read_news(path: Path) -> list[Article]:
    if not path.is_file():
        return []
    articles = []
    for line in _lines(path):
        fields = line.split("\t") + [""] * 5
        articles.append(
            Article(
                article_id=fields[0],
                section=fields[1],
                source=fields[2],
                title=fields[3],
                standfirst=fields[4],
                language="en",
                published_at=0.0,
            )
        )
    return articles


def _assemble(lines: list[_Record], catalogue: tuple[Article, ...]) -> EventLog:
    articles, users = IdMap(), IdMap()
    starts = np.cumsum([0, *(len(line.shown) for line in lines)]).astype(np.int64)
    shown = articles.add_all([a for line in lines for a in line.shown])
    impressions = Impressions(
        keys=np.array([line.key for line in lines], np.int64),
        users=users.add_all([line.user for line in lines]),
        at=np.array([line.at for line in lines], np.float64),
        pages=np.full(len(lines), -1, np.int64),
        devices=np.full(len(lines), -1, np.int64),
        subscribers=np.full(len(lines), -1, np.int64),
        starts=starts,
        shown=shown,
        clicked=np.array([c for line in lines for c in line.clicked], bool),
    )
    events = _events(lines, impressions, articles, users)
    return EventLog(
        name="mind",
        articles=articles,
        users=users,
        events=events,
        impressions=impressions,
        first_seen_at=first_appearance(len(articles), impressions, events.columns, {}),
        catalogue=tuple(a for a in catalogue if a.article_id in articles),
    )


def _events(
    lines: list[_Record], impressions: Impressions, articles: IdMap, users: IdMap
) -> LoggedEvents:
    begin = (float(impressions.at[0]) if len(lines) else 0.0) - HISTORY_GAP_S
    histories = {line.user: line.history for line in reversed(lines)}
    past_user: list[int] = []
    past_at: list[float] = []
    past: list[str] = []
    for user, history in histories.items():
        past_user.extend([users.row(user)] * len(history))
        past.extend(history)
        past_at.extend(begin - HISTORY_STEP_S * (len(history) - i) for i in range(len(history)))
    places = np.flatnonzero(impressions.clicked)
    which = np.searchsorted(impressions.starts, places, "right") - 1
    count = len(past) + len(places)
    return sort_events(
        EventColumns(
            users=_join(past_user, impressions.users[which]),
            articles=np.concatenate([articles.add_all(past), impressions.shown[places]]),
            kinds=kinds_of(count, CLICK),
            occurred_at=np.concatenate([np.array(past_at, np.float64), impressions.at[which]]),
            dwell_s=np.full(count, np.nan),
        ),
        from_feed=np.arange(count) >= len(past),
        on_page=np.zeros(count, bool),
        counted=np.arange(count) >= len(past),
    )


def _join(first: list[int], second: Rows) -> npt.NDArray[np.int64]:
    return np.concatenate([np.array(first, np.int64), second])
