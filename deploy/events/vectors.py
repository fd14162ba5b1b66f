"""Rows of weights added up in the processor's vectors: loops that numba has no words for, written in LLVM's.

Vectors are LLVM's own, 4, 8 or 16 numbers of 32 bits wide, and no instruction of one processor is named. All widths are
compiled; which one runs is an argument. Every number is summed in the order of the list, whatever the width, so that
results are the same bit for bit.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = (4, 8, 16)
"""Numbers of 32 bits in a vector: 128, 256 and 512 bits."""

GROUP = 16
"""Neurons that fire together."""

FLOAT, SHORT, LONG = 0, 1, 2
"""fp32 weights and sums; int8 weights with int16 sums; int8 weights with int32 sums."""
KINDS = (FLOAT, SHORT, LONG)
BLOCKS = (16, 32, 64)
"""Channels whose sums stay in registers."""

_BYTE, _I16, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_WEIGHTS, _SUMS = (_F32, _BYTE, _BYTE), (_F32, _I16, _I32)
_WEIGHT_BYTES, _SUM_BYTES = (4, 1, 1), (4, 2, 4)


_WIDTHS = [(block, lanes) for block in BLOCKS for lanes in LANES]
_VARIANTS = [(kind, *width) for kind in KINDS for width in _WIDTHS]


def variant(kind: int, block: int, lanes: int) -> int:
    """The number of a loop: kind of numbers, channels of a block, width of a vector."""
    return _VARIANTS.index((kind, block, lanes))


class _Rows:
    """Writes loops that add rows of weights to a block of sums."""

    def __init__(self, builder: ir.IRBuilder, number: int) -> None:
        self.builder = builder
        kind, self.block, self.lanes = _VARIANTS[number]
        if kind == SHORT:
            self.lanes = min(2 * self.lanes, self.block)
        self.is_float = kind == FLOAT
        self.weight_bytes, self.sum_bytes = _WEIGHT_BYTES[kind], _SUM_BYTES[kind]
        self.weights = ir.VectorType(_WEIGHTS[kind], self.lanes)
        self.sums = ir.VectorType(_SUMS[kind], self.lanes)
        self.num_vectors = self.block // self.lanes

    def load(self, pointer: Any, kind: Any, alignment: int) -> list[Any]:
        """Consecutive vectors."""
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        loaded = [self.builder.load(self.builder.gep(pointer, [_I64(at)])) for at in range(self.num_vectors)]
        for each in loaded:
            each.align = alignment
        return loaded

    def store(self, values: list[Any], pointer: Any) -> None:
        pointer = self.builder.bitcast(pointer, self.sums.as_pointer())
        for at, value in enumerate(values):
            self.builder.store(value, self.builder.gep(pointer, [_I64(at)])).align = self.sum_bytes

    def row(self, base: Any, number: Any) -> list[Any]:
        """A row of weights, as wide as the sums."""
        offset = self.builder.mul(number, _I64(self.block * self.weight_bytes))
        loaded = self.load(self.builder.gep(base, [offset]), self.weights, self.weight_bytes)
        return loaded if self.is_float else [self.builder.sext(each, self.sums) for each in loaded]

    def plus(self, first: list[Any], second: list[Any]) -> list[Any]:
        add = self.builder.fadd if self.is_float else self.builder.add
        return [add(*pair) for pair in zip(first, second, strict=True)]

    def times(self, row: list[Any], factor: Any) -> list[Any]:
        """A row times one number; multiplied and added apart, so that all processors round alike."""
        one = self.builder.insert_element(ir.Constant(self.sums, ir.Undefined), factor, _I32(0))
        mask = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        spread = self.builder.shuffle_vector(one, ir.Constant(self.sums, ir.Undefined), mask)
        return [self.builder.fmul(each, spread) for each in row]

    def over(self, start: Any, stop: Any, sums: Any, one: Any) -> None:
        """Sums += what ``one(position)`` gives, for all positions from start to stop; where it gives none, nothing."""
        builder = self.builder
        blocks = {name: builder.append_basic_block(name) for name in ("before", "rows", "next", "after", "done")}
        builder.cbranch(builder.icmp_signed("<", start, stop), blocks["before"], blocks["done"])
        builder.position_at_end(blocks["before"])
        begun = self.load(sums, self.sums, self.sum_bytes)
        builder.branch(blocks["rows"])
        builder.position_at_end(blocks["rows"])
        position = builder.phi(_I64)
        kept = [builder.phi(self.sums) for _ in begun]
        added, skipped = one(position, kept, blocks["next"])
        came_from = builder.block
        builder.branch(blocks["next"])
        builder.position_at_end(blocks["next"])
        following = [builder.phi(self.sums) for _ in begun]
        for phi, new, old in zip(following, added, kept, strict=True):
            phi.add_incoming(new, came_from)
            if skipped is not None:
                phi.add_incoming(old, skipped)
        after = builder.add(position, _I64(1))
        position.add_incoming(start, blocks["before"])
        position.add_incoming(after, blocks["next"])
        for phi, first, new in zip(kept, begun, following, strict=True):
            phi.add_incoming(first, blocks["before"])
            phi.add_incoming(new, blocks["next"])
        builder.cbranch(builder.icmp_signed("<", after, stop), blocks["rows"], blocks["after"])
        builder.position_at_end(blocks["after"])
        self.store(following, sums)
        builder.branch(blocks["done"])
        builder.position_at_end(blocks["done"])


def _pointer(builder: ir.IRBuilder, address: Any, kind: Any = _BYTE) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _dispatch(builder: ir.IRBuilder, number: Any, chosen: range, write: Any) -> None:
    """The code of the chosen loop."""
    end = builder.append_basic_block("end")
    switch = builder.switch(number, end)
    for each in chosen:
        block = builder.append_basic_block(f"variant{each}")
        switch.add_case(_I64(each), block)
        builder.position_at_end(block)
        write(_Rows(builder, each))
        builder.branch(end)
    builder.position_at_end(end)


def _add_rows(_: Any, number: Any, sums: Any, base: Any, rows: Any, start: Any, stop: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number, sums, base, rows, start, stop = arguments

        def write(to: _Rows) -> None:
            names, weights = _pointer(builder, rows, _I32), _pointer(builder, base)

            def one(position: Any, kept: Any, _next: Any) -> Any:
                name = builder.zext(builder.load(builder.gep(names, [position])), _I64)
                return to.plus(kept, to.row(weights, name)), None

            to.over(start, stop, _pointer(builder, sums), one)

        _dispatch(builder, number, range(len(_VARIANTS)), write)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 6), build


add_rows: Any = intrinsic(_add_rows)
"""``add_rows(variant, sums, base, rows, start, stop)``: sums[:] += base[rows[i]] for i from start to stop.

Addresses of: a block of sums; the row of number 0; uint32 numbers of rows.
"""


def _add_products(_: Any, number: Any, sums: Any, base: Any, values: Any, start: Any, stop: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number, sums, base, values, start, stop = arguments

        def write(to: _Rows) -> None:
            numbers, weights = _pointer(builder, values, _F32), _pointer(builder, base)

            def one(position: Any, kept: Any, following: Any) -> Any:
                value = builder.load(builder.gep(numbers, [builder.add(start, position)]))
                test, work = builder.block, builder.append_basic_block("work")
                builder.cbranch(builder.fcmp_ordered("==", value, ir.Constant(_F32, 0)), following, work)
                builder.position_at_end(work)
                return to.plus(kept, to.times(to.row(weights, position), value)), test

            to.over(_I64(0), builder.sub(stop, start), _pointer(builder, sums), one)

        _dispatch(builder, number, range(len(_WIDTHS)), write)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 6), build


add_products: Any = intrinsic(_add_products)
"""``add_products(variant, sums, base, values, start, stop)``: sums[:] += values[i] · base[i − start], where not nought.

Addresses of: a block of sums; the row of values[start]; float32 values. fp32 alone.
"""


def _fire(_: Any, coefficients: Any, stride: Any, gain: Any, current: Any, u: Any, s: Any, strict: Any) -> Any:
    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        coefficients, stride, *addresses, strict = arguments
        kind = ir.VectorType(_F32, GROUP)
        rows = [builder.add(coefficients, builder.mul(stride, _I64(row))) for row in range(5)]
        pointers = [_pointer(builder, each, kind) for each in (*rows, *addresses)]
        a, b, r, d, v, g, x, u, s = (builder.load(each) for each in pointers)
        for each in (a, b, r, d, v, g, x, u, s):
            each.align = 4
        update = builder.fadd(builder.fsub(builder.fmul(a, u), b), builder.fmul(g, x))
        update = builder.fsub(update, builder.fmul(s, builder.fadd(builder.fmul(r, u), d)))
        above, reached = builder.fcmp_ordered(">", update, v), builder.fcmp_ordered(">=", update, v)
        spikes = builder.select(builder.trunc(strict, ir.IntType(1)), above, reached)
        builder.store(update, pointers[-2]).align = 4
        builder.store(builder.uitofp(spikes, kind), pointers[-1]).align = 4
        return builder.zext(builder.bitcast(spikes, ir.IntType(GROUP)), _I64)

    return types.uint64(*(types.int64,) * 7), build


fire: Any = intrinsic(_fire)
"""``fire(coefficients, stride, gain, current, u, s, strict)``: a step of ``GROUP`` neurons; the bits of their spikes.

U and S become those of the next step; the neurons fire at U > v, or where strict is 0 at U ≥ v. Operations come in the
order of the recurrence's reference and are never fused. Addresses of: a in rows a, b, r, d, v, so many bytes apart; g;
X; U and S of the step before.
"""


def _lowest(_: Any, bits: Any) -> Any:
    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), build


lowest: Any = intrinsic(_lowest)
"""The number of the lowest bit that is set; there must be one."""
