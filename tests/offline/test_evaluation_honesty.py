import duckdb
import numpy as np
import pytest

from feed.documents.views import render_html
from feed.offline.evaluation import evaluate
from feed.offline.evaluation_report import build_report, evaluation_document
from feed.offline.methods import CLICKS_BY_AGE, MODEL, RANDOM
from feed.offline.score_file import ScoreFile
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0

SMALL = override(
    TrainingConfig(),
    {
        "factors": 8,
        "iterations": 4,
        "ranker_trees": 25,
        "ranker_leaves": 7,
        "ranker_min_impressions": 100,
        "neighbours": 10,
    },
)


def plan(start: float, end: float, **changes) -> WalkPlan:
    settings = {"retrain_every_s": 12 * HOUR, "training": SMALL, "learn_pool_every": 1}
    return WalkPlan(start=T0 + start * HOUR, end=T0 + end * HOUR, **(settings | changes))


def scores_of(log, walk_plan, path):
    with ScoreFile(path, log) as scores:
        book = evaluate(log, walk_plan, ScoreBook(log, scores))
    rows = duckdb.sql(
        f"SELECT protocol, impression_id, article_id, score FROM '{path}' ORDER BY ALL"
    ).fetchall()
    return book, rows


@pytest.fixture(scope="module")
def tasteful(make_world, tmp_path_factory):
    log = make_world(taste=3.0)
    path = tmp_path_factory.mktemp("scores") / "s.parquet"
    book, rows = scores_of(log, plan(36, 48), path)
    return log, book, rows


def test_permuting_the_future_changes_no_earlier_score(make_world, scramble_future, tmp_path):
    log = make_world(lists=300)
    moment = T0 + 40 * HOUR
    walk_plan = plan(30, 44, retrain_every_s=6 * HOUR)
    _, before = scores_of(log, walk_plan, tmp_path / "a.parquet")
    _, after = scores_of(scramble_future(log, moment, 5), walk_plan, tmp_path / "b.parquet")
    views = log.impressions
    earlier = set(views.keys[views.at < moment].tolist())
    kept = [[r for r in rows if r[1] in earlier] for rows in (before, after)]
    assert len(kept[0]) > 300
    assert kept[0] == kept[1]
    assert before != after


def test_a_planted_taste_is_found(tasteful):
    _, book, _ = tasteful
    found = book.metrics.summary("slate")
    popularity = found["clicks, half-life 6 h"]["auc"]
    assert found[MODEL]["auc"].low > popularity.high
    assert found[MODEL]["auc"].mean > 0.7
    pool = book.metrics.summary("pool")
    assert pool[MODEL]["recall@10"].mean > pool[RANDOM]["recall@10"].mean


def test_in_a_world_without_taste_the_ranker_does_not_beat_popularity(make_world):
    log = make_world(taste=0.0, seed=3, lists=1200)
    book = evaluate(log, plan(36, 48, heads=("slate",)), ScoreBook(log))
    found = book.metrics.summary("slate")
    gain = book.metrics.values("slate", MODEL, "auc") - book.metrics.values(
        "slate", "clicks, half-life 6 h", "auc"
    )
    assert abs(gain.mean()) < 3 * gain.std() / np.sqrt(len(gain))
    assert found[MODEL]["auc"].low < 0.5 < found[MODEL]["auc"].high


def test_every_candidate_of_the_window_is_in_the_score_file(tasteful):
    log, _, rows = tasteful
    views = log.impressions
    inside = views.between(T0 + 36 * HOUR, T0 + 48 * HOUR)
    slate = [(key, article) for protocol, key, article, _ in rows if protocol == "slate"]
    expected = [
        (int(views.keys[i]), log.articles.ids[row])
        for i in inside
        for row in views.shown[views.starts[i] : views.starts[i + 1]].tolist()
    ]
    assert sorted(slate) == sorted(expected)
    pool = [(key, article) for protocol, key, article, _ in rows if protocol == "pool"]
    assert len(pool) == len(set(pool))
    assert {key for key, _ in pool} == {int(views.keys[i]) for i in inside}


def test_pool_candidates_are_neither_read_nor_unseen(tasteful):
    log, _, rows = tasteful
    views, columns = log.impressions, log.events.columns
    place = {int(key): i for i, key in enumerate(views.keys.tolist())}
    for protocol, key, article, _ in rows:
        if protocol != "pool" or key % 10:
            continue
        i, row = place[key], log.articles.row(article)
        before = columns.occurred_at < views.at[i]
        mine = before & (columns.users == views.users[i]) & (columns.articles == row)
        assert not mine.any()
        recent = (views.at < views.at[i]) & (views.at >= views.at[i] - 48 * HOUR)
        lists = np.flatnonzero(recent)
        seen = views.shown[views.starts[lists[0]] : views.starts[lists[-1] + 1]]
        assert row in seen


def test_the_report_can_be_read_as_json_and_as_a_page(tasteful):
    _, book, _ = tasteful
    report = build_report(book, {"dataset": "world"})
    assert report["protocols"]["slate"][MODEL]["auc"]["n"] > 100
    assert report["protocols"]["sources"]["union"]["recall@100 of the pool"]["mean"] > 0.9
    slate = report["protocols"]["slate"]
    lead = report["leads"]["slate"][CLICKS_BY_AGE]
    assert lead["mean"] == pytest.approx(
        slate[MODEL]["auc"]["mean"] - slate[CLICKS_BY_AGE]["auc"]["mean"]
    )
    assert lead["low"] < lead["mean"] < lead["high"]
    assert MODEL in report["leads"]["pool"]
    page = render_html(evaluation_document(report))
    assert page.count("<svg") >= 4
    assert "http-equiv" not in page
    assert "<script" not in page
