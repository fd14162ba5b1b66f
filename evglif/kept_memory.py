"""Memory that a training keeps from one step to the next.

The C library gives large blocks back to the system when they are free; the next step has them anew, a page at a time
and filled with noughts, which can take as long as the convolutions. ``scripts/bench/kept_memory.py`` shows how long.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

__all__ = ["kept_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""Numbers of glibc's settings, see ``man mallopt``."""

_MIB = 1 << 20
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: -1, _TOP_PAD: 64 * _MIB}
_USUAL = {_MMAP_MAX: 1 << 16, _MMAP_THRESHOLD: 32 * _MIB, _TRIM_THRESHOLD: 64 * _MIB, _TOP_PAD: _MIB // 8}
"""Where glibc's thresholds end by themselves in a program that frees large blocks."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within, memory that is freed stays with the process; at the end it is given back.

    The process takes 13 to 18 % more where it was measured. Where the C library is not glibc, or the environment sets it
    (``MALLOC_…`` or ``GLIBC_TUNABLES``), nothing changes.
    """
    library = None if _set_by_user() else _glibc()
    if library is None:
        yield
        return
    _apply(library, _KEEP)
    try:
        yield
    finally:
        _apply(library, _USUAL)
        library.malloc_trim(0)


def _apply(library: ctypes.CDLL, settings: dict[int, int]) -> None:
    for name, value in settings.items():
        library.mallopt(name, value)


def _set_by_user() -> bool:
    return any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)


@cache
def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    if not (hasattr(library, "mallopt") and hasattr(library, "malloc_trim")):
        return None
    library.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library
