"""What the Front page room reads from the archive, against plain counting of the same rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pytest

from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.offline.front_page_reading import OTHERS, read_front_page
from tests.offline.test_archive_log import NOW, Shelf, added

HOUR = 3600.0
SECTIONS = ("News", "news", "Sport", "Culture")
LIMIT = Limit(rule=LimitRule.AT_LEAST, of=LimitOf.SECTION, value="Sport", count=1, within=3)


def told(*, met: bool, moved: int) -> dict[str, str]:
    return {
        "limits": orjson.dumps([{"limit": LIMIT.to_json(), "met": met, "moved": moved}]).decode()
    }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Forty articles, half of them from today, in feeds of the last six hours."""
    shelf, rng = Shelf(tmp_path_factory.mktemp("archive")), np.random.default_rng(3)
    changes = [
        added(
            f"a{n}",
            published_at=NOW - HOUR * (n + 1) * 1.2,
            section=SECTIONS[n % 4],
            source=f"s{n % 16}",
            language="de" if n % 5 == 0 else "en",
        )
        for n in range(40)
    ]
    records = []
    for feed in range(60):
        shown = [f"a{n}" for n in rng.choice(25, 6, replace=False)]
        at = NOW - HOUR * (0.1 + 5.5 * feed / 60)
        context = told(met=feed % 3 > 0, moved=feed % 2) if feed % 2 else None
        records.append(shelf.feed(shown, f"u{feed % 7}", at, context, request_id=f"r{feed}"))
        records.append(shelf.event("impression", shown[0], f"u{feed % 7}", at + 1))
        if feed % 4 == 0:
            records.append(shelf.event("click", shown[0], f"u{feed % 7}", at + 2))
    shelf.commit(records, changes)
    return shelf


def served(shelf: Shelf, hours: float) -> list[tuple[str, str, float]]:
    columns = shelf.archive.served_columns(NOW - hours * HOUR, NOW)
    return list(
        zip(
            columns["article_id"].tolist(),
            columns["user_id"].tolist(),
            columns["served_at"].tolist(),
            strict=True,
        )
    )


def is_today(number: int) -> bool:
    return (number + 1) * 1.2 <= 24


@pytest.mark.parametrize("hours", [1.0, 6.0])
def test_shares_and_totals_are_those_of_the_rows(shelf: Shelf, hours: float) -> None:
    found = read_front_page(shelf.archive, NOW, hours)
    rows = served(shelf, hours)
    assert (found["slots"], found["readers"]) == (len(rows), len({user for _, user, _ in rows}))
    slots = Counter(article for article, _, _ in rows)
    sections: Counter[str] = Counter()
    for article, count in slots.items():
        sections[SECTIONS[int(article[1:]) % 4].lower()] += count
    shares = {one["name"].lower(): one for one in found["shares"]["section"]}
    assert {name: one["slots"] for name, one in shares.items()} == dict(sections)
    for name, one in shares.items():
        assert one["shown"] == pytest.approx(sections[name] / len(rows))
    today = [n for n in range(40) if is_today(n)]
    assert found["published"] == len(today)
    of_news = sum(SECTIONS[n % 4].lower() == "news" for n in today)
    assert shares["news"]["published"] == pytest.approx(of_news / len(today))
    best = found["most_shown"][0]
    assert best["slots"] == max(slots.values()) == slots[best["article_id"]]


def test_gini_is_the_mean_difference_of_the_articles_of_the_day(shelf: Shelf) -> None:
    found = read_front_page(shelf.archive, NOW, 6.0)
    slots = Counter(article for article, _, _ in served(shelf, 6.0))
    amounts = [slots[f"a{n}"] for n in range(40) if is_today(n)]
    pairs = [abs(x - y) for x in amounts for y in amounts]
    expected = sum(pairs) / (2 * len(amounts) ** 2 * np.mean(amounts))
    assert found["gini"] == pytest.approx(expected)


def test_an_article_that_was_shown_earlier_today_is_not_among_those_never_shown(
    shelf: Shelf,
) -> None:
    shown = {article for article, _, _ in served(shelf, 24.0)}
    expected = [f"a{n}" for n in range(40) if is_today(n) and f"a{n}" not in shown]
    found = read_front_page(shelf.archive, NOW, 1.0)
    assert [one["article_id"] for one in found["unseen"]] == expected
    assert found["never_shown"] == len(expected)


def test_limits_are_counted_by_feed(shelf: Shelf) -> None:
    found = read_front_page(shelf.archive, NOW, 6.0)
    (one,) = found["limits"]
    feeds = range(1, 60, 2)
    assert one == {
        "text": LIMIT.sentence(),
        "feeds": len(feeds),
        "met": sum(n % 3 > 0 for n in feeds),
        "moved": len(feeds),
    }


def test_rare_names_are_one_and_nothing_is_lost(shelf: Shelf) -> None:
    shares = read_front_page(shelf.archive, NOW, 6.0)["shares"]
    assert shares["source"][-1]["name"] == OTHERS
    assert len(shares["source"]) == 13
    for of_one in shares.values():
        assert sum(one["shown"] for one in of_one) == pytest.approx(1)
        assert sum(one["published"] for one in of_one) == pytest.approx(1)
    assert {one["name"] for one in shares["language"]} == {"de", "en"}


def test_views_and_clicks_stand_beside_what_was_given_out(shelf: Shelf) -> None:
    found = read_front_page(shelf.archive, NOW, 24.0)
    events = shelf.archive.event_columns(0, NOW)
    seen = Counter(zip(events["article_id"].tolist(), events["kind"].tolist(), strict=True))
    for one in found["most_shown"]:
        counts = seen[one["article_id"], "impression"], seen[one["article_id"], "click"]
        assert (one["in_view"], one["clicks"]) == counts


def test_an_empty_archive_has_nothing_to_say(tmp_path) -> None:
    found = read_front_page(Shelf(tmp_path).archive, NOW, 1.0)
    assert (found["slots"], found["newest_at"], found["gini"], found["most_shown"]) == (
        0,
        None,
        0,
        [],
    )
