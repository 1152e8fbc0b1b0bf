"""TitleIndex: the titles of all articles, for the search of the desk."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


class TitleIndex:
    """Titles and ids by pool row, folded: without upper case and accents.

    20,000 articles take about 4 MB, and a search through all of them a few milliseconds. One
    thread writes; others may read meanwhile.
    """

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def put(self, row: int, title: str, article_id: str) -> None:
        """Keep the title and the id of an article."""
        self._texts[row] = f"{fold(title)}\n{article_id.casefold()}"

    def remove(self, row: int) -> None:
        """Forget an article that is gone."""
        self._texts.pop(row, None)

    def matching(self, words: Sequence[str], rows: Sequence[int]) -> list[int]:
        """Return the rows whose title or id has every one of some words, in their order.

        Args:
            words: folded; none: every known article.
            rows: pool rows; those of unknown articles are left out.
        """
        texts = self._texts.copy()
        found = [row for row in rows if row in texts]
        for word in words:
            found = [row for row in found if word in texts[row]]
        return found


def fold(text: str) -> str:
    """Return a text without upper case and accents."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
