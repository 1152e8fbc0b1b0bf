"""TitleIndex: the titles of all articles, for the search of the desk."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence


class TitleIndex:
    """Titles by pool row, folded: without upper case and accents.

    20,000 titles take about 3 MB, and a search through all of them a few milliseconds. One thread
    writes; others may read meanwhile.
    """

    def __init__(self) -> None:
        self._titles: dict[int, str] = {}

    def put(self, row: int, title: str) -> None:
        """Keep the title of an article."""
        self._titles[row] = fold(title)

    def remove(self, row: int) -> None:
        """Forget the title of an article that is gone."""
        self._titles.pop(row, None)

    def matching(
        self, words: Sequence[str], rows: Sequence[int], ids: Sequence[str]
    ) -> Iterator[int]:
        """Yield the rows whose title, or id, has every one of some folded words, in their order.

        Args:
            words: none: every known article.
            rows: pool rows; those without a title are left out.
            ids: article ids by row.
        """
        get = self._titles.get
        for row in rows:
            title = get(row)
            if title is not None and _has_all(words, title, ids[row]):
                yield row


def _has_all(words: Sequence[str], title: str, article_id: str) -> bool:
    missing = [word for word in words if word not in title]
    if not missing:
        return True
    article_id = article_id.casefold()
    return all(word in article_id for word in missing)


def fold(text: str) -> str:
    """Return a text without upper case and accents."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))
