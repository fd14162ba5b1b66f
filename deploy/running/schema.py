"""What the fields of a description may hold: kinds that give a JSON value as our types, or say what is wrong with it.

A kind takes the value and the name of its field, which grows on the way inside: ``states[0].shape``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from reprlib import Repr
from typing import Any

Kind = Callable[[Any, str], Any]

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlevel = 3


class UnfitError(ValueError):
    """A value that its field cannot hold: field, value, and what was expected."""

    def __init__(self, field: str, value: Any, expected: str) -> None:
        super().__init__(f"{field or 'it'} is {_short.repr(value)}, expected {expected}")


def whole(low: int, high: int) -> Kind:
    """A whole number."""

    def read(value: Any, field: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise UnfitError(field, value, f"a whole number from {low:,} to {high:,}")
        return value

    return read


def number(low: float, high: float) -> Kind:
    """A finite number."""

    def read(value: Any, field: str) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise UnfitError(field, value, f"a number from {low:g} to {high:g}")
        return float(value)

    return read


def text(longest: int = 1000) -> Kind:
    """A text."""

    def read(value: Any, field: str) -> str:
        if not isinstance(value, str) or len(value) > longest:
            raise UnfitError(field, value, f"a text of at most {longest} letters")
        return value

    return read


def choice(*choices: str) -> Kind:
    """One of some texts."""

    def read(value: Any, field: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise UnfitError(field, value, f"one of {', '.join(map(repr, choices))}")
        return value

    return read


def flag(value: Any, field: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise UnfitError(field, value, "true or false")
    return value


def some(of: Kind, least: int, most: int) -> Kind:
    """A list of so many values of one kind, as a tuple."""
    how_many = f"{least:,}" if least == most else f"{least:,} to {most:,}"

    def read(value: Any, field: str) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple) or not least <= len(value) <= most:
            raise UnfitError(field, value, f"a list of {how_many} values")
        return tuple(of(each, f"{field}[{index}]") for index, each in enumerate(value))

    return read


def optional(of: Kind) -> Kind:
    """A value of a kind, or none."""
    return lambda value, field: None if value is None else of(value, field)


def table(value: Any, field: str) -> dict[str, Any]:
    """Names with values of any kind."""
    if not isinstance(value, dict):
        raise UnfitError(field, value, "a table of names and values")
    return value


def record(fields: Mapping[str, Kind], may_lack: frozenset[str] = frozenset(), others: bool = False) -> Kind:
    """A table with these fields, some of which it may lack; ``others`` are kept as they are, or refused."""

    def read(value: Any, field: str) -> dict[str, Any]:
        values = table(value, field)
        within = f"{field}." if field else ""
        for name in fields.keys() - may_lack - values.keys():
            raise UnfitError(within + name, None, "a value")
        for name in values.keys() - fields.keys():
            if not others:
                raise UnfitError(within + name, values[name], "no such field")
        known = {name: kind(values[name], within + name) for name, kind in fields.items() if name in values}
        return {**values, **known}

    return read
