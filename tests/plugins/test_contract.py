"""What `feed check-plugin` accepts, and what it says of each plugin that breaks the contract."""

from __future__ import annotations

import time
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner

from feed.commands.check_plugin import check_plugin
from feed.domain import InvalidInputError
from feed.offline.plugin_checks import PluginChecks
from feed.plugins.loading import PluginError, find_entries, load_plugins


@pytest.fixture(scope="module")
def checks() -> PluginChecks:
    return PluginChecks(time.process_time)


def entry(name: str, group: str) -> EntryPoint:
    return EntryPoint(name.lower(), f"tests.plugins.broken_plugins:{name}", group)


@pytest.mark.parametrize(
    ("name", "group"),
    [("Steady", "feed.features"), ("Source", "feed.candidates"), ("Ranker", "feed.rankers")],
)
def test_a_plugin_that_keeps_the_contract_passes(checks, name, group):
    found = checks.check(entry(name, group))
    assert found.name == name.lower()
    assert found.articles > 10


@pytest.mark.parametrize(
    ("name", "group", "problem"),
    [
        ("Short", "feed.features", "numbers, not shape (1,)"),
        ("Infinite", "feed.features", "must not return infinite numbers"),
        ("Wordy", "feed.features", "must return numbers"),
        ("Raising", "feed.features", "KeyError: 'no such column' (broken_plugins.py:"),
        ("Random", "feed.features", "gives two answers to one question"),
        ("Remembering", "feed.features", "does not depend on the moment alone"),
        ("Writing", "feed.features", "read-only"),
        ("Forcing", "feed.features", "changes age_hours of the articles it is given"),
        ("Nameless", "feed.features", "name must be lower-case letters, digits and _"),
        ("Weightless", "feed.features", "weight must be a number"),
        ("Unmade", "feed.features", "cannot be made: OSError: there is no such file"),
        ("Beyond", "feed.candidates", "must return positions from 0 to"),
        ("Twice", "feed.candidates", "must return no position twice"),
        ("Halves", "feed.candidates", "must return positions as whole numbers"),
        ("Emptying", "feed.rules", "must keep at least one article"),
        ("Source", "feed.rules", "has no method apply"),
        ("Forgetful", "feed.rankers", "scores otherwise after save and load"),
        ("Pickling", "feed.rankers", "must not return a pickle"),
        ("Unfinished", "feed.rankers", "learns nothing"),
    ],
)
def test_a_broken_plugin_is_told_what_it_breaks(checks, name, group, problem):
    with pytest.raises(PluginError) as caught:
        checks.check(entry(name, group))
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_whose_scores_are_drawn_is_refused(checks, monkeypatch):
    found = [entry("Method", "feed.methods")]
    monkeypatch.setattr("feed.offline.own_methods.entry_points", lambda **_: found)
    with pytest.raises(PluginError, match="method method gives two answers"):
        checks.check(found[0])


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("no-such-package",), "no package 'no-such-package' is installed"),
        (("numpy",), "the package numpy has no plugins"),
        (("numpy:x",), "the package numpy has no plugin x"),
        ((":x",), "no package '' is installed"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused(names, problem):
    with pytest.raises(InvalidInputError, match=problem):
        list(find_entries(names))


def test_no_name_loads_no_plugin():
    found = load_plugins(())
    assert (found.sources, found.features, found.rules, found.ranker) == ((), (), (), None)


def test_without_a_name_the_command_ends_with_one_line():
    result = CliRunner().invoke(check_plugin, [])
    assert result.exit_code == 2
    assert result.output == "Error: name a package, or set FEED_PLUGINS\n"
