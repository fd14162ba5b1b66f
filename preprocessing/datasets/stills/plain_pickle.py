"""Pickles of plain data: what the python edition of CIFAR is stored as, without the trust that ``pickle`` asks for.

A pickle is a program: it may call whatever it can import. Here it can import nothing but the three names that
NumPy's arrays are rebuilt with, and each of them is replaced by a class of our own that takes numbers alone.
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


def load_plain(data: bytes) -> Any:
    """Dictionaries, lists, numbers, texts and arrays of numbers from a pickle; texts of Python 2 as bytes.

    Raises:
        ValueError: it is no pickle, is broken, or asks for anything else.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="bytes").load()
    except Exception as error:  # a broken pickle ends in whatever its last instruction met
        raise ValueError(f"no pickle of plain arrays and lists ({type(error).__name__}: {error})") from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        allowed = _ALLOWED.get((module.replace("numpy._core", "numpy.core"), name))
        if allowed is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed
