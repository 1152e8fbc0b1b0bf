"""Reading JSON field by field, with an error that names the field and its rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from feed.domain import InvalidInputError, parse_time

E = TypeVar("E", bound=StrEnum)


class Reader:
    """One JSON object being read; `prefix` is where it stands in the whole."""

    def __init__(self, data: Any, known: set[str] | None = None, prefix: str = "") -> None:
        if not isinstance(data, Mapping):
            raise InvalidInputError(prefix.rstrip(".") or "body", "must be an object")
        self._data = data
        self._prefix = prefix
        if known is not None:
            self.only(known)

    def only(self, known: set[str], rule: str = "is not a field") -> None:
        """Refuse fields outside `known`."""
        for name in self._data:
            if name not in known:
                raise self.error(name, rule)

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._data.get(name) is not None

    def take(self, values: dict[str, Any], name: str, read: Callable[[str], Any]) -> None:
        """Put a field into `values` if it is there."""
        if self.has(name):
            values[name] = read(name)

    def value(self, name: str) -> Any:
        """Return a field as it is; None if it is not there."""
        return self._data.get(name)

    def text(self, name: str, longest: int = 0) -> str:
        """Return a required string; with `longest`, of 1 to that many characters."""
        value = self._data.get(name)
        if not isinstance(value, str):
            raise self.error(name, "must be text")
        if longest and not 1 <= len(value.strip()) <= len(value) <= longest:
            raise self.error(name, f"must be text of 1 to {longest} characters")
        return value

    def number(self, name: str) -> float:
        """Return a required finite number."""
        value = self._data.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(name, "must be a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.error(name, "must be a finite number")
        return number

    def whole(self, name: str) -> int:
        """Return a required whole number."""
        number = self.number(name)
        if number != int(number):
            raise self.error(name, "must be a whole number")
        return int(number)

    def time(self, name: str) -> float:
        """Return a required time in ISO 8601, epoch seconds."""
        return parse_time(f"{self._prefix}{name}", self.text(name))

    def flag(self, name: str) -> bool:
        """Return a required truth value."""
        value = self._data.get(name)
        if not isinstance(value, bool):
            raise self.error(name, "must be true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a required list of strings."""
        value = self._data.get(name)
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.error(name, "must be a list of texts")
        return tuple(value)

    def pair(self, name: str) -> tuple[int, int]:
        """Return a required list of two whole numbers."""
        value = self._data.get(name)
        if isinstance(value, list | tuple) and [type(v) for v in value] == [int, int]:
            return value[0], value[1]
        raise self.error(name, "must be two whole numbers")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return a required object."""
        value = self._data.get(name)
        if not isinstance(value, Mapping):
            raise self.error(name, "must be an object")
        return dict(value)

    def text_map(self, name: str) -> dict[str, str]:
        """Return a required object of strings."""
        value = self.mapping(name)
        if not all(isinstance(v, str) for v in value.values()):
            raise self.error(name, "must be an object of texts")
        return value

    def choice(self, name: str, options: type[E]) -> E:
        """Return a required member of an enumeration."""
        return options(self.one_of(name, [option.value for option in options]))

    def one_of(self, name: str, options: Sequence[str]) -> str:
        """Return a required string out of some."""
        value = self.text(name)
        if value not in options:
            raise self.error(name, f"must be one of {', '.join(options)}")
        return value

    def part(self, name: str) -> Reader:
        """Return a required object, to be read in turn."""
        return Reader(self._data.get(name), prefix=f"{self._prefix}{name}.")

    def parts(self, name: str) -> list[Reader]:
        """Return a required list of objects, to be read in turn."""
        value = self._data.get(name)
        if not isinstance(value, list | tuple):
            raise self.error(name, "must be a list of objects")
        return [Reader(v, prefix=f"{self._prefix}{name}.{i}.") for i, v in enumerate(value)]

    def error(self, name: str, rule: str) -> InvalidInputError:
        """Return the error of a field that breaks a rule."""
        return InvalidInputError(f"{self._prefix}{name}", rule)
