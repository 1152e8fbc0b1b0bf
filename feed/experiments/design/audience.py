"""Which requests may enter an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from feed.features.languages import matches
from feed.features.sections import section_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Requests that may enter; an empty tuple lets everything pass."""

    platforms: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def admits(self, *, platform: str = "", language: str = "", section: str = "") -> bool:
        """Whether a request with these properties may enter the experiment.

        Upper and lower case make no difference. A language also matches its varieties (see
        `languages`).
        """
        return (
            (not self.platforms or platform.casefold() in map(str.casefold, self.platforms))
            and (not self.sections or section_key(section) in map(section_key, self.sections))
            and (
                not self.languages
                or any(matches(language.lower(), wanted.lower()) for wanted in self.languages)
            )
        )
