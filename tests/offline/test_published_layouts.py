import os
from pathlib import Path

import duckdb
import numpy as np
import pytest

from feed.domain import ArchiveError, NotFoundError
from feed.features.interactions import CLICK, READ
from feed.offline.datasets import encode_catalogue, read_dataset
from feed.offline.ebnerd import read_ebnerd
from feed.offline.mind import read_mind
from feed.offline.replay import Replay, build_log_pool

DATASETS = Path(os.environ.get("FEED_DATASETS", Path(__file__).parents[3] / "shared" / "data"))


def published(name: str) -> Path:
    directory = DATASETS / name
    if not directory.is_dir():
        pytest.skip(f"{name} is not here; FEED_DATASETS names the directory of data sets")
    return directory


def write_ebnerd(directory: Path) -> Path:
    folder = directory / "train"
    folder.mkdir(parents=True)
    duckdb.sql(
        f"""COPY (SELECT * FROM (VALUES
        (1, NULL, TIMESTAMP '2023-05-18 08:00:00', 20.0, 2, [11, 12, 13], [12], 7, false, 40.0),
        (2, 12, TIMESTAMP '2023-05-18 08:00:20', 15.0, 1, [13, 14], [13], 7, true, NULL),
        (3, NULL, TIMESTAMP '2023-05-18 09:00:00', NULL, 2, [11, 14], [14], 8, false, 5.0)
        ) t(impression_id, article_id, impression_time, read_time, device_type,
            article_ids_inview, article_ids_clicked, user_id, is_subscriber, next_read_time))
        TO '{folder / "behaviors.parquet"}'"""
    )
    duckdb.sql(
        f"""COPY (SELECT * FROM (VALUES
        (7, [TIMESTAMP '2023-05-10 10:00:00', TIMESTAMP '2023-05-18 08:00:25'], [11, 12],
            [30.0, 41.0]),
        (9, [TIMESTAMP '2023-05-18 08:30:00'], [14], [9.0])
        ) t(user_id, impression_time_fixed, article_id_fixed, read_time_fixed))
        TO '{folder / "history.parquet"}'"""
    )
    return directory


def clicks_of(log, user: str) -> list[tuple[str, float, bool]]:
    columns, row = log.events.columns, log.users.row(user)
    mine = np.flatnonzero((columns.users == row) & (columns.kinds == CLICK))
    return [
        (log.articles.ids[columns.articles[i]], columns.occurred_at[i], bool(log.events.counted[i]))
        for i in mine.tolist()
    ]


@pytest.mark.parametrize("inner", ["", "train"])
def test_ebnerd_is_read_whole_or_one_folder_alone(tmp_path, inner):
    log = read_ebnerd(write_ebnerd(tmp_path) / inner)
    assert log.impressions.keys.tolist() == [1, 2, 3]
    assert np.diff(log.impressions.starts).tolist() == [3, 2, 2]
    assert log.impressions.pages.tolist() == [-1, log.articles.row("12"), -1]
    assert log.impressions.clicked.sum() == 3
    assert log.impressions.devices.tolist() == [2, 1, 2]


def test_a_click_happens_when_the_page_is_left_and_is_not_counted_twice(tmp_path):
    log = read_ebnerd(write_ebnerd(tmp_path))
    begin = log.impressions.at[0]
    twelve = [(at - begin, counted) for a, at, counted in clicks_of(log, "7") if a == "12"]
    assert twelve == [(20.0, True), (20.0, False)]
    assert log.events.first.sum() == 4
    replay = Replay(log)
    replay.advance(begin + 3601.0)
    row = np.array([log.articles.row("12")])
    assert replay.signals.counters.readers(row).tolist() == [1.0]


def test_history_delivered_later_is_not_known_before(tmp_path):
    log = read_ebnerd(write_ebnerd(tmp_path))
    late = log.events.arrives_at > log.events.columns.occurred_at
    assert {log.users.ids[u] for u in log.events.columns.users[late]} == {"9"}
    replay = Replay(log)
    reader = log.users.row("9")
    at = float(log.events.columns.occurred_at[late].min()) + 0.5
    replay.advance(at)
    assert len(replay.readers.read_rows(reader, at)) == 0
    replay.advance(at + 7200.0)
    assert len(replay.readers.read_rows(reader, at + 7200.0)) == 1


def test_dwell_is_known_only_after_the_reading(tmp_path):
    log = read_ebnerd(write_ebnerd(tmp_path))
    columns = log.events.columns
    reads = columns.kinds == READ
    pairs = zip(columns.articles[reads], columns.occurred_at[reads], strict=True)
    at = {log.articles.ids[a]: t for a, t in pairs}
    assert at["12"] == pytest.approx(log.impressions.at[0] + 20.0 + 40.0)


def test_mind_histories_come_before_the_first_impression(tmp_path):
    (tmp_path / "behaviors.tsv").write_text(
        "2\tU1\t11/12/2019 2:14:46 PM\tN1 N2\tN3-0 N4-1\n"
        "1\tU2\t11/11/2019 9:00:00 AM\t\tN4-1 N1-0\n"
    )
    (tmp_path / "news.tsv").write_text("N1\tsports\tgolf\tA title\tAn abstract\turl\t[]\t[]\n")
    log = read_mind(tmp_path)
    assert log.impressions.keys.tolist() == [1, 2]
    history = ~log.events.from_feed
    assert (log.events.columns.occurred_at[history] < log.impressions.at[0]).all()
    assert (log.impressions.at[0] - log.events.columns.occurred_at[history] < 30 * 86400).all()
    assert not log.events.counted[history].any()
    assert log.catalogue[0].section == "sports"


def test_no_article_of_mind_has_a_publication_and_each_is_as_new_as_its_first_appearance(tmp_path):
    test_mind_histories_come_before_the_first_impression(tmp_path)
    log = read_mind(tmp_path)
    pool = build_log_pool(log)
    assert not pool.published_at[: pool.size].any()
    np.testing.assert_array_equal(pool.fresh_at[: pool.size], log.first_seen_at)


def test_where_no_article_is_described_the_first_appearance_stands_in_for_the_publication(tmp_path):
    log = read_ebnerd(write_ebnerd(tmp_path))
    pool = build_log_pool(log)
    np.testing.assert_array_equal(pool.published_at[: pool.size], log.first_seen_at)


def test_articles_without_text_have_zero_rows(tmp_path):
    test_mind_histories_come_before_the_first_impression(tmp_path)

    class Words:
        name, dimensions = "words", 2

        def encode(self, texts):
            return np.ones((len(texts), 2), np.float32)

    log = read_mind(tmp_path)
    vectors = encode_catalogue(log, Words())
    assert vectors.any(axis=1).tolist() == [i == "N1" for i in log.articles.ids]


@pytest.mark.parametrize("name", ["ebnerd", "mind"])
def test_a_directory_without_such_a_set_is_refused_in_words(tmp_path, name):
    with pytest.raises(NotFoundError, match="behaviors"):
        read_dataset(name, tmp_path)


def test_a_broken_file_is_refused_in_words(tmp_path):
    (tmp_path / "behaviors.parquet").write_text("no parquet")
    (tmp_path / "behaviors.tsv").write_text("no\tmind\n")
    with pytest.raises(ArchiveError, match="cannot read"):
        read_ebnerd(tmp_path)
    with pytest.raises(ArchiveError, match="not MIND"):
        read_mind(tmp_path)


@pytest.mark.dataset
def test_the_ebnerd_demo_is_read_whole():
    log = read_ebnerd(published("ebnerd_demo"))
    assert len(log.impressions) == 42_203
    assert (np.diff(log.impressions.at) >= 0).all()
    assert log.impressions.clicked.sum() == 42_373


@pytest.mark.dataset
def test_the_mind_sample_is_read_whole():
    log = read_mind(published("mind_small"))
    assert len(log.impressions) == 5000
    assert log.impressions.clicked.sum() == 7542
    assert len(log.impressions.shown) == 189_359
