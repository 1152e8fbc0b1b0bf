"""Which requests may enter an experiment."""

from __future__ import annotations

from dataclasses import dataclass

from feed.features.languages import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Requests that may enter; an empty tuple lets everything pass."""

    platforms: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    def admits(self, *, platform: str = "", language: str = "", section: str = "") -> bool:
        """Whether a request with these properties may enter the experiment.

        Upper and lower case are one. A language also matches its varieties (see `languages`).
        """
        return (
            _is_one_of(platform, self.platforms)
            and _is_one_of(section, self.sections)
            and (
                not self.languages
                or any(matches(language.lower(), wanted.lower()) for wanted in self.languages)
            )
        )


def _is_one_of(value: str, allowed: tuple[str, ...]) -> bool:
    return not allowed or value.casefold() in {one.casefold() for one in allowed}
