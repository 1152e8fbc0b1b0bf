"""The list of sources in the store."""

from __future__ import annotations

import pytest

from feed.domain import InvalidInputError
from feed.sources.directory import Addition, SourceDirectory
from feed.sources.subscription import Source, read_address
from feed.storage.redis_store import RedisStore


def a_source(number: int) -> Source:
    return Source(address=f"https://paper.example/{number}")


def test_there_is_a_bound_and_one_too_many_adds_nothing(store: RedisStore) -> None:
    directory = SourceDirectory(store, most=3)
    assert directory.add([a_source(0), a_source(1)]) == [Addition.ADDED, Addition.ADDED]
    assert directory.add([a_source(1), a_source(2)]) == [Addition.KNOWN, Addition.ADDED]
    with pytest.raises(InvalidInputError, match="more than 3"):
        directory.add([a_source(2), a_source(3)])
    assert len(directory.all()) == 3


def test_the_state_of_a_removed_source_is_not_kept(store: RedisStore) -> None:
    directory = SourceDirectory(store)
    source = a_source(0)
    directory.add([source])
    directory.remove(source.source_id)
    assert not store.write_source_state(source.source_id, {})  # a check that ended later
    assert directory.states() == {}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("feed://paper.example/rss", "http://paper.example/rss"),
        ("feed:https://paper.example/rss", "https://paper.example/rss"),
        (" HTTPS://Paper.Example:443/rss#top ", "https://paper.example/rss"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
    ],
)
def test_addresses_have_one_form(text: str, address: str) -> None:
    assert read_address(text) == address
