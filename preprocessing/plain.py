"""Plain values of files that anybody may have written: JSON, and named values that become a dataclass.

What a format of ours may hold is stated by dataclasses: names and types by their fields, ranges by their
``__post_init__``. So each is checked in one place, and an error names the field, its value and what was expected; who
reads a file puts its name before that, and the next step behind it.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from preprocessing.terminal import as_text

DEEPEST = 32
"""How deep the values of our files may be nested; theirs are four deep at most."""

T = TypeVar("T")


def brief(value: object) -> str:
    """A value for a message, however large it is or however often it holds itself."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 2, 60, 60, 40
    return short.repr(value)


def check_extent(value: object, most: int) -> None:
    """Make sure that nested values are no deeper and no larger than they may be.

    What is referred to several times counts each time: so much would be printed, copied or compared.

    Args:
        value: of mappings, sequences and texts; others count as one.
        most: values and letters.

    Raises:
        ValueError: they are.
    """
    rest: list[tuple[object, int]] = [(value, 0)]
    num = 0
    while rest:
        each, depth = rest.pop()
        num += 1 + (len(each) if isinstance(each, str | bytes) else 0)
        if depth > DEEPEST:
            raise ValueError(f"its values are nested more than {DEEPEST} deep")
        if isinstance(each, Mapping):
            inside: list[object] = [*each.keys(), *each.values()]
        else:
            inside = list(each) if isinstance(each, list | tuple) else []
        if num + len(rest) + len(inside) > most:
            raise ValueError(f"its values, each written out wherever it is referred to, are more than {most:,}")
        rest += [(one, depth + 1) for one in inside]


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, in which all numbers are finite, as JSON has it.

    Raises:
        ValueError: it is no JSON, or nested too deep.
    """
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError(f"its values are nested more than {DEEPEST} deep") from None
    check_extent(value, 2 * len(text) + 1)
    return value


def json_text(value: Any, indent: int | None = None, ascii_only: bool = False) -> str:
    """Plain values as JSON that every reader takes.

    A number that is not finite, which JSON does not have, is null; strings are Unicode, as by ``as_text``.
    """
    return json.dumps(_as_json(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def from_plain(kind: type[T], values: object) -> T:
    """A dataclass out of a mapping with its fields; whole numbers are taken for others, lists for tuples.

    Raises:
        ValueError: a field is missing or unknown, of another type, not finite, or out of range.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{brief(values)} stands where named values are expected")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    foreign = [name for name in values if name not in known]
    if foreign:
        raise ValueError(f"{brief(foreign[0])} is unknown; expected {', '.join(known)}")
    missing = [name for name, field in known.items() if name not in values and _is_needed(field)]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    hints = get_type_hints(kind)
    return kind(**{name: fitting(name, value, hints[name]) for name, value in values.items()})


def fitting(name: str, value: object, hint: Any) -> Any:
    """A value as its annotation wants it; ``name`` is for the message.

    Raises:
        ValueError: it is of another type, or not finite.
    """
    for wanted in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        found = _as_one(name, value, wanted)
        if found is not None or (value is None and wanted in (NoneType, Any)):
            return found
    raise ValueError(f"{name} is {brief(value)}; expected {_said(hint)}")


def _as_one(name: str, value: object, wanted: Any) -> Any:
    """A value as one annotation wants it; None where it is of another type."""
    kind = get_origin(wanted) or wanted
    if kind is Any:
        return value
    if kind is tuple and isinstance(value, list | tuple):
        return _as_tuple(name, value, get_args(wanted))
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, Mapping):
        return _as_dataclass(name, value, kind)
    if kind in (dict, list, Mapping):
        return _as_collection(name, value, kind, get_args(wanted))
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and _is_finite(value) else None
    return value if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)) else None


def _as_tuple(name: str, values: Sequence[object], wanted: tuple[Any, ...]) -> tuple[Any, ...] | None:
    if wanted[-1:] == (Ellipsis,):
        wanted = wanted[:1] * len(values)
    if len(wanted) != len(values):
        return None
    pairs = enumerate(zip(values, wanted, strict=True))
    return tuple(fitting(f"{name}[{place}]", value, hint) for place, (value, hint) in pairs)


def _as_collection(name: str, value: Any, kind: type[Any], of: tuple[Any, ...]) -> Any:
    if not isinstance(value, kind):
        return None
    if kind is list:
        return [fitting(f"{name}[{i}]", each, of[0]) for i, each in enumerate(value)]
    named = {fitting(f"a name in {name}", key, of[0]): each for key, each in value.items()}
    return {key: fitting(f"{name}.{key}", each, of[1]) for key, each in named.items()}


def _as_dataclass(name: str, value: Mapping[Any, Any], kind: type[T]) -> T:
    try:
        return from_plain(kind, value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _said(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    return text.replace("NoneType", "nothing").replace("typing.", "").replace("collections.abc.", "")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{brief(text)} is no number of JSON")


def _as_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return as_text(value)
    if isinstance(value, Mapping):
        return {_as_json(name): _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value
