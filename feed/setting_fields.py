"""Declares settings with their documentation and range, checks them, and replaces their values."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import Field, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from feed.domain import InvalidInputError

T = TypeVar("T")

ANY_NUMBER = (float("-inf"), float("inf"))
LEAST = 1e-6
"""Lowest value of a setting that must be greater than 0."""


def setting(
    default: Any,
    text: str,
    *,
    between: tuple[float, float] = ANY_NUMBER,
    among: tuple[str, ...] = (),
    only: tuple[float, ...] = (),
    title: str = "",
    is_slot: bool = False,
) -> Any:
    """Declare one documented setting.

    Args:
        default: its value where nothing else is said.
        text: what it is, and in which unit.
        between: the lowest and the highest value that make sense.
        among: the words that it may be; empty: any.
        only: the numbers that it may be, in order; empty: any in the range.
        title: what people call it on the desk.
        is_slot: whether it is a slot: counted from 0 here, and from 1 on the desk.
    """
    doc = f"{text}, counted from 0" if is_slot else text
    metadata = {
        "doc": doc,
        "text": text,
        "between": (only[0], only[-1]) if only else between,
        "among": among,
        "only": only,
        "title": title,
        "is_slot": is_slot,
    }
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check_ranges(
    config: Any, names: Iterable[str], prefix: str = "", *, upper: bool = False
) -> None:
    """Refuse settings of a configuration that lie outside their range.

    Raises:
        InvalidInputError: names the setting and its range, or the words that it may be.
    """
    for one in documented(config):
        (low, high), among = one.metadata["between"], one.metadata["among"]
        label = prefix + (one.name.upper() if upper else one.name)
        if one.name not in names:
            continue
        value = getattr(config, one.name)
        if among and value.lower() not in among:
            raise InvalidInputError(label, f"must be one of {', '.join(among)}")
        only = one.metadata["only"]
        if only and value not in only:
            raise InvalidInputError(label, f"must be {' or '.join(f'{n:g}' for n in only)}")
        if (low, high) != ANY_NUMBER and not low <= value <= high:
            rule = f"lie between {low:.12g} and {high:.12g}"
            if low == LEAST:
                rule = f"be more than 0 and at most {high:.12g}"
            raise InvalidInputError(label, f"must {rule}")


def documented(config: Any) -> list[Field[Any]]:
    """Return the fields of a configuration class, or of one of its objects, that are settings."""
    return [f for f in fields(config) if "doc" in f.metadata]


def override(config: T, values: Mapping[str, Any], prefix: str = "", *, upper: bool = False) -> T:
    """Return `config` with some fields replaced, each converted to the field's type.

    Raises:
        InvalidInputError: a name is unknown or a value has the wrong type.
    """
    kind: Any = type(config)
    hints = _type_hints(kind)
    known = {f.name for f in fields(config)}  # type: ignore[arg-type]
    changes = {}
    for name, value in values.items():
        label = prefix + (name.upper() if upper else name)
        if name not in known:
            raise InvalidInputError(label, "is not a setting")
        changes[name] = _convert(label, hints[name], value)
    return replace(config, **changes)  # type: ignore[type-var]


@cache
def _type_hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _convert(label: str, kind: Any, value: Any) -> Any:
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(k for k in get_args(kind) if k is not type(None))
    if kind is bool:
        return _convert_bool(label, value)
    if get_origin(kind) is dict:
        return _convert_weights(label, value)
    if isinstance(value, bool):
        raise InvalidInputError(label, f"must be {_words(kind)}")
    if kind is Path and value == "":
        raise InvalidInputError(label, "must not be empty")
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInputError(label, f"must be {_words(kind)}") from None
    if kind is int and isinstance(value, float) and value != number:
        raise InvalidInputError(label, "must be a whole number")
    if kind is float and not abs(number) < float("inf"):
        raise InvalidInputError(label, "must be a finite number")
    return number


def _convert_bool(label: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    answer = words.get(str(value).lower())
    if answer is None:
        raise InvalidInputError(label, "must be true or false")
    return answer


def _convert_weights(label: str, value: Any) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(label, "must be an object of numbers")
    return {str(k): _convert(f"{label}.{k}", float, v) for k, v in value.items()}


def _words(kind: Any) -> str:
    return {int: "a whole number", float: "a number", Path: "a path"}.get(kind, "text")
