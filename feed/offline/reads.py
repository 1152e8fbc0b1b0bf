"""Which clicks were satisfied reads: those after which the reader stayed long enough."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from feed.arrays import Flags, Floats, Matrix, Rows
from feed.config import DAY_S
from feed.features.embeddings import BODY_CHARACTERS
from feed.features.interactions import READ
from feed.offline.evaluated_lists import PoolList
from feed.offline.event_log import Seen
from feed.offline.log_source import LogSource, parts

NOT_KNOWN = -1
"""Label of a click whose dwell is not known."""
READ_WITHIN_S = DAY_S
"""A read belongs to the click on a list that was shown at most so long before it ended."""
WORDS_PER_S = 238.0 / 60.0
"""Mean speed of silent reading. Source: Brysbaert: How many words do we read per minute? (2019)."""
LONGEST_WORD = 20
"""A text whose words are longer on average is written without spaces, so they can't be counted."""

Labels = npt.NDArray[np.int8]


class SatisfiedReads:
    """The satisfied reads of a log, as they were known at a moment.

    A click is a satisfied read if the reader stayed for `dwell_s` seconds or, if the whole text is
    known and shorter, as long as it takes to read it. 30 s is the field's usual threshold. Sources:
    Fox et al.: Evaluating Implicit Measures to Improve Web Search (2005); Yi et al.: Beyond Clicks:
    Dwell Time for Personalization (2014).
    """

    def __init__(self, log: LogSource, start: float, until: float, dwell_s: float) -> None:
        """Look up the reads that ended in [start, until) and had arrived before `until`.

        Args:
            log: the log.
            start: epoch seconds.
            until: epoch seconds; what ended later is not known.
            dwell_s: how long a reader stays who is satisfied, seconds.
        """
        self._least = _least_dwell(log, dwell_s)
        self._width = len(log.articles)
        keys, ends, dwells = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros(0)]
        for part in parts(log, start, until):
            columns = part.events.columns
            known = (columns.kinds == READ) & ~np.isnan(columns.dwell_s)
            known &= part.events.arrived(until)
            keys.append(columns.users[known] * self._width + columns.articles[known])
            ends.append(columns.occurred_at[known])
            dwells.append(columns.dwell_s[known])
        order = np.argsort(np.concatenate(keys), kind="stable")
        self._keys = np.concatenate(keys)[order]
        self._ends, self._dwells = np.concatenate(ends)[order], np.concatenate(dwells)[order]

    def __len__(self) -> int:
        return len(self._keys)

    def label(self, user: int, rows: Rows, at: float) -> Labels:
        """Return 1 for each click that was a satisfied read, 0 for each other, int8 [k].

        It is `NOT_KNOWN` where nothing says how long the reader stayed.

        Args:
            user: the reader.
            rows: the articles clicked, int64 [k].
            at: when the list was shown, epoch seconds.
        """
        return np.array([self._label(user, row, at) for row in rows.tolist()], np.int8)

    def _label(self, user: int, row: int, at: float) -> int:
        key = user * self._width + row
        first, last = np.searchsorted(self._keys, [key, key + 1]).tolist()
        ends = self._ends[first:last]
        dwells = self._dwells[first:last][(ends >= at) & (ends < at + READ_WITHIN_S)]
        return int(dwells.max() >= self._least[row]) if len(dwells) else NOT_KNOWN

    def satisfied(self, seen: Seen) -> Flags:
        """Return which articles of a list were satisfied reads, bool [k]; not those not known."""
        flags = np.zeros(len(seen.shown), np.bool_)
        places = np.flatnonzero(seen.clicked)
        flags[places] = self.label(seen.user, seen.shown[places], seen.at) == 1
        return flags

    def narrowed(self, entry: PoolList) -> PoolList:
        """Return a list in which only satisfied reads count as clicks."""
        seen = replace(entry.seen, clicked=self.satisfied(entry.seen))
        wanted = seen.shown[seen.clicked]
        clicked = np.isin(entry.found.rows, wanted)
        return replace(entry, seen=seen, wanted=wanted, clicked=clicked)


def _least_dwell(log: LogSource, dwell_s: float) -> Floats:
    """Return how long a satisfied reader stays with each article, seconds, f64 [articles]."""
    least = np.full(len(log.articles), dwell_s)
    for article in log.catalogue:
        words = len(article.body.split())
        is_whole = len(article.body) < BODY_CHARACTERS  # a log may hold no more of a text
        if words and is_whole and len(article.body) <= LONGEST_WORD * words:
            row = log.articles.row(article.article_id)
            least[row] = min(dwell_s, words / WORDS_PER_S)
    return least


@dataclass(frozen=True, slots=True)
class ReadExamples:
    """Clicks whose dwell is known, in time order: features f32 [n, F], `satisfied` bool [n]."""

    features: Matrix
    satisfied: Flags

    def __len__(self) -> int:
        return len(self.satisfied)


class ClickStore:
    """The features of clicked articles as they were when shown, back to a window's begin."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._lists: deque[tuple[float, int, Rows, Matrix]] = deque()

    def add(self, features: Matrix, rows: Rows, user: int, at: float) -> None:
        """Take the clicked articles of one list.

        Args:
            features: f32 [k, F].
            rows: the articles, int64 [k].
            user: who clicked.
            at: when the list was shown, epoch seconds.
        """
        if len(rows):
            self._lists.append((at, user, rows, features))

    def collect(self, until: float, reads: SatisfiedReads) -> ReadExamples:
        """Return the clicks of the window that ends at `until` of which `reads` knows the dwell."""
        while self._lists and self._lists[0][0] < until - self._window_s:
            self._lists.popleft()
        features: list[Matrix] = [np.zeros((0, 0), np.float32)]
        labels: list[Labels] = [np.zeros(0, np.int8)]
        for at, user, rows, of_rows in self._lists:
            if at < until:
                labels.append(reads.label(user, rows, at))
                features.append(of_rows)
        told = np.concatenate(labels) != NOT_KNOWN
        if not told.any():
            return ReadExamples(features[0], np.zeros(0, np.bool_))
        return ReadExamples(np.concatenate(features[1:])[told], np.concatenate(labels)[told] == 1)
