"""An account in words that somebody understands who answers readers' questions."""

from __future__ import annotations

from datetime import UTC, datetime

from feed.features.ids import Vocabulary
from feed.ranking.absence import AbsenceVerdict, Answer
from feed.ranking.obstacles import Obstacle, Rule
from feed.ranking.pipeline import Ranking
from feed.ranking.source_places import Lack, SourcePlace

_HARDLY, _STRONGLY, _NOTHING = 0.1, 1.0, 0.005

GROUP_WORDS = {
    "content": "what it is about, compared with what the reader reads",
    "session_content": "what it is about, compared with what the reader read on this visit",
    "covisitation": "what readers of the same articles went on to read",
    "collaborative": "what readers of a similar taste read",
    "popularity": "how much everybody reads it",
    "trend": "whether its readership is growing or shrinking",
    "freshness": "how new it is",
    "affinity": "how much the reader likes its section, source and language",
    "fatigue": "how often the reader was shown it already",
    "plugins": "what the features of your plugins say about it",
    "context": "the time, the device, and how much is known of the reader",
}
FACTOR_WORDS = {
    "ranker": "the ranker's score",
    "trending": "it is trending",
    "followed": "the reader follows its section or source",
    "fatigue": "the reader was shown it often and did not open it",
    "diversity": "articles of its section or source stand above it",
    "wishes": "the reader asked for more or fewer articles like it",
    "editorial": "an editor raised or lowered it",
    "story": "it stands for the most promising article about its event",
}
SOURCE_WORDS = {
    "covisitation": "what readers of their last articles read next",
    "collaborative": "what readers of a similar taste read",
    "content_session": "similar to what they read on this visit",
    "content_page": "similar to the article on the page",
    "content_long": "similar to what they read in general",
    "neighbours": "read by the same people as their last articles",
    "followed": "from sections and sources they follow",
    "trending": "trending",
    "hot": "most read for its age",
    "popular_30m": "most read, last half hour",
    "popular_2h": "most read, last two hours",
    "popular_6h": "most read, last six hours",
    "popular_24h": "most read, last day",
    "in_view": "what the site shows most just now",
    "listed": "what the site lists below the article of the page",
    "fresh": "newest",
    "exploration": "new and hardly shown to anybody yet",
    "boosts": "raised by an editor",
    "limits": "needed to keep a limit of the editors",
    "pins": "chosen by an editor",
}
_LACK_WORDS = {
    Lack.OFF: "This source is switched off.",
    Lack.NO_MODEL: "There is no trained model that this source could use.",
    Lack.NO_START: "Nothing is known of this reader from which this source could start.",
    Lack.NO_FOLLOWS: "This reader follows no section and no source.",
    Lack.NO_PAGE: "This feed is not on an article's page.",
    Lack.NOT_SEARCHED: "Only newer articles are compared.",
    Lack.NO_LINK: "The article does not belong here at the moment.",
}
_PLAIN_RULES = {
    Rule.UNKNOWN: "There is no article with this id.",
    Rule.GONE: "It was retracted or deleted.",
    Rule.WITHDRAWN: "It was retracted or deleted a moment ago.",
    Rule.PAGE: "It is the article on whose page this feed is.",
    Rule.STORY_READ: "The reader has read about the same event, and this article is no newer.",
    Rule.STORY_HIDDEN: "The reader has hidden or disliked another article about the same event, "
    "or muted its story.",
    Rule.HIDDEN: "The reader has hidden or disliked it, or muted its story.",
}


def source_words(source: SourcePlace, most: int) -> str:
    """Return what one source says of an article; `most` is how many it may propose."""
    if source.lack is None:
        return f"It is number {source.place} of this source."
    if source.lack is not Lack.BEYOND:
        return _LACK_WORDS[source.lack]
    if source.place is None:
        return f"The source proposes {most} articles, and others come first."
    return f"It is number {source.place} of this source, which proposes {most}."


def rule_words(obstacle: Obstacle, ranking: Ranking, row: int, titles: dict[str, str]) -> str:
    """Return why a rule keeps an article out.

    Args:
        obstacle: the rule.
        ranking: of the request.
        row: of the article.
        titles: by article id.
    """
    rule, pool = obstacle.rule, ranking.context.view.pool
    if rule in _PLAIN_RULES:
        return _PLAIN_RULES[rule]
    at = "" if obstacle.at is None else _moment(obstacle.at)
    language = _name(pool.languages, int(pool.language[row])) or "not stated"
    words = {
        Rule.EXPIRED: f"It expired at {at}.",
        Rule.SCHEDULED: f"It will not be published before {at}.",
        Rule.TOO_OLD: f"Its date is {at}, and only articles of the last {obstacle.hours or 0:g} "
        "hours are shown.",
        Rule.READ: f"The reader opened it at {at}." if at else "The reader has opened it before.",
        Rule.MUTED_SECTION: f"The reader has muted its section, {_section(ranking, row)}.",
        Rule.MUTED_SOURCE: "The reader has muted its source, "
        f"{_name(pool.sources, int(pool.source[row]))}.",
        Rule.LANGUAGE: f"Its language is {language}, and the reader has chosen others.",
        Rule.OTHER_SECTION: f"Its section is {_section(ranking, row) or 'not stated'}, and this "
        "feed is limited to another one.",
        Rule.OTHER_LANGUAGE: f"Its language is {language}, and this feed asks for another one.",
    }
    if rule is Rule.TWIN:
        twin = title_of(ranking, obstacle.twin, titles)
        return f"It tells the same story as {twin}, which is shown instead of it."
    return words[rule]


def verdict_words(answer: Answer, ranking: Ranking, titles: dict[str, str]) -> str:
    """Return in one or two sentences why an article is not in a feed, or where it is."""
    verdict, most = answer.verdict, ranking.config.candidates_per_source
    if verdict is AbsenceVerdict.RULES:
        reasons = (rule_words(o, ranking, answer.row, titles) for o in answer.obstacles)
        return " ".join(["It may not be shown here.", *reasons])
    if verdict is AbsenceVerdict.DUPLICATE:
        better = title_of(ranking, answer.alike[0][0], titles)
        stories = ranking.context.view.pool.stories
        if stories is not None and stories.story[answer.alike[0][0]] == stories.story[answer.row]:
            return f"Of the articles about one event a feed shows one, here {better}."
        return f"It is nearly the same as {better}, which has the better score."
    if verdict is AbsenceVerdict.RANK:
        return _rank_words(answer, ranking, titles)
    words = {
        AbsenceVerdict.SHOWN: f"It is in this feed, at slot {answer.slot + 1}.",
        AbsenceVerdict.SOURCES: f"No source proposed it. Each source proposes up to {most} "
        "articles, and only those are compared.",
        AbsenceVerdict.CAP: f"It was proposed, but as number {answer.turn} of all proposals, and "
        f"only the first {answer.cap} are compared.",
        AbsenceVerdict.OWN_RULE: "A rule of your own, from a plugin, leaves it out.",
        AbsenceVerdict.LIMITS: _limit_words(answer),
    }
    return words[verdict]


def _limit_words(answer: Answer) -> str:
    place = answer.comparison.by_score if answer.comparison else 0
    limits = "; ".join(limit.sentence() for limit in answer.limits)
    return (
        f"It would be number {place} by its score, but a limit of the editors keeps it further "
        f"down: {limits}."
    )


def _rank_words(answer: Answer, ranking: Ranking, titles: dict[str, str]) -> str:
    comparison = answer.comparison
    if comparison is None:
        raise ValueError("the verdict RANK comes with a comparison")
    words = [f"It ranks at number {comparison.rank}, below what was shown."]
    if comparison.last is not None:
        last = title_of(ranking, comparison.last.row, titles)
        more = lack_words(comparison.lacked)
        needs = f"Its score would have to be {more} to take the place of {last}."
        words.append(needs if more else f"The last one shown is {last}.")
    if comparison.chance:
        words.append(
            f"It can also get a slot by chance, in {100 * comparison.chance:.1f} % of requests."
        )
    return " ".join(words)


def lack_words(lacked: float | None) -> str:
    """Return by how much a score had to be greater."""
    if lacked is None:
        return ""
    return f"{100 * lacked:.1f} % greater" if lacked < 1 else f"{1 + lacked:.3g} times as great"


def weight_words(part: float) -> str:
    """Return how much a group of features speaks for an article or against it (log-odds)."""
    size = abs(part)
    if size < _HARDLY:
        return "makes hardly any difference"
    strength = "speaks strongly" if size >= _STRONGLY else "speaks"
    return f"{strength} {'for' if part > 0 else 'against'} it"


def factor_words(factor: float) -> str:
    """Return what a factor does to a score, empty if nothing."""
    if abs(factor - 1) < _NOTHING:
        return ""
    if factor >= 2:
        return f"makes its score {factor:.3g} times as great"
    return f"{'raises' if factor > 1 else 'lowers'} its score by {100 * abs(factor - 1):.0f} %"


def title_of(ranking: Ranking, row: int, titles: dict[str, str]) -> str:
    """Return the title of an article in quotation marks, or its id without a title."""
    article_id = ranking.context.view.pool.ids.ids[row]
    title = titles.get(article_id)
    return f"“{title}”" if title else article_id


def _moment(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"


def _section(ranking: Ranking, row: int) -> str:
    pool = ranking.context.view.pool
    return _name(pool.section_names, int(pool.section_name[row]))


def _name(names: Vocabulary, code: int) -> str:
    return names.ids[code] if code >= 0 else ""
