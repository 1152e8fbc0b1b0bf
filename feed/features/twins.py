"""Twins: one story under several article ids, of which only one, the leader, is shown."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from feed.arrays import Flags, Floats, Rows, Vectors
from feed.domain import Article
from feed.features.canonical_address import canonical_address

ALIKE_WORDS = 0.6
"""Share of words in common (Jaccard) from which two titles of one address tell the same story."""
ALIKE_COSINE = 0.7
"""Cosine from which two articles of one address are one story, as docs/design/stories.md says."""
CROWD = 20
"""If more articles share an address, it is not that of one story (but of a podcast or a ticker):
then only those with the same title are twins."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Page:
    """What decides whether an article is a twin, and when it came first (epoch seconds).

    `anchor` is the fragment of the address, if it may name an entry of the page; the numbers that
    some feeds append at each update name none.
    """

    article_id: str
    address: str
    anchor: str
    title: str
    added_at: float


@dataclass(frozen=True, slots=True)
class TwinColumns:
    """The columns of the pool that decide who may lead, and the present time.

    An article can lead while it is live, from `out_at` until `expires_at` (epoch seconds).
    """

    live: Flags
    out_at: Floats
    expires_at: Floats
    embedding: Vectors
    now: float


class TwinFinder:
    """Finds twins among articles of one canonical address.

    The twins of an article have its address, and the same title, or nearly: most words in common
    or a similar text, and the same numbers ("episode 12" is not "episode 13") and anchor. Only
    addresses whose articles have changed, expired or been published are looked at again.

    Args:
        tracking: parameters of addresses to drop, see `read_tracking_parameters`.
    """

    def __init__(self, tracking: Sequence[str]) -> None:
        self._tracking = tuple(tracking)
        self._pages: dict[int, _Page] = {}
        self._rows: dict[str, list[int]] = {}
        self._changed: set[str] = set()
        self._due: dict[str, float] = {}
        self._leaders: dict[str, dict[int, int]] = {}

    def put(self, row: int, article: Article, added_at: float) -> None:
        """Take in an article as it is now; the earliest `added_at` given is kept."""
        before = self._pages.pop(row, None)
        if before is not None:
            added_at = min(added_at, before.added_at)
            self._rows[before.address].remove(row)
            self._changed.add(before.address)
        address = canonical_address(article.url, self._tracking)
        if not address:
            return
        anchor = (article.url or "").partition("#")[2].strip()
        anchor = "" if anchor.isdecimal() else anchor
        title = unicodedata.normalize("NFKC", article.title).casefold()
        title = " ".join(_WORD.findall(title)) or title
        self._pages[row] = _Page(article.article_id, address, anchor, title, added_at)
        self._rows.setdefault(address, []).append(row)
        self._changed.add(address)

    def note_removal(self, row: int) -> None:
        """Look again at the twins of an article that is gone."""
        if row in self._pages:
            self._changed.add(self._pages[row].address)

    def is_due(self, now: float) -> bool:
        """Return whether an article with twins has expired or been published since last time."""
        return any(at <= now for at in self._due.values())

    def find(self, columns: TwinColumns) -> dict[int, int]:
        """Return the leader of each article that is led by another one."""
        due = {address for address, at in self._due.items() if at <= columns.now}
        for address in self._changed | due:
            self._leaders.pop(address, None)
            self._due.pop(address, None)
            if len(self._rows[address]) > 1:
                self._lead(address, columns)
        self._changed.clear()
        return {row: leader for led in self._leaders.values() for row, leader in led.items()}

    def _lead(self, address: str, columns: TwinColumns) -> None:
        rows = sorted(self._rows[address], key=self._order)
        at = np.array(rows)
        usable = columns.live[at] & (columns.out_at[at] <= columns.now)
        usable &= columns.expires_at[at] > columns.now
        times = np.concatenate([columns.out_at[at], columns.expires_at[at]])
        self._due[address] = float(times[times > columns.now].min(initial=math.inf))
        # The usable ones first: they lead, and the others follow.
        ordered = sorted(zip(~usable, range(len(rows)), rows, strict=True))
        leaders: dict[str, int] = {}
        led: dict[int, int] = {}
        for cannot_lead, _, row in ordered:
            title = self._pages[row].title
            leader = leaders.get(title)
            if leader is None and len(rows) <= CROWD:
                nearly = (one for one in leaders.values() if self._are_alike(one, row, columns))
                leader = next(nearly, None)
            if leader is not None:
                led[row] = leader
            elif not cannot_lead:
                leaders[title] = row
        if led:
            self._leaders[address] = led

    def _order(self, row: int) -> tuple[float, str]:
        page = self._pages[row]
        return page.added_at, page.article_id

    def _are_alike(self, one: int, other: int, columns: TwinColumns) -> bool:
        a, b = self._pages[one], self._pages[other]
        titles = a.title, b.title
        if a.anchor != b.anchor or _numbers(titles[0]) != _numbers(titles[1]):
            return False
        words = [set(title.split()) for title in titles]
        if len(words[0] & words[1]) >= ALIKE_WORDS * len(words[0] | words[1]):
            return True
        vectors = columns.embedding[[one, other]].astype(np.float32)
        return float(vectors[0] @ vectors[1]) >= ALIKE_COSINE


def _numbers(title: str) -> list[str]:
    return [word for word in title.split() if any(map(str.isdigit, word))]


def leader_rows(led: dict[int, int], size: int) -> Rows:
    """Return the leader of each row, its own row where it has none, int64 [size]."""
    leader = np.arange(size)
    leader[list(led)] = list(led.values())
    return leader
