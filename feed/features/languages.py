"""Matches the languages of articles with the language that a reader asks for (BCP 47)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feed.arrays import Rows
from feed.features.ids import Vocabulary


def matches(tag: str, wanted: str) -> bool:
    """Return whether an article in the language `tag` matches the language `wanted`.

    A reader of `en` gets `en` and all its varieties, such as `en-GB`. A reader of `en-GB` gets
    `en-GB` and plain `en`, but not `en-US`. Both arguments are in lower case.

    Source: RFC 4647, Matching of Language Tags: basic filtering (3.3.1) and lookup (3.4).
    """
    return tag == wanted or tag.startswith(f"{wanted}-") or wanted.startswith(f"{tag}-")


def matching_codes(languages: Vocabulary, wanted: Iterable[str]) -> Rows:
    """Return the codes of the languages that match any of `wanted`, ascending, int64 [k].

    Args:
        languages: tags of articles, in lower case.
        wanted: languages asked for, in any case.
    """
    asked = [language.lower() for language in wanted]
    if not asked:
        return np.empty(0, np.int64)
    tags = languages.ids
    found = [code for code, tag in enumerate(tags) if any(matches(tag, one) for one in asked)]
    return np.array(found, np.int64)
