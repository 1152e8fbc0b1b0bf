"""The built-in newsroom's articles: short, original, made with generative AI, and labelled so."""

from __future__ import annotations

from importlib import resources

import orjson

from feed.domain import AiGenerated, Article


def load_articles(now: float) -> list[Article]:
    """Return the sample articles, published within the 48 hours before `now` (epoch seconds)."""
    text = resources.files("feed.newsroom").joinpath("articles.jsonl").read_text(encoding="utf-8")
    return [_build_article(orjson.loads(line), now) for line in text.splitlines() if line]


def _build_article(record: dict[str, object], now: float) -> Article:
    published_hours_ago = float(str(record.pop("published_hours_ago")))
    tags = record.pop("tags")
    if not isinstance(tags, list):
        raise TypeError("tags must be a list")
    ai_generated = AiGenerated(str(record.pop("ai_generated")))
    return Article(
        **record,  # type: ignore[arg-type]
        tags=tuple(tags),
        ai_generated=ai_generated,
        published_at=now - published_hours_ago * 3600.0,
    )
