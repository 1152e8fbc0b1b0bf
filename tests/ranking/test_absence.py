"""What is said of an article that is missing must be what really happens to it."""

from __future__ import annotations

import random
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np
import pytest

from feed.config import RankingConfig
from feed.domain import Pin
from feed.editorial.editorial_limits import Limit, LimitOf, LimitRule
from feed.models.schema import GROUPS
from feed.ranking.absence import AbsenceVerdict, explain_absence
from feed.ranking.candidates import SOURCES
from feed.ranking.diversity import diversify
from feed.ranking.obstacles import Rule
from feed.ranking.pipeline import build_slate, rank_in_stages
from feed.ranking.slate import StageTimer, Trace
from feed.ranking.source_places import Lack

NOW = 1_700_000_000.0  # that of conftest
HOUR = 3600.0
PAGE = 10


@dataclass(frozen=True)
class Case:
    """One request in a small world; `lot` are rows of all sorts that may overlap."""

    gone: frozenset[int] = frozenset()
    expired: frozenset[int] = frozenset()
    scheduled: frozenset[int] = frozenset()
    withdrawn: frozenset[int] = frozenset()
    old: frozenset[int] = frozenset()
    clicked: tuple[int, ...] = ()
    hidden: frozenset[int] = frozenset()
    muted_section: str = ""
    muted_source: str = ""
    chosen_language: str = ""
    page: int = -1
    section: int = -1
    language: str = ""
    pins: tuple[Pin, ...] = ()
    limits: tuple[Limit, ...] = ()
    seed: int = 0

    def without(self, rule: Rule, row: int) -> Case:
        """The same case after one obstacle of one article was taken away."""
        of_rows = {
            Rule.GONE: "gone",
            Rule.EXPIRED: "expired",
            Rule.SCHEDULED: "scheduled",
            Rule.WITHDRAWN: "withdrawn",
            Rule.TOO_OLD: "old",
            Rule.HIDDEN: "hidden",
        }
        nothing = {
            Rule.MUTED_SECTION: {"muted_section": ""},
            Rule.MUTED_SOURCE: {"muted_source": ""},
            Rule.LANGUAGE: {"chosen_language": ""},
            Rule.PAGE: {"page": -1},
            Rule.OTHER_SECTION: {"section": -1},
            Rule.OTHER_LANGUAGE: {"language": ""},
        }
        if rule is Rule.READ:
            return replace(self, clicked=tuple(one for one in self.clicked if one != row))
        if rule in of_rows:
            name = of_rows[rule]
            return replace(self, **{name: getattr(self, name) - {row}})
        return replace(self, **nothing[rule])

    def rank(self, world, config):
        pool = world.pool
        names = ("live", "expires_at", "published_at", "fresh_at")
        pool = replace(pool, **{name: getattr(pool, name).copy() for name in names})
        world = replace(world, pool=pool, view=replace(world.view, pool=pool))
        pool.live[[*self.gone]] = False
        pool.expires_at[[*self.expired]] = NOW - 60
        pool.published_at[[*self.scheduled]] = NOW + HOUR
        pool.fresh_at[[*self.old]] = NOW - 80 * HOUR
        profile = world.reader(
            self.clicked,
            hidden_rows=np.array([*self.hidden], np.int64),
            preferences=world.prefer(
                muted_sections=[self.muted_section],
                muted_sources=[self.muted_source],
                languages=[self.chosen_language] if self.chosen_language else [],
            ),
        )
        languages = world.pool.languages
        context = world.context(
            profile,
            self.seed,
            page_row=self.page,
            section=self.section,
            languages=(languages.row(self.language),) if self.language else (),
            withdrawn=np.array([*self.withdrawn], np.int64),
            pins=self.pins,
            limits=self.limits,
        )
        trace = Trace()
        return rank_in_stages(context, config, trace, StageTimer(trace, None))


def ask(world, case, config, row, size=PAGE):
    return explain_absence(case.rank(world, config), row, size)


def draw_case(rng):
    """A request in which most things are as usual, and anything can be unusual."""

    def some():
        return frozenset(rng.sample(range(120), rng.randint(0, 8)))

    return Case(
        gone=some(),
        expired=some(),
        scheduled=some(),
        withdrawn=some(),
        old=some(),
        clicked=tuple(rng.sample(range(120), rng.choice([0, 0, 4, 12]))),
        hidden=some(),
        muted_section=rng.choice(["", "", "", "news", "sport"]),
        muted_source=rng.choice(["", "", "", "s1", "s4"]),
        chosen_language=rng.choice(["", "", "", "en", "de"]),
        page=rng.choice([-1, -1, rng.randrange(120)]),
        section=rng.choice([-1, -1, -1, 0, 3]),
        language=rng.choice(["", "", "", "en", "de"]),
        seed=rng.randrange(100),
    )


def draw_config(rng):
    return RankingConfig(
        candidates_per_source=rng.choice([2, 5, 30]),
        candidate_cap=rng.choice([5, 30, 60]),
        duplicate_similarity=rng.choice([0.5, 0.7, 0.92]),
        explore_slots=rng.choice([0, 1, 2]),
        slate_size=rng.choice([12, 60]),
        mmr_lambda=rng.choice([0.5, 0.9, 1.0]),
        section_decay=rng.choice([0.5, 0.9, 1.0]),
        max_age_hours=rng.choice([72.0, 100.0]),
        use_content=rng.random() < 0.7,
        use_collaborative=rng.random() < 0.7,
    )


@pytest.mark.parametrize("seed", range(60))
def test_an_article_is_eligible_exactly_if_nothing_is_said_to_keep_it_out(small_world, seed):
    rng = random.Random(seed)
    case, config = draw_case(rng), RankingConfig()
    ranking = case.rank(small_world, config)
    touched = case.gone | case.expired | case.scheduled | case.withdrawn | case.old | case.hidden
    for row in sorted({*touched, *case.clicked, case.page, 60} - {-1}):
        answer = explain_absence(ranking, row, PAGE)
        assert (answer.verdict is AbsenceVerdict.RULES) != ranking.situation.eligible.mask[row]
        assert (answer.verdict is AbsenceVerdict.RULES) == bool(answer.obstacles)
    rules = [one.rule for one in explain_absence(ranking, row, PAGE).obstacles]
    for kept in [None, *rules]:
        left = case
        for rule in rules:
            left = left if rule is kept else left.without(rule, row)
        ranking = left.rank(small_world, config)
        still = [one.rule for one in explain_absence(ranking, row, PAGE).obstacles]
        if kept is Rule.TOO_OLD and ranking.situation.eligible.window_hours:
            continue  # so little was left that older articles came in
        assert still == ([kept] if kept else [])


@pytest.fixture(scope="module")
def verdicts_seen():
    return Counter()


@pytest.mark.parametrize("seed", range(60))
def test_the_verdict_is_what_really_happens(small_world, seed, verdicts_seen):
    rng = random.Random(seed)
    case, config = draw_case(rng), draw_config(rng)
    if seed % 2:
        case = replace(case, section=-1, language="", chosen_language="", clicked=(1, 2, 30))
    ranking = case.rank(small_world, config)
    slate = build_slate(ranking)
    for row in rng.sample(range(120), 6):
        answer = explain_absence(ranking, row, PAGE)
        assert (answer.slot >= 0) == (row in slate.rows)
        assert answer.slot < 0 or slate.rows[answer.slot] == row
        assert (answer.verdict is AbsenceVerdict.SHOWN) == (row in slate.rows[:PAGE])
        assert (answer.standing is not None) == (row in ranking.candidates.rows)
        verdicts_seen[answer.verdict] += 1
        check = {
            AbsenceVerdict.SOURCES: it_is_proposed_once_the_source_may_propose_so_many,
            AbsenceVerdict.CAP: it_is_scored_once_the_cap_reaches_its_turn,
            AbsenceVerdict.DUPLICATE: it_is_as_alike_as_said,
            AbsenceVerdict.RANK: it_takes_the_place_once_its_score_is_so_much_greater,
        }.get(answer.verdict)
        if check:
            check(small_world, case, config, ranking, answer)


def test_every_verdict_was_put_to_the_test(verdicts_seen):
    expected = set(AbsenceVerdict) - {AbsenceVerdict.LIMITS, AbsenceVerdict.OWN_RULE}
    assert min(verdicts_seen[verdict] for verdict in expected) >= 5, verdicts_seen


CAP = Limit(rule=LimitRule.AT_MOST, of=LimitOf.SECTION, within=PAGE, share=0.2)
SPORT = Limit(rule=LimitRule.AT_LEAST, of=LimitOf.SECTION, value="sport", within=PAGE, count=4)


@pytest.mark.parametrize("limits", [(CAP,), (SPORT,), (SPORT, replace(CAP, of=LimitOf.SOURCE))])
@pytest.mark.parametrize("seed", range(6))
def test_a_limit_is_to_blame_exactly_if_the_article_is_shown_without_it(small_world, seed, limits):
    case = Case(clicked=tuple(random.Random(seed).sample(range(120), 5)), limits=limits)
    config = RankingConfig(explore_slots=0, slate_size=60)
    ranking = case.rank(small_world, config)
    free = build_slate(replace(case, limits=()).rank(small_world, config))
    slate, blamed = build_slate(ranking), 0
    for row in free.rows[: 2 * PAGE].tolist():
        answer = explain_absence(ranking, row, PAGE)
        is_held_back = row in free.rows[:PAGE] and row not in slate.rows[:PAGE]
        assert (answer.verdict is AbsenceVerdict.LIMITS) == is_held_back
        blamed += is_held_back
        if is_held_back:
            assert answer.limits
            assert set(answer.limits) <= set(limits)
            assert free.rows[answer.comparison.by_score - 1] == row
            assert slate.rows[answer.comparison.rank - 1] == row
    assert blamed or slate.rows[:PAGE].tolist() == free.rows[:PAGE].tolist()


def test_a_cap_without_room_is_named_before_a_minimum(small_world):
    other = replace(CAP, of=LimitOf.SOURCE, share=1.0)
    case = Case(clicked=(1, 6, 11), limits=(CAP, other))
    config = RankingConfig(explore_slots=0)
    free = build_slate(replace(case, limits=()).rank(small_world, config)).rows[:PAGE]
    answers = [ask(small_world, case, config, row) for row in free.tolist()]
    blamed = [answer.limits for answer in answers if answer.verdict is AbsenceVerdict.LIMITS]
    assert blamed
    assert set(blamed) == {(CAP,)}


def it_is_proposed_once_the_source_may_propose_so_many(world, case, config, ranking, answer):
    assert not any(answer.row in rows for rows in ranking.candidates.proposals.values())
    for source in answer.sources:
        if source.place is None or source.name in {"covisitation", "neighbours"}:
            continue  # articles with equally many votes have no certain order
        wider = replace(config, candidates_per_source=source.place)
        proposed = case.rank(world, wider).candidates.proposals[source.name]
        assert proposed[-1] == answer.row
    every = replace(config, candidates_per_source=500)
    proposals = case.rank(world, every).candidates.proposals
    for source in answer.sources:
        assert (source.lack is Lack.BEYOND) == (answer.row in proposals[source.name])
    switched_on = replace(every, use_content=True, use_collaborative=True, explore_slots=1)
    proposals = case.rank(world, switched_on).candidates.proposals
    for source in answer.sources:
        if source.lack not in {Lack.BEYOND, Lack.OFF}:
            assert answer.row not in proposals[source.name]


def it_is_scored_once_the_cap_reaches_its_turn(world, case, config, ranking, answer):
    assert answer.turn > answer.cap == config.candidate_cap
    reached = case.rank(world, replace(config, candidate_cap=answer.turn)).candidates.rows
    assert reached[-1] == answer.row
    before = case.rank(world, replace(config, candidate_cap=answer.turn - 1)).candidates.rows
    assert answer.row not in before


def it_is_as_alike_as_said(world, case, config, ranking, answer):
    content, rows = ranking.context.view.content, ranking.candidates.rows.tolist()
    kept = set(rows) - set(ranking.candidates.rows[ranking.order.duplicates].tolist())
    scores = dict(zip(rows, ranking.scores.final.tolist(), strict=True))
    assert answer.alike
    for other, cosine in answer.alike:
        assert cosine == pytest.approx(float(content[other] @ content[answer.row]), abs=1e-6)
        assert cosine >= config.duplicate_similarity - 1e-6
        assert other in kept
        assert scores[other] >= scores[answer.row]
    stricter = replace(config, duplicate_similarity=1.0)
    assert ask(world, case, stricter, answer.row).verdict is not AbsenceVerdict.DUPLICATE


def it_takes_the_place_once_its_score_is_so_much_greater(world, case, config, ranking, answer):
    comparison = answer.comparison
    assert comparison.last is not None
    groups = sum(answer.standing.groups[name] - comparison.last.groups[name] for name in GROUPS)
    assert groups == pytest.approx(answer.standing.margin - comparison.last.margin, abs=1e-5)
    rows = ranking.candidates.rows.tolist()
    at, last = rows.index(answer.row), rows.index(comparison.last.row)

    def order_with(factor):
        view, scores = ranking.context.view, ranking.scores.final.copy()
        scores[at] *= factor
        section, source = view.pool.section[rows], view.pool.source[rows]
        content = view.content[rows]
        return diversify(scores, section, source, content, config, len(rows)).order.tolist()

    order = order_with(1.0)
    assert order.index(at) == comparison.rank - 1 > order.index(last)
    enough = order_with((1 + comparison.lacked) * 1.001)
    assert enough.index(at) <= order.index(last)
    too_little = order_with((1 + comparison.lacked) * 0.999)
    assert too_little.index(at) > order.index(last)


def test_an_unknown_id_is_unknown(small_world):
    for row in (-1, 10_000):
        answer = ask(small_world, Case(), RankingConfig(), row)
        assert [obstacle.rule for obstacle in answer.obstacles] == [Rule.UNKNOWN]


def test_every_rule_is_named_with_its_facts(small_world):
    case = Case(
        gone=frozenset({3}), expired=frozenset({3}), old=frozenset({3}), clicked=(3,), page=3
    )
    found = {one.rule: one for one in ask(small_world, case, RankingConfig(), 3).obstacles}
    assert set(found) == {Rule.GONE, Rule.EXPIRED, Rule.TOO_OLD, Rule.READ, Rule.PAGE}
    assert found[Rule.EXPIRED].at == NOW - 60
    assert found[Rule.TOO_OLD].hours == 72
    assert found[Rule.READ].at == NOW - 30 * 60


@pytest.mark.parametrize("pinned", [False, True])
def test_a_twin_is_answered_with_the_article_that_stands_for_it(small_world, pinned):
    world = deepcopy(small_world)
    leader = np.arange(world.pool.size)
    leader[7] = 2
    folded = np.zeros(world.pool.size, np.bool_)
    folded[7] = True
    world.pool.live[7] = False
    pool = replace(world.pool, leader=leader, folded=folded)
    world.pool, world.view = pool, replace(world.view, pool=pool)
    pins = (Pin(article_id="a7", slot=1, starts_at=NOW - 1, ends_at=NOW + 1),) if pinned else ()
    asked, shown = (2, 7) if pinned else (7, 2)
    answer = ask(world, Case(pins=pins), RankingConfig(), asked, 60)
    assert [(one.rule, one.twin) for one in answer.obstacles] == [(Rule.TWIN, shown)]
    assert answer.stand_in.row == shown
    assert answer.stand_in.slot == (1 if pinned else answer.stand_in.slot) >= 0


def test_a_source_says_what_it_lacks(small_world):
    config = RankingConfig(candidates_per_source=1, explore_slots=0, use_collaborative=False)
    sources = {one.name: one for one in ask(small_world, Case(), config, 100).sources}
    assert list(sources) == list(SOURCES)
    assert {name: one.lack for name, one in sources.items() if one.place is None} == {
        "covisitation": Lack.NO_START,
        "collaborative": Lack.OFF,
        "content_session": Lack.NO_START,
        "content_page": Lack.NO_PAGE,
        "content_long": Lack.NO_START,
        "neighbours": Lack.OFF,
        "followed": Lack.NO_FOLLOWS,
        "trending": Lack.NO_LINK,
        "popular_30m": Lack.NO_LINK,
        "popular_2h": Lack.NO_LINK,
        "popular_6h": Lack.NO_LINK,
        "popular_24h": Lack.NO_LINK,
        "listed": Lack.NO_PAGE,
        "exploration": Lack.OFF,
        "boosts": Lack.NO_LINK,
    }
    assert sources["fresh"].place == 101


def test_only_the_newest_articles_are_compared_with_the_reader(small_world):
    ranking = Case(clicked=(1, 2, 3)).rank(small_world, RankingConfig(candidates_per_source=1))
    searched = small_world.view.pack(np.arange(50))
    situation = replace(ranking.situation, searched=searched)
    answer = explain_absence(replace(ranking, situation=situation), 80, PAGE)
    lacks = {one.name: one.lack for one in answer.sources}
    assert lacks["content_long"] is lacks["collaborative"] is Lack.NOT_SEARCHED


@pytest.mark.parametrize("slots", [1, 2])
def test_the_chance_is_how_often_an_article_is_drawn(small_world, slots):
    config, case = RankingConfig(explore_slots=slots, explore_by_need=True), Case(clicked=(1, 6))
    rankings = [replace(case, seed=seed).rank(small_world, config) for seed in range(300)]
    drawn = Counter()
    for ranking in rankings:
        drawn.update(ranking.candidates.rows[ranking.placed.at[ranking.placed.explored]].tolist())
    chances = {}
    for row in range(120):
        answer = explain_absence(rankings[0], row, PAGE)
        if answer.comparison is not None:
            chances[row] = answer.comparison.chance
            error = np.sqrt(chances[row] * (1 - chances[row]) / len(rankings))
            assert abs(drawn[row] / len(rankings) - chances[row]) < 5 * error + 1e-9
    assert max(chances.values()) > 0.0
