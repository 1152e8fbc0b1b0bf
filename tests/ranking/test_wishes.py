"""Wishes for more, fewer or none: what they do to a feed, for how long, and what it says."""

from dataclasses import replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Mode, ReasonCode
from feed.features.profile import preference_codes, with_preferences
from feed.preferences import Preferences, Wish, WishKind, WishOf
from feed.ranking.context import RankingContext
from feed.ranking.pipeline import recommend
from feed.ranking.wish_factor import wish_factor
from feed.storage.records import ReaderState

NOW = 1_700_000_000.0  # that of conftest
SURE = RankingConfig(explore_slots=0)
SPORT = 1


def wish(kind, of="section", value="sport", **more):
    return Wish(kind=WishKind(kind), of=WishOf(of), value=value, **more)


def codes(world, *wishes, now=NOW):
    state = ReaderState(preferences=Preferences(wishes=wishes))
    return preference_codes(state, world.pool, now)


def asking(world, *wishes, clicked=(2, 3), now=NOW):
    return with_preferences(world.reader(clicked), codes(world, *wishes, now=now))


def sport_on_page(world, profile):
    rows = recommend(world.context(profile), SURE).rows[:20]
    return int((world.pool.section[rows] == SPORT).sum())


def test_more_and_fewer_move_a_section_and_strength_counts(shared_world):
    world = shared_world
    counts = [
        sport_on_page(world, asking(world, *wishes))
        for wishes in (
            [wish("fewer", strength=2)],
            [wish("fewer")],
            [],
            [wish("more")],
            [wish("more", strength=2)],
        )
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[2] < counts[4]


@pytest.mark.parametrize(("until", "holds"), [(NOW + 1, True), (NOW, False), (None, True)])
def test_a_wish_counts_until_its_end(shared_world, until, holds):
    profile = asking(shared_world, wish("more", until=until), wish("mute", "source", "s1"))
    assert bool(profile.preferences.wishes) == holds
    ended = asking(shared_world, wish("mute", until=NOW))
    assert not ended.preferences.muted_sections.size


def test_the_factor_is_bounded_whatever_is_asked(shared_world):
    world, rows = shared_world, np.arange(240)
    every = [wish(k, of, v, strength=2) for k in ("more",) for of, v in ASKED]
    for sign, bound in (("more", 4.0), ("fewer", 0.25)):
        wishes = [replace(one, kind=WishKind(sign)) for one in every]
        factor = wish_factor(world.context(asking(world, *wishes)), rows)
        assert factor.max() <= 4.0
        assert factor.min() >= 0.25
        assert bound in factor


ASKED = (("section", "sport"), ("source", "s1"), ("article", "a7"), ("article", "a12"))


def test_like_an_article_counts_by_how_alike_articles_are(shared_world):
    world, rows = shared_world, np.arange(240)
    context = world.context(asking(world, wish("more", "article", "a7")))
    factor = wish_factor(context, rows)
    cosines = world.view.content @ world.view.content[7]
    assert factor[7] == 2.0
    others = rows != 7
    assert factor[others] == pytest.approx(np.exp2(np.clip(cosines, 0, 1))[others])


def test_without_wishes_nothing_is_changed(shared_world):
    world = shared_world
    assert (wish_factor(world.context(world.reader([2])), np.arange(9)) == 1.0).all()


def test_what_the_reader_asked_for_says_so_and_nothing_else_does(shared_world):
    world = shared_world
    slate = recommend(world.context(asking(world, wish("more", strength=2))), SURE)
    said = [
        (world.pool.section[row], reason)
        for row, reasons in zip(slate.rows.tolist(), slate.reasons, strict=True)
        for reason in reasons
        if reason.code is ReasonCode.YOU_ASKED
    ]
    assert said
    assert {section for section, _ in said} == {SPORT}
    assert {reason.text for _, reason in said} == {"You asked for more of sport"}
    assert slate.personalized
    fewer = recommend(world.context(asking(world, wish("fewer", strength=2))), SURE)
    codes_of = {reason.code for reasons in fewer.reasons for reason in reasons}
    assert ReasonCode.YOU_ASKED not in codes_of


@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_muted_is_gone_in_every_mode(shared_world, mode):
    world = shared_world
    stated = codes(world, wish("mute"), wish("mute", "source", "s2"), wish("mute", "article", "a4"))
    context: RankingContext = world.context(
        asking(world, wish("mute"), wish("mute", "source", "s2"), wish("mute", "article", "a4")),
        mode=mode,
        preferences=stated,
    )
    rows = recommend(context, SURE).rows
    assert not (world.pool.section[rows] == SPORT).any()
    assert not (world.pool.source[rows] == world.pool.sources.row("s2")).any()
    assert 4 not in rows


def test_mutes_hold_without_personalisation(shared_world):
    world = shared_world
    stated = replace(codes(world, wish("mute", "article", "a4")), personalization=False)
    profile = world.reader([1, 2], preferences=stated)
    assert not len(profile.clicked_rows)
    assert 4 not in recommend(world.context(profile), SURE).rows


def test_what_the_newsroom_does_not_have_asks_for_nothing(shared_world):
    unknown = [wish("more", of, "nowhere") for of in ("section", "source", "article")]
    assert asking(shared_world, *unknown).preferences.wishes == ()
