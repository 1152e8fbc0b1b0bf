"""Both protocols at once give the numbers of each alone."""

import duckdb

from feed.offline.evaluation import evaluate
from feed.offline.log_source import StoredLog
from feed.offline.parallel import evaluate_protocols
from feed.offline.score_file import ScoreFile
from feed.offline.scorebook import ScoreBook
from feed.offline.walk_plan import WalkPlan
from feed.setting_fields import override
from feed.training_config import TrainingConfig

T0 = 1_700_000_000.0
HOUR = 3600.0
SMALL = {
    "factors": 8,
    "iterations": 3,
    "ranker_trees": 10,
    "ranker_leaves": 7,
    "ranker_min_impressions": 100,
}


def read(path):
    query = f"SELECT protocol, impression_id, article_id, score FROM '{path}' ORDER BY ALL"
    return duckdb.sql(query).fetchall()


def test_protocols_side_by_side_score_as_one_walk_of_both(make_world, tmp_path):
    log = make_world(lists=400)
    plan = WalkPlan(
        start=T0 + 36 * HOUR,
        end=T0 + 48 * HOUR,
        retrain_every_s=12 * HOUR,
        learn_pool_every=1,
        training=override(TrainingConfig(), SMALL),
    )
    files = tmp_path / "log"
    files.mkdir()
    told = []
    book = evaluate_protocols(
        StoredLog(log, files),
        plan,
        scores=tmp_path / "both.parquet",
        progress=lambda share, doing: told.append((share, doing)),
    )
    with ScoreFile(tmp_path / "one.parquet", log) as scores:
        alone = evaluate(log, plan, ScoreBook(log, scores))
    assert read(tmp_path / "both.parquet") == read(tmp_path / "one.parquet")
    for protocol in ("slate", "pool"):
        mine, theirs = (b.metrics.summary(protocol)["model"] for b in (book, alone))
        assert mine == theirs
    assert told
    assert all(0.0 <= share <= 1.0 and doing in ("learning", "measuring") for share, doing in told)
    assert not list(tmp_path.glob("*.part"))
