"""A counter that the threads of compiled loops share, to take their pieces of work by."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _adding(number: int) -> Any:
    def add(_: Any, counter: Any) -> Any:
        def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            place = context.make_array(counter)(context, builder, arguments[0]).data
            return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), number), "acq_rel")

        return types.int64(counter), build

    return intrinsic(add)


take: Any = _adding(1)
"""``take(counter)``: the number in an int64 array of one, to which 1 is then added: never the same for two threads.

What a thread has written before is seen by those that take, or look, after it.
"""

look: Any = _adding(0)
"""``look(counter)``: the number, as it is now."""
