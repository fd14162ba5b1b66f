"""Pickles of plain data: what the python edition of CIFAR is stored as, without the trust that ``pickle`` asks for.

A pickle is a program: it may call whatever it can import. Here it can import nothing but the three names that
NumPy's arrays are rebuilt with, and each of them is replaced by a class of our own that takes numbers alone. Nor can
it make room for what it does not hold: five of its bytes can ask for four thousand million places for its objects.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PlainArray:
    """An array from a pickle: its ``values``. The arguments are those of NumPy's ``_reconstruct``."""

    def __init__(self, *_: object) -> None:
        self.values: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, is_fortran, raw = state
        self.values = np.frombuffer(raw, kind.name).reshape(shape, order="F" if is_fortran else "C")


class _Kind:
    """A type of numbers. The arguments are those of ``numpy.dtype``."""

    def __init__(self, name: bytes | str, *_: object) -> None:
        self.name = name.decode("ascii") if isinstance(name, bytes) else name
        if not re.fullmatch(r"[uif][1248]", self.name):
            raise pickle.UnpicklingError(f"it has an array of {self.name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        self.name = {"<": "<", ">": ">", "|": "|"}[order] + self.name


class _NoArray:
    """Stands for ``numpy.ndarray``, which is only handed on."""

    def __init__(self, *_: object) -> None:
        raise pickle.UnpicklingError("it calls numpy.ndarray")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): PlainArray,
    ("numpy", "ndarray"): _NoArray,
    ("numpy", "dtype"): _Kind,
}


_PASSED_OVER = re.compile(
    rb"(?:[012()NQRabdelostu}\]\x81\x85-\x89\x8f-\x94\x97\x98]|[Khq\x80\x82].|[M\x83]..|[Jj\x84]....|[G\x95].{8})*",
    re.DOTALL,
)
"""Instructions of a length that is known, without those that name a place by more than a byte."""

_LENGTH_BYTES = {**dict.fromkeys(b"CU\x8a\x8c", 1), **dict.fromkeys(b"BTX\x8b", 4), **dict.fromkeys(b"\x8d\x8e\x96", 8)}
"""Instructions that hold bytes, and of how many bytes the number of these is."""

_NUM_LINES = {**dict.fromkeys(b"FILPSVgp", 1), **dict.fromkeys(b"ci", 2)}
"""Instructions that hold lines of text."""


def _check_places(data: bytes) -> None:
    """Make sure that no object is put to a place beyond as many as there are bytes before.

    Raises:
        ValueError: one is, or there is an instruction that no pickle has.
    """
    at, kind = 0, 0
    while (at := _end_of_match(_PASSED_OVER, data, at)) < len(data) and data[at] != ord("."):
        kind, start = data[at], at + 1
        if kind == ord("r"):
            place, end = int.from_bytes(data[start : start + 4], "little"), start + 4
        elif kind in _LENGTH_BYTES:
            begin = start + _LENGTH_BYTES[kind]
            place, end = 0, begin + int.from_bytes(data[start:begin], "little")
        elif kind in _NUM_LINES:
            end = start
            for _ in range(_NUM_LINES[kind]):
                end = data.index(b"\n", end) + 1
            place = int(data[start : min(end, start + 20)]) if kind == ord("p") else 0
        else:
            raise ValueError(f"byte {at} is {kind:#04x}, which is no instruction")
        if not 0 <= place <= at:
            raise ValueError(f"byte {at} puts an object to the place {place}")
        at = end


def _end_of_match(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    return match.end() if match else at


def load_plain(data: bytes) -> Any:
    """Dictionaries, lists, numbers, texts and arrays of numbers from a pickle; texts of Python 2 as bytes.

    Raises:
        ValueError: it is no pickle, is broken, or asks for anything else.
    """
    try:
        _check_places(data)
        return _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken pickle ends in whatever its last instruction met
        raise ValueError(f"no pickle of plain arrays and lists ({type(error).__name__}: {error})") from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed
