"""Languages by BCP 47: which tags of articles answer to what a reader asks for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from feed.arrays import Rows
from feed.features.ids import Vocabulary


def speaks(tag: str, wanted: str) -> bool:
    """Return whether an article in the language `tag` answers to the language `wanted`.

    `en` is answered by `en` and by each of its kinds (`en-GB`); `en-GB` by `en-GB` and, because
    nothing nearer may be there, by plain `en`, but not by `en-US`. Both are in lower case.

    Source: RFC 4647, Matching of Language Tags: basic filtering (3.3.1) and lookup (3.4).
    """
    return tag == wanted or tag.startswith(f"{wanted}-") or wanted.startswith(f"{tag}-")


def matching_codes(languages: Vocabulary, wanted: Iterable[str]) -> Rows:
    """Return the codes of the languages that answer to any of `wanted`, ascending, int64 [k].

    Args:
        languages: tags of articles, in lower case.
        wanted: languages asked for, in any case.
    """
    asked = [language.lower() for language in wanted]
    if not asked:
        return np.empty(0, np.int64)
    tags = languages.ids
    found = [code for code, tag in enumerate(tags) if any(speaks(tag, one) for one in asked)]
    return np.array(found, np.int64)
