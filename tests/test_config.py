from __future__ import annotations

from dataclasses import replace

import pytest

from feed.config import RankingConfig, Settings
from feed.domain import InvalidInputError
from feed.environment import (
    misspelt_variables,
    settings_from_environment,
    settings_to_environment,
)
from feed.setting_fields import ANY_NUMBER, check_ranges, documented, override
from feed.settings_text import describe
from feed.training_config import TrainingConfig


@pytest.mark.parametrize("config", [Settings, RankingConfig, TrainingConfig])
def test_every_setting_says_what_it_means(config):
    described = describe(config)
    assert [name for name, _, _ in described] == [f.name for f in documented(config)]
    assert all(len(text) > 10 for _, _, text in described)


def test_settings_come_from_the_environment():
    settings = settings_from_environment(
        {"FEED_PORT": "9000", "FEED_REDIS_CLUSTER": "true", "FEED_POLL_SECONDS": "0.1", "HOME": "/"}
    )
    assert (settings.port, settings.redis_cluster, settings.poll_seconds) == (9000, True, 0.1)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FEED_PORT": "eight"}, "FEED_PORT: must be a whole number"),
        ({"FEED_REDIS_CLUSTER": "maybe"}, "FEED_REDIS_CLUSTER: must be true or false"),
        ({"FEED_POLL_SECONDS": "nan"}, "FEED_POLL_SECONDS: must be a finite number"),
        ({"FEED_WORKERS": "0"}, "FEED_WORKERS: must lie between 1 and 256"),
        ({"FEED_WEB": "0"}, "FEED_WEB: must lie between 1 and 256"),
        ({"FEED_DATA_CACHE_MB": "-1"}, "FEED_DATA_CACHE_MB: must lie between 1 and 999999"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(environment, message):
    with pytest.raises(InvalidInputError, match=message):
        settings_from_environment(environment)


RANKING_GIVEN = {
    "FEED_RANKING_MAX_AGE_HOURS": "168",
    "FEED_RANKING_USE_RANKER": "no",
    "FEED_RANKING_WEIGHTS": '{"age_published": 2}',
}


def test_ranking_parameters_of_the_installation_come_from_the_environment():
    ranking = settings_from_environment(RANKING_GIVEN).ranking
    assert ranking.max_age_hours == 168.0
    assert ranking.use_ranker is False
    assert ranking.weights == {"age_published": 2.0}
    assert ranking.slate_size == RankingConfig().slate_size
    assert settings_from_environment({}).ranking == RankingConfig()


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("MAX_AGE", "168", "is not a setting"),
        ("MAX_AGE_HOURS", "a week", "must be a number"),
        ("MAX_AGE_HOURS", "0", "must be more than 0 and at most 100000"),
        ("TRENDING_BOOST", "-0.1", "must lie between 0 and 100"),
        ("TRENDING_HALF_LIFE_MINUTES", "60", "must be 30 or 120"),
        ("SLATE_SIZE", "2.5", "must be a whole number"),
        ("WEIGHTS", "popular_2h", "must be JSON"),
        ("WEIGHTS", "[1]", "must be an object of numbers"),
    ],
)
def test_a_wrong_ranking_parameter_is_named_with_its_rule(name, value, rule):
    with pytest.raises(InvalidInputError, match=f"^FEED_RANKING_{name}: {rule}"):
        settings_from_environment({f"FEED_RANKING_{name}": value})


@pytest.mark.parametrize("kind", [Settings, RankingConfig, TrainingConfig])
def test_every_default_lies_in_its_range(kind):
    config = kind()
    check_ranges(config, [f.name for f in documented(config)])
    numbers = [f for f in documented(config) if f.type in {"int", "float"}]
    assert [f.name for f in numbers if f.metadata["between"] == ANY_NUMBER] == []


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("PARTITIONS", "-1", "must lie between 1 and 4096"),
        ("PARTITIONS", "0", "must lie between 1 and 4096"),
        ("MAX_BODY_BYTES", "0", "must lie between 1000 and 1000000000"),
        ("REQUEST_BUDGET_MS", "-1", "must lie between 1 and 600000"),
        ("POLL_SECONDS", "0", "must lie between 0.01 and 60"),
        ("STORE_FSYNC", "maybe", "must be one of everysec, always"),
        ("LOG_LEVEL", "loud", "must be one of debug, info, warning, error"),
    ],
)
def test_a_setting_out_of_its_range_is_named_with_its_rule(name, value, rule):
    with pytest.raises(InvalidInputError, match=f"^FEED_{name}: {rule}$"):
        settings_from_environment({f"FEED_{name}": value})


def test_capitals_make_no_difference_to_a_word():
    assert settings_from_environment({"FEED_LOG_LEVEL": "WARNING"}).log_level == "WARNING"


def test_a_misspelt_setting_is_found_and_a_variable_of_another_program_is_not():
    strange = {"FEED_API_KEY": "x", "FEED_PORT": "1", "FEED_WEB_PORT_8000_TCP": "x", "HOME": "/"}
    assert misspelt_variables(strange) == {"FEED_API_KEY": "FEED_API_KEYS"}
    assert misspelt_variables(strange | {"FEED_API_KEYS": "a:read:0"}) == {}


def test_only_settings_that_were_given_are_checked():
    odd = replace(RankingConfig(), mmr_lambda=7.0)
    check_ranges(odd, ["trending_boost"])
    with pytest.raises(InvalidInputError, match=r"^x\.mmr_lambda: must lie between 0 and 1$"):
        check_ranges(odd, ["mmr_lambda"], "x.")


def test_settings_written_to_the_environment_are_read_again_as_they_were():
    settings = settings_from_environment(RANKING_GIVEN | {"FEED_PORT": "9000"})
    assert settings_from_environment(settings_to_environment(settings)) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trending_bost": 1}, "trending_bost: is not a setting"),
        ({"trending_boost": "high"}, "trending_boost: must be a number"),
        ({"trending_boost": True}, "trending_boost: must be a number"),
        ({"trending_boost": 10**400}, "trending_boost: must be a number"),
        ({"slate_size": 2.5}, "slate_size: must be a whole number"),
        ({"weights": 3}, "weights: must be an object of numbers"),
        ({"weights": {"fresh": "x"}}, r"weights\.fresh: must be a number"),
    ],
)
def test_a_wrong_override_is_named_with_its_rule(values, message):
    with pytest.raises(InvalidInputError, match=message):
        override(RankingConfig(), values)


def test_an_override_changes_what_it_names_and_nothing_else():
    changed = override(RankingConfig(), {"trending_boost": 0, "weights": {"popular": 2}})
    assert changed.trending_boost == 0.0
    assert changed.weights == {"popular": 2.0}
    assert override(changed, {"trending_boost": RankingConfig().trending_boost, "weights": {}}) == (
        RankingConfig()
    )
