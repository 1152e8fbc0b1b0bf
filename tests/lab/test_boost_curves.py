"""The page of the boost's curves holds every point of every measure."""

from __future__ import annotations

from itertools import product

from lab.bench.boost import MEASURES, boost_document
from lab.bench.boost_replay import HALF_LIVES_MINUTES, RANKERS, BoostPoint

from feed.documents.document import Figure
from feed.offline.ranking_metrics import MeanEstimate


def test_every_measure_has_a_curve_for_each_ranker_and_half_life() -> None:
    none = MeanEstimate(0.0, 0.0, 0.0, 9)
    points = [
        BoostPoint(
            ranker=ranker,
            half_life_minutes=minutes,
            boost=boost,
            ndcg=MeanEstimate(0.2 + boost, 0.1, 0.3, 9),
            gain=none,
            articles=100,
            rising=boost / 2,
            labelled=0.1,
        )
        for ranker, minutes in product(RANKERS, HALF_LIVES_MINUTES)
        for boost in (0.0, 0.3, 1.0)
    ]
    document = boost_document(points)
    assert [section.title for section in document.sections] == list(MEASURES)
    figures = [block for s in document.sections for block in s.blocks if isinstance(block, Figure)]
    for figure in figures:
        curves = [[point.x for point in series.points] for series in figure.chart.series]  # type: ignore[union-attr]
        assert curves == [[0.0, 0.3, 1.0]] * 4
    assert [p.y for p in figures[0].chart.series[0].points] == [0.2, 0.5, 1.2]  # type: ignore[union-attr]
