"""Compiled loops as C functions: threads enter them without the interpreter, and take their arguments from one record.

A call through numba's dispatcher looks at every argument and costs tens of microseconds; a thread that has to ask the
interpreter for its lock waits for about as long. Here one thread writes down addresses and sizes, and all read them.
"""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

from array import array
from collections.abc import Callable
from struct import pack, unpack
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

_compiled: Any = njit(inline="always")


def record(numbers: str, addresses: str, fractions: str = "") -> Any:
    """A record of whole numbers, addresses and floating point numbers, in the order of their names."""
    fields = [(name, np.int64) for name in (numbers + " " + addresses).split()]
    return np.dtype([*fields, *((name, np.float64) for name in fractions.split())])


def block(*numbers: int, fractions: tuple[float, ...] = ()) -> array[int]:
    """Numbers, addresses among them, as a record lies in memory; its address is ``buffer_info()[0]``."""
    return array("q", (*numbers, *unpack(f"{len(fractions)}q", pack(f"{len(fractions)}d", *fractions))))


def entry(run: Callable[[Any], None]) -> Any:
    """A function of the address of a record as a C function; its ``address`` is what threads call."""
    return cfunc(types.void(types.voidptr), cache=True, error_model="numpy")(run)


def _pointer(_: Any, number: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(number), build


_as_pointer: Any = intrinsic(_pointer)


@_compiled
def values(where: int, shape: Any, kind: Any) -> Any:
    """The array of a shape and type at an address."""
    return carray(_as_pointer(where), shape, kind)
