"""All addresses of one page have one canonical form; those of different pages do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from w3lib.url import canonicalize_url

from feed.config import Settings
from feed.domain import InvalidInputError
from feed.features.canonical_address import canonical_address, read_tracking_parameters

TRACKING = read_tracking_parameters(Settings().tracking_parameters)
PAGE = "https://paper.test/city/ferries-return"
WORDS = st.text("abcdefgh-", min_size=1, max_size=12).map(lambda text: f"x{text}")


def canonical(url: str | None) -> str:
    return canonical_address(url, TRACKING)


@pytest.mark.parametrize(
    "url",
    [
        "http://paper.test/city/ferries-return",
        "https://www.paper.test/city/ferries-return/",
        "HTTPS://WWW.Paper.Test:443/city/ferries-return",
        "http://paper.test:80/city/ferries-return",
        "https://m.paper.test/city/ferries-return",
        "https://mobile.paper.test/city/ferries-return",
        "https://amp.paper.test/city/ferries-return",
        "https://www.paper.test/city/ferries-return/amp/",
        "https://www.paper.test/amp/city/ferries-return",
        "https://www.paper.test/city/ferries-return.amp",
        "https://www.paper.test/city/ferries-return?amp=1",
        "https://www.paper.test/city/ferries-return?outputType=amp",
        "https://www.paper.test/city/ferries-return/index.html",
        "https://www-paper-test.cdn.ampproject.org/c/s/www.paper.test/city/ferries-return",
        "https://www.google.com/amp/s/www.paper.test/city/ferries-return",
        f"{PAGE}?utm_source=rss&utm_medium=feed&UTM_Campaign=x",
        f"{PAGE}?at_medium=RSS&at_campaign=KARANGA",
        f"{PAGE}?fbclid=IwAR0&gclid=1&mc_cid=2",
        f"{PAGE}#0",
        f"{PAGE}#comments",
        f"{PAGE}?&",
        f" {PAGE} ",
    ],
)
def test_an_address_of_the_page_is_recognised(url: str) -> None:
    assert canonical(url) == canonical(PAGE) == "paper.test/city/ferries-return"


@pytest.mark.parametrize(
    "url",
    [
        "https://paper.test/city/ferries",
        "https://other.test/city/ferries-return",
        "https://paper.test:8080/city/ferries-return",
        "https://sport.paper.test/city/ferries-return",
        f"{PAGE}?page=2",
        "https://paper.test/City/Ferries-Return",
        "https://paper.test/city/ferries-return-amphibian",
    ],
)
def test_another_page_has_another_address(url: str) -> None:
    assert canonical(url) not in {"", canonical(PAGE)}


def test_a_parameter_that_names_the_page_stays_in_any_order() -> None:
    one = canonical("https://paper.test/show?id=123&lang=en&utm_source=x")
    assert one == canonical("https://paper.test/show?lang=en&id=123")
    assert one != canonical("https://paper.test/show?id=124&lang=en")
    assert canonical("https://paper.test/?p=7") != canonical("https://paper.test/?p=8")


def test_escapes_make_no_difference() -> None:
    assert canonical("https://paper.test/k%c3%b6ln") == canonical("https://paper.test/k\u00f6ln")


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "https://paper.test",
        "https://www.paper.test/",
        "https://m.paper.test/index.html?utm_source=rss#top",
        "https://[broken/a",
        "https://paper.test:port/a",
        "not an address",
        "https://paper.test/" + "a" * 3_000,
    ],
)
def test_a_root_or_a_broken_address_names_no_page(url: str | None) -> None:
    assert canonical(url) == ""


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(st.tuples(WORDS, WORDS), max_size=4))
def test_tracking_and_order_never_matter(path: list[str], query: list[tuple[str, str]]) -> None:
    url = "https://paper.test/" + "/".join(path)
    pairs = [f"{name}={value}" for name, value in query]
    plain = f"{url}?{'&'.join(pairs)}"
    dressed = f"{url}/?{'&'.join(['utm_source=a', *reversed(pairs), 'fbclid=b'])}#1"
    assert canonical(plain) == canonical(dressed) != ""


@given(st.from_regex(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,9}){1,3}x", fullmatch=True))
def test_the_short_way_for_plain_paths_says_what_the_library_says(path: str) -> None:
    by_library = canonicalize_url(f"http://paper.test{path}")
    assert canonical(f"https://paper.test{path}") == by_library.removeprefix("http://")


@given(
    st.sampled_from(["http", "https"]),
    st.lists(st.text("aM-19", min_size=1, max_size=5), min_size=1, max_size=4).map(".".join),
    st.text("aA1/.-_", max_size=20).map(lambda text: f"/{text}"),
)
def test_the_short_way_for_plain_addresses_says_what_the_long_one_says(
    scheme: str, host: str, path: str
) -> None:
    plain = f"{scheme}://{host}{path}"
    assert canonical(plain) == canonical(f"{plain}#a-fragment-takes-the-long-way")


def test_parameters_are_settable_and_wrong_ones_refused() -> None:
    names = read_tracking_parameters(" Campaign_*, ,partner")
    assert names == ("campaign_*", "partner")
    kept = canonical_address(f"{PAGE}?utm_source=x", names)
    assert kept != canonical_address(PAGE, names)
    assert canonical_address(f"{PAGE}?CAMPAIGN_ID=x", names) == canonical_address(PAGE, names)
    for wrong in ("a b", "a=b", "*", "a&b"):
        with pytest.raises(InvalidInputError, match="FEED_TRACKING_PARAMETERS: must be names"):
            read_tracking_parameters(wrong)
