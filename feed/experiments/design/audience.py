"""Which requests may enter an experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from feed.custom_data import MOST_ATTRIBUTES, check_attribute, check_attribute_name
from feed.domain import InvalidInputError
from feed.features.languages import matches
from feed.features.sections import section_key

MOST_VALUES = 50
"""Values of one attribute that an audience may name."""
NO_ATTRIBUTES: Mapping[str, str] = MappingProxyType({})
"""Of a reader of whom nothing is known."""

_FIELD = "audience.attributes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Requests that may enter; an empty tuple lets everything pass.

    `attributes` maps names of the reader's attributes to the values that may enter; "" stands for
    readers of whom the attribute is not known.
    """

    platforms: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.attributes) > MOST_ATTRIBUTES:
            raise InvalidInputError(_FIELD, f"must be at most {MOST_ATTRIBUTES} attributes")
        checked = {name: _checked(name, values) for name, values in self.attributes.items()}
        object.__setattr__(self, "attributes", checked)

    def admits(
        self,
        *,
        platform: str = "",
        language: str = "",
        section: str = "",
        attributes: Mapping[str, str] = NO_ATTRIBUTES,
    ) -> bool:
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
            and all(attributes.get(name, "") in values for name, values in self.attributes.items())
        )


def _checked(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return the accepted values of an attribute as values of readers are kept."""
    check_attribute_name(_FIELD, name)
    if not 1 <= len(values) <= MOST_VALUES:
        raise InvalidInputError(f"{_FIELD}.{name}", f"must name 1 to {MOST_VALUES} values")
    return tuple(check_attribute(_FIELD, name, value) if value else "" for value in values)
