"""What the API answers about why a feed is as it is."""

from __future__ import annotations

from pydantic import BaseModel, Field

from feed.ranking.absence import AbsenceVerdict
from feed.ranking.obstacles import Rule
from feed.ranking.source_places import Lack
from feed.service.answers import ReasonOut


class NamedArticleOut(BaseModel):
    """An article by id and title."""

    article_id: str
    title: str | None = Field(description="null if the article is gone")


class StandingOut(BaseModel):
    """What an article had in a ranking."""

    score: float = Field(description="the product of `factors`")
    factors: dict[str, float] = Field(description="what the score is the product of")
    margin: float = Field(description="the ranker's score in log-odds")
    groups: dict[str, float] = Field(description="what each group of features adds to the margin")
    rest: float = Field(description="what the margin has beside them")
    features: dict[str, float | None] = Field(description="null: not known")
    sources: dict[str, int] = Field(description="place, from 1, in each source that proposed it")


class RunnerUpOut(BaseModel):
    """Who would have stood there otherwise."""

    article: NamedArticleOut
    lacked: float | None = Field(
        description="by which share its score had to be greater; null where chance, an editor or "
        "a limit had a part in it"
    )


class SlotAccountOut(StandingOut):
    """How an article came to its slot."""

    position: int = Field(description="from 0")
    ranking: str = Field(description="name of the ranking that put it there, if there are two")
    article: NamedArticleOut
    reasons: list[ReasonOut]
    trending: bool
    pinned: bool
    explored: bool
    limit: str | None = Field(description="the newsroom's limit that raised it there")
    propensity: float
    runner_up: RunnerUpOut | None


class KeptLimitOut(BaseModel):
    """What became of one of the newsroom's limits."""

    text: str
    met: bool
    moved: int = Field(description="articles that it moved")


class RankingOut(BaseModel):
    """One ranking of a feed; an experiment may interleave two."""

    name: str
    model_version: str
    eligible: int = Field(description="articles that may be shown to this reader")
    dropped: dict[str, int] = Field(description="articles that each rule keeps out")
    proposed: dict[str, int] = Field(description="articles that each source proposed")
    candidates: int
    duplicates: int
    limits: list[KeptLimitOut]
    widened_to_hours: float | None


class FeedAccountOut(BaseModel):
    """A feed as of now, with the account of each slot."""

    at: str
    personalization: bool
    experiments: dict[str, str]
    rankings: list[RankingOut]
    slots: list[SlotAccountOut]


class ReaderAccountOut(FeedAccountOut):
    """A reader's feed as of now."""

    user_id: str = Field(description="another one than asked for if that id was merged")


class RuleOut(BaseModel):
    """A rule that keeps an article out."""

    rule: Rule
    text: str
    stands_for_it: str | None = Field(description="id of the twin that is shown instead")


class SourcePlaceOut(BaseModel):
    """What one candidate source says of an article."""

    source: str
    place: int | None = Field(description="from 1")
    lacks: Lack | None = Field(description="null: it was proposed")
    text: str


class AlikeOut(BaseModel):
    """A better article that tells the same story."""

    article: NamedArticleOut
    cosine: float


class LastShownOut(StandingOut):
    """The last ranked article that was shown."""

    article: NamedArticleOut


class ComparisonOut(BaseModel):
    """The article beside the last one that was shown."""

    rank: int = Field(description="from 1")
    rank_by_score: int = Field(description="the same if there were no limits")
    lacked: float | None = Field(description="by which share its score had to be greater")
    chance: float = Field(description="probability of coming to a slot by being drawn")
    last_shown: LastShownOut | None


class MissingOut(BaseModel):
    """Why an article is not among the slots of a ranking, or where it is."""

    verdict: AbsenceVerdict
    text: str
    position: int | None = Field(description="from 0, in the whole list of the ranking")
    rules: list[RuleOut]
    stand_in: MissingOut | None = Field(description="the same about the twin that is shown instead")
    sources: list[SourcePlaceOut]
    turn: int | None = Field(description="place, from 1, among all proposals")
    alike: list[AlikeOut]
    limits: list[str] = Field(description="the newsroom's limits that keep it further down")
    standing: StandingOut | None
    comparison: ComparisonOut | None


class RankedMissingOut(MissingOut):
    """The same, of one ranking."""

    ranking: str


class WhyNotOut(BaseModel):
    """Why an article is not in a reader's feed."""

    user_id: str
    at: str
    article: NamedArticleOut
    position: int | None = Field(description="from 0, if it is in the feed")
    answers: list[RankedMissingOut] = Field(description="one for each ranking of the feed")


class MoveOut(BaseModel):
    """An article at another slot."""

    article_id: str
    before: int
    after: int


class DifferenceOut(BaseModel):
    """How the second feed differs from the first."""

    moved: list[MoveOut]
    new: list[str]
    gone: list[str]
    same: int
    overlap: float = Field(description="share of the articles that are in both")


class SimulationOut(BaseModel):
    """The feeds of two readers who do not exist."""

    first: FeedAccountOut
    second: FeedAccountOut
    difference: DifferenceOut
