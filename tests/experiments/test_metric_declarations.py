"""Declarations of metrics: what feed brings along, and every rule with its line in the file."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.experiments.design.metrics import METRICS, metric_from_json, metric_to_json
from feed.experiments.design.own_metrics import own_metrics, parse_metrics, read_metric_file
from feed.experiments.design.toml_lines import find_lines

BUILT_IN = {
    "qualified_reads": ("qualified_reads", "", "up", "number", None),
    "click_through": ("clicks", "impressions", "up", "share", None),
    "clicks": ("clicks", "", "up", "number", None),
    "feed_views": ("views", "", "neither", "number", None),
    "impressions": ("impressions", "", "neither", "number", None),
    "dwell": ("dwell_s", "", "up", "seconds", 0.99),
    "likes": ("likes", "", "up", "number", None),
    "hides": ("hides", "", "down", "number", None),
    "sessions": ("sessions", "", "up", "number", None),
    "return_next_day": ("returned_days", "returnable_days", "up", "share", None),
    "section_entropy": ("section_entropy", "shown_days", "up", "number", None),
    "share_trending": ("trending_slots", "slots", "neither", "share", None),
    "share_ai_generated": ("ai_slots", "slots", "down", "share", None),
    "fallback_share": ("fallback_views", "views", "down", "share", None),
    "coverage": ("articles", "", "neither", "count", None),
    "latency_p95": ("latency", "", "down", "milliseconds", None),
}
"""Numerator, denominator, which way is better, form, and where heavy readers are cut."""

TWO = """# what the newsroom counts

[first]
title = "First"
kind = "mean"
note = \"\"\"
[second]
kind = "share"
\"\"\"
count = "clicks"
better = "up"

[second]
title = "Second"
kind = "ratio"
better = "up"
numerator = { sum = "custom:donation" }
[second.denominator]
count = "views"
"""


def test_built_in_metrics_are_what_they_always_were() -> None:
    found = {
        name: (m.numerator, m.denominator, m.better, m.form, m.winsorise)
        for name, m in METRICS.items()
    }
    assert list(found.items()) == list(BUILT_IN.items())
    assert METRICS["latency_p95"].quantile == 0.95
    assert [name for name, m in METRICS.items() if m.grouped] == ["coverage", "latency_p95"]


@pytest.mark.parametrize("name", METRICS)
def test_a_declaration_survives_json_and_back(name: str) -> None:
    assert metric_from_json(name, metric_to_json(METRICS[name])) == METRICS[name]


def test_every_key_is_found_on_its_line() -> None:
    assert find_lines(TWO) == {
        "first": 3,
        "first.title": 4,
        "first.kind": 5,
        "first.note": 6,
        "first.count": 10,
        "first.better": 11,
        "second": 13,
        "second.title": 14,
        "second.kind": 15,
        "second.better": 16,
        "second.numerator": 17,
        "second.numerator.sum": 17,
        "second.denominator": 18,
        "second.denominator.count": 19,
    }


def test_a_file_is_read_with_its_defaults() -> None:
    first, second = parse_metrics(TWO, "metrics.toml").values()
    assert (first.numerator, first.denominator, first.form) == ("clicks", "", "number")
    assert (second.numerator, second.denominator) == ("sum_custom_donation", "views")
    assert first.meaning == "clicks per reader"
    assert second.meaning == "sum of custom:donation / views"


def test_true_cuts_heavy_readers_at_the_99th_percentile() -> None:
    declared = {"title": "t", "kind": "mean", "count": "clicks", "better": "up"}
    cut = [metric_from_json("m", {**declared, "winsorise": w}).winsorise for w in (True, 0.9)]
    assert cut == [0.99, 0.9]
    assert metric_from_json("m", {**declared, "winsorise": False}).winsorise is None


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "rule"),
    [
        ('title = "First"', "", 3, "first.title", "must be text"),
        ('title = "First"', f'title = "{81 * "x"}"', 4, "first.title", "1 to 80 characters"),
        ('title = "First"', 'title = " "', 4, "first.title", "1 to 80 characters"),
        ('title = "First"', "title = 1", 4, "first.title", "must be text"),
        ('kind = "mean"', 'kind = "median"', 5, "first.kind", "one of mean, ratio, share, quant"),
        ('kind = "mean"', 'kind = "mean"\nquantile = 0.5', 6, "first.quantile", "of kind mean"),
        ('count = "clicks"', "", 3, "first.count", "or sum must be given, and not both"),
        ('count = "clicks"', 'count = "clicks"\nsum = "reads"', 10, "first.count", "not both"),
        ('count = "clicks"', 'count = "smiles"', 10, "first.count", "custom:NAME, views, "),
        ('count = "clicks"', 'count = "dwell_s"', 10, "first.count", "must be one of"),
        ('count = "clicks"', "count = \"custom:x' OR 1=1\"", 10, "first.count", "lower-case"),
        ('count = "clicks"', 'count = "custom:"', 10, "first.count", "lower-case letters"),
        ('count = "clicks"', 'count = "clicks"\nat_least = 3', 11, "first.at_least", "reads and"),
        ('count = "clicks"', 'count = "reads"\nat_least = inf', 11, "first.at_least", "finite"),
        ('count = "clicks"', 'count = "clicks"\nwinsorise = 1.0', 11, "first.winsorise", "0.5 and"),
        ('count = "clicks"', 'count = "clicks"\nper = "week"', 11, "first.per", "reader, day"),
        ('count = "clicks"', 'count = "clicks"\nform = "euro"', 11, "first.form", "one of count"),
        ('better = "up"', 'better = "more"', 11, "first.better", "up, down, neither"),
        ('better = "up"', "", 3, "first.better", "must be text"),
        ("[first]", "[Clicks]", 3, "Clicks", "lower-case letters"),
        ("[first]", "[clicks]", 3, "clicks", "feed brings along"),
        ("[first]", '["a.b"]', 3, "a.b", "lower-case letters"),
        ("[first]", "[[first]]", 3, "first", "must be an object"),
        ('sum = "custom:donation"', 'sum = "clicks"', 17, "second.numerator.sum", "custom:NAME, r"),
        ('kind = "ratio"', 'kind = "share"', 17, "second.numerator", "declare a ratio"),
        ('kind = "ratio"', 'kind = "ratio"\ncount = "clicks"', 16, "second.count", "kind ratio"),
        ('count = "views"', 'count = "views"\nper = "day"', 20, "second.denominator.per", "field"),
        ("[second.denominator]", "[third]", 13, "second.denominator", "must be an object"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_metric_field_and_rule(
    old: str, new: str, line: int, field: str, rule: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_metrics(TWO.replace(old, new, 1), "metrics.toml")
    assert refused.value.field_name == f"metrics.toml, line {line}: {field}"
    assert rule in refused.value.rule


@pytest.mark.parametrize("kind", ["quantile", "distinct", "share"])
def test_kinds_of_one_measure_name_it(kind: str) -> None:
    with pytest.raises(InvalidInputError, match="must be given"):
        metric_from_json(
            "m",
            {"title": "t", "kind": kind, "better": "up", "quantile": 0.5}
            if kind == "quantile"
            else {"title": "t", "kind": kind, "better": "up"},
        )


def test_a_share_of_a_part_is_a_share() -> None:
    of = {"count": "custom:donation"}
    declared = {"title": "t", "kind": "share", "better": "up", "denominator": of}
    large = metric_from_json("m", {**declared, "numerator": {**of, "at_least": 2.5}})
    assert (large.numerator, large.denominator) == ("from_2_5_custom_donation", "custom_donation")
    with pytest.raises(InvalidInputError, match=r"m\.per: must be left out"):
        metric_from_json("m", {**declared, "numerator": of, "per": "day"})
    with pytest.raises(InvalidInputError, match=r"m\.numerator: must count a part"):
        metric_from_json("m", {**declared, "numerator": {"sum": "custom:donation"}})


def test_what_is_no_toml_is_refused_with_its_line() -> None:
    with pytest.raises(InvalidInputError, match=r"metrics\.toml: must be TOML: .*line 2"):
        parse_metrics("[a]\ntitle = \n", "metrics.toml")


def test_the_limits_of_a_file(tmp_path: Path) -> None:
    one = 'title = "t"\nkind = "mean"\ncount = "clicks"\nbetter = "up"\n'
    many = "".join(f"[m{i}]\n{one}" for i in range(51))
    with pytest.raises(InvalidInputError, match=r"line 251: m50: is one too many: at most 50"):
        parse_metrics(many, "metrics.toml")
    assert len(parse_metrics(many.rpartition("[m50]")[0], "metrics.toml")) == 50
    path = tmp_path / "large.toml"
    path.write_text("#" * 100_001)
    with pytest.raises(InvalidInputError, match="at most 100000 bytes"):
        read_metric_file(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="FILE: must be a text file that can be read"):
        read_metric_file(path)
    path.write_bytes(b"a = " + b"[" * 5000)
    with pytest.raises(InvalidInputError):
        read_metric_file(path)


def test_where_the_own_metrics_stand(tmp_path: Path) -> None:
    assert own_metrics(Settings(data_dir=tmp_path)) == {}
    (tmp_path / "metrics.toml").write_text(TWO)
    assert list(own_metrics(Settings(data_dir=tmp_path))) == ["first", "second"]
    other = tmp_path / "other.toml"
    chosen = Settings(data_dir=tmp_path, metrics_file=str(other))
    with pytest.raises(InvalidInputError, match="FEED_METRICS_FILE: must be a text file"):
        own_metrics(chosen)
    other.write_text("")
    assert own_metrics(chosen) == {}


@given(
    st.recursive(
        st.booleans() | st.floats() | st.integers() | st.sampled_from(["mean", "clicks", "up", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["title", "kind", "count", "sum", "value", "numerator", "per",
                                 "denominator", "at_least", "quantile", "winsorise", "better"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_declaration_is_read_or_refused_in_words(data: object) -> None:
    with contextlib.suppress(InvalidInputError):
        metric = metric_from_json("m", data)
        assert metric_from_json("m", metric_to_json(metric)) == metric
