"""A feature: how long ago the reader last read something from an article's source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed.plugins import Moment


class SourceMissed:
    """The hours since the reader's last click on the source, NaN if there was none."""

    name = "source_missed"
    doc = "ln(1 + hours since the reader's last click on the source)"
    weight = -0.2
    neutral = 3.0

    def compute(self, moment: Moment) -> npt.ArrayLike:
        """Return it for each article."""
        reader = moment.reader
        last: dict[str, float] = {}
        for source, at in zip(reader.clicked.sources, reader.clicked_at, strict=True):
            last.setdefault(source, at)  # the newest click comes first
        last.pop("", None)
        at = np.array([last.get(source, np.nan) for source in moment.articles.sources])
        return np.log1p((moment.now - at) / 3600.0)
