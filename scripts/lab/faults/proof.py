"""Compares what was acknowledged with the archive and the counters."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from feed.features.counters import HALF_LIVES_S
from feed.features.ids import IdMap
from feed.features.state import LiveSignals
from feed.storage.archive import Archive
from feed.storage.redis_store import RedisStore
from feed.worker.signals_follower import SignalsFollower
from lab.faults.installation import PATIENCE_S, wait_until

POLL_S = 0.3
COUNTED = ("readers", "impressions", "likes", "dislikes")


@dataclass(frozen=True, slots=True)
class Reckoning:
    """Events acknowledged, lost of them, archived more than once, or from nowhere.

    `miscounted` is the number of articles whose counters differ from the archive's.
    """

    acknowledged: int
    archived: int
    lost: int
    duplicated: int
    foreign: int
    miscounted: int

    @property
    def is_clean(self) -> bool:
        """Return whether everything promised was kept."""
        return not (self.lost or self.duplicated or self.foreign or self.miscounted)


def archived_ids(archive: Archive) -> Counter[str]:
    """Return how often each event id is in the archive."""
    return Counter(archive.event_columns(0, 1e11, ["event_id"])["event_id"].tolist())


def reckon(
    store: RedisStore, archive: Archive, acknowledged: set[str], given_up: set[str]
) -> Reckoning:
    """Compare promises, archive and counters once the worker is done.

    "Done" is when all agree; if they never do, the time limit passes and the figures tell.
    """
    follower = SignalsFollower(store, IdMap())
    held: Counter[str] = Counter()

    def agree() -> bool:
        nonlocal held
        held = archived_ids(archive)
        follower.follow()
        return acknowledged <= held.keys() and not miscounted_articles(archive, follower.signals)

    with suppress(TimeoutError):
        wait_until(agree, "archive and counters to have everything", PATIENCE_S, POLL_S)
    return Reckoning(
        acknowledged=len(acknowledged),
        archived=sum(held.values()),
        lost=len(acknowledged - held.keys()),
        duplicated=sum(n - 1 for n in held.values()),
        foreign=len(held.keys() - acknowledged - given_up),
        miscounted=len(miscounted_articles(archive, follower.signals)),
    )


def miscounted_articles(archive: Archive, signals: LiveSignals) -> list[str]:
    """Return the articles whose live counters are not those recomputed from the archive.

    Recomputed in SQL, not with the code that counts: distinct readers, impressions, each
    reader's last word on an article (the one that happened last; of two at the same moment, the one
    that came last), and clicks that halve at every half-life.
    """
    span = archive.span()
    if span is None:
        return []
    now = span[1]
    with archive.query() as connection:
        decayed = ", ".join(
            f"sum(pow(2.0, -({now} - epoch_us(occurred_at) / 1e6) / {half_life}))"
            f" FILTER (kind = 'click' AND first)"
            for half_life in HALF_LIVES_S
        )
        rows = connection.execute(
            f"SELECT article_id, count(DISTINCT user_id) FILTER (kind = 'click'),"  # noqa: S608
            f" count(*) FILTER (kind = 'impression'), {decayed} FROM events GROUP BY article_id"
        ).fetchall()
        words = connection.execute(
            "SELECT article_id, count(*) FILTER (kind = 'like'), count(*) FILTER (kind = 'dislike')"
            " FROM (SELECT article_id, kind FROM events WHERE kind IN ('like', 'dislike')"
            " QUALIFY row_number() OVER (PARTITION BY user_id, article_id ORDER BY"
            " occurred_at DESC, split_part(stream_id, '-', 1)::BIGINT DESC,"
            " split_part(stream_id, '-', 2)::BIGINT DESC) = 1) GROUP BY article_id"
        ).fetchall()
    last_words = {article_id: (likes, dislikes) for article_id, likes, dislikes in words}
    wrong = []
    for article_id, readers, impressions, *clicks in rows:
        row = signals.ids.rows([article_id])
        live = [float(signals.counters.totals(name, row)[0]) for name in COUNTED]
        exact = [readers, impressions, *last_words.get(article_id, (0, 0))]
        expected = np.array([float(c or 0.0) for c in clicks])
        same = np.allclose(signals.counters.clicks(row, now)[0], expected, rtol=1e-6)
        if live != [float(n) for n in exact] or not same:
            wrong.append(article_id)
    return wrong
