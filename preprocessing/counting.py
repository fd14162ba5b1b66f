"""A counter that the threads of compiled loops share, to take their pieces of work by."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


def _take(_: Any, counter: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number = context.make_array(counter)(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", number, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), build


take: Any = intrinsic(_take)
"""``take(counter)``: the number in an int64 array of one, to which 1 is then added: never the same for two threads."""
