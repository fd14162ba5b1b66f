"""Rows of weights added up in the processor's vectors: loops that numba has no words for, written in LLVM's.

Vectors are LLVM's own, 4, 8 or 16 numbers of 32 bits wide, and no instruction of one processor is named. All widths are
compiled; which one runs is an argument. Every number is summed in the same order, whatever the width, so that results
are the same bit for bit.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
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
"""Channels of a pixel whose sums are kept together."""
TAPS = (1, 3)
"""Neighbouring pixels to whose sums one input adds."""
MOST_VECTORS = 12
"""Sums that stay in registers while one pixel's inputs are gone through."""

_BYTE, _I16, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_WEIGHTS, _SUMS = (_F32, _BYTE, _BYTE), (_F32, _I16, _I32)
WEIGHT_BYTES, SUM_BYTES = (4, 1, 1), (4, 2, 4)


def _vector(kind: int, block: int, lanes: int) -> int:
    """Numbers in a vector of sums: twice as many of 16 bits."""
    return min(2 * lanes, block) if kind == SHORT else lanes


_VARIANTS = [
    (kind, block, lanes, taps)
    for kind in KINDS
    for block in BLOCKS
    for lanes in LANES
    for taps in TAPS
    if taps * block // _vector(kind, block, lanes) <= MOST_VECTORS
]


def variant(kind: int, block: int, lanes: int, taps: int) -> int:
    """The number of a loop: kind of numbers, channels of a block, width of a vector, pixels that an input adds to."""
    return _VARIANTS.index((kind, block, lanes, taps))


def widest_block(kind: int, lanes: int, taps: int) -> int:
    """Channels of the widest block whose sums stay in registers."""
    return max(block for of_kind, block, *rest in _VARIANTS if (of_kind, *rest) == (kind, lanes, taps))


class _Sums:
    """Writes loops that add rows of weights ``[taps, block]`` to the sums of as many pixels, kept in registers."""

    def __init__(self, builder: ir.IRBuilder, number: int, sums: Any, weights: Any) -> None:
        self.builder = builder
        kind, self.block, lanes, self.taps = _VARIANTS[number]
        self.lanes = _vector(kind, self.block, lanes)
        self.is_float = kind == FLOAT
        self.weight_bytes, self.sum_bytes = WEIGHT_BYTES[kind], SUM_BYTES[kind]
        self.weight_type = ir.VectorType(_WEIGHTS[kind], self.lanes)
        self.sum_type = ir.VectorType(_SUMS[kind], self.lanes)
        self._sums, self._weights = _pointer(builder, sums), _pointer(builder, weights)

    def load(self, pointer: Any, kind: Any, alignment: int) -> list[Any]:
        """Consecutive vectors."""
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        num = self.taps * self.block // self.lanes
        loaded = [self.builder.load(self.builder.gep(pointer, [_I64(at)])) for at in range(num)]
        for each in loaded:
            each.align = alignment
        return loaded

    def begun(self) -> list[Any]:
        """The sums as they are."""
        return self.load(self._sums, self.sum_type, self.sum_bytes)

    def keep(self, values: list[Any]) -> None:
        """Write the sums back."""
        pointer = self.builder.bitcast(self._sums, self.sum_type.as_pointer())
        for at, value in enumerate(values):
            self.builder.store(value, self.builder.gep(pointer, [_I64(at)])).align = self.sum_bytes

    def row(self, number: Any) -> list[Any]:
        """An input's weights, as wide as the sums."""
        offset = self.builder.mul(number, _I64(self.taps * self.block * self.weight_bytes))
        loaded = self.load(self.builder.gep(self._weights, [offset]), self.weight_type, self.weight_bytes)
        return loaded if self.is_float else [self.builder.sext(each, self.sum_type) for each in loaded]

    def plus(self, first: list[Any], second: list[Any]) -> list[Any]:
        add = self.builder.fadd if self.is_float else self.builder.add
        return [add(*pair) for pair in zip(first, second, strict=True)]

    def times(self, row: list[Any], factor: Any) -> list[Any]:
        """A row times one number; multiplied and added apart, so that all processors round alike."""
        one = self.builder.insert_element(ir.Constant(self.sum_type, ir.Undefined), factor, _I32(0))
        mask = ir.Constant(ir.VectorType(_I32, self.lanes), [0] * self.lanes)
        spread = self.builder.shuffle_vector(one, ir.Constant(self.sum_type, ir.Undefined), mask)
        return [self.builder.fmul(each, spread) for each in row]

    def phis(self) -> list[Any]:
        return [self.builder.phi(self.sum_type) for _ in range(self.taps * self.block // self.lanes)]


def _join(phis: list[Any], values: list[Any], block: Any) -> None:
    for phi, value in zip(phis, values, strict=True):
        phi.add_incoming(value, block)


def _pointer(builder: ir.IRBuilder, address: Any, kind: Any = _BYTE) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _dispatch(builder: ir.IRBuilder, number: Any, chosen: list[int], write: Callable[[int], None]) -> None:
    """The code of the chosen loop."""
    end = builder.append_basic_block("end")
    switch = builder.switch(number, end)
    for each in chosen:
        block = builder.append_basic_block(f"variant{each}")
        switch.add_case(_I64(each), block)
        builder.position_at_end(block)
        write(each)
        builder.branch(end)
    builder.position_at_end(end)


def _add_active(_: Any, number: Any, sums: Any, weights: Any, word: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number, sums, weights, word = arguments

        def write(which: int) -> None:
            to = _Sums(builder, which, sums, weights)
            begun, before = to.begun(), builder.block
            loop, after = builder.append_basic_block("active"), builder.append_basic_block("after")
            builder.branch(loop)
            builder.position_at_end(loop)
            left, kept = builder.phi(_I64), to.phis()
            made = to.plus(kept, to.row(builder.cttz(left, ir.Constant(ir.IntType(1), 1))))
            following = builder.and_(left, builder.sub(left, _I64(1)))
            left.add_incoming(word, before)
            left.add_incoming(following, loop)
            _join(kept, begun, before)
            _join(kept, made, loop)
            builder.cbranch(builder.icmp_unsigned("!=", following, _I64(0)), loop, after)
            builder.position_at_end(after)
            to.keep(made)

        _dispatch(builder, number, list(range(len(_VARIANTS))), write)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.uint64), build


add_active: Any = intrinsic(_add_active)
"""``add_active(variant, sums, weights, word)``: sums[:] += weights[i] for every bit i set in a word, which is not 0.

Addresses of: the sums of neighbouring pixels ``[taps, block]``; weights ``[inputs, taps, block]``.
"""


def _add_products(_: Any, number: Any, sums: Any, weights: Any, values: Any, count: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        number, sums, weights, values, count = arguments

        def write(which: int) -> None:
            to = _Sums(builder, which, sums, weights)
            begun, before, numbers = to.begun(), builder.block, _pointer(builder, values, _F32)
            names = ("values", "work", "next", "after")
            loop, work, following, after = (builder.append_basic_block(name) for name in names)
            builder.branch(loop)
            builder.position_at_end(loop)
            at, kept = builder.phi(_I64), to.phis()
            value = builder.load(builder.gep(numbers, [at]))
            builder.cbranch(builder.fcmp_ordered("==", value, ir.Constant(_F32, 0)), following, work)
            builder.position_at_end(work)
            added = to.plus(kept, to.times(to.row(at), value))
            builder.branch(following)
            builder.position_at_end(following)
            made, advanced = to.phis(), builder.add(at, _I64(1))
            _join(made, kept, loop)
            _join(made, added, work)
            at.add_incoming(_I64(0), before)
            at.add_incoming(advanced, following)
            _join(kept, begun, before)
            _join(kept, made, following)
            builder.cbranch(builder.icmp_signed("<", advanced, count), loop, after)
            builder.position_at_end(after)
            to.keep(made)

        floats = [each for each, (kind, *_) in enumerate(_VARIANTS) if kind == FLOAT]
        _dispatch(builder, number, floats, write)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), build


add_products: Any = intrinsic(_add_products)
"""``add_products(variant, sums, weights, values, count)``: sums[:] += values[i] · weights[i] for i < count, 1 or more.

Values that are nought are passed over. Addresses as of ``add_active``, and of float32 values. fp32 alone.
"""


def _add_scaled(_: Any, kind: Any, out: Any, base: Any, scale: Any, sums: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        kind, *addresses, sums = arguments
        floats = ir.VectorType(_F32, GROUP)
        out, base, scale = (_pointer(builder, each, floats) for each in addresses)

        def write(which: int) -> None:
            given = builder.load(_pointer(builder, sums, ir.VectorType(_SUMS[which], GROUP)))
            loaded = [given, builder.load(base), builder.load(scale)]
            for each, alignment in zip(loaded, (SUM_BYTES[which], 4, 4), strict=True):
                each.align = alignment
            number = given if which == FLOAT else builder.sitofp(given, floats)
            builder.store(builder.fadd(loaded[1], builder.fmul(loaded[2], number)), out).align = 4

        _dispatch(builder, kind, list(KINDS), write)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), build


add_scaled: Any = intrinsic(_add_scaled)
"""``add_scaled(kind, out, base, scale, sums)``: out[:] = base[:] + scale[:] · sums[:], of ``GROUP`` channels.

Addresses, of float32 but for the sums, which are of their kind.
"""


def _fire(_: Any, coefficients: Any, stride: Any, gain: Any, current: Any, u: Any, to: Any, s: Any, strict: Any) -> Any:
    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        coefficients, stride, *addresses, to, spikes, strict = arguments
        kind, truth = ir.VectorType(_F32, GROUP), ir.VectorType(ir.IntType(1), GROUP)
        rows = [builder.add(coefficients, builder.mul(stride, _I64(row))) for row in range(5)]
        a, b, r, d, v, g, x, u = (builder.load(_pointer(builder, each, kind)) for each in (*rows, *addresses))
        for each in (a, b, r, d, v, g, x, u):
            each.align = 4
        fired = builder.uitofp(builder.bitcast(builder.trunc(spikes, ir.IntType(GROUP)), truth), kind)
        update = builder.fadd(builder.fsub(builder.fmul(a, u), b), builder.fmul(g, x))
        update = builder.fsub(update, builder.fmul(fired, builder.fadd(builder.fmul(r, u), d)))
        above, reached = builder.fcmp_ordered(">", update, v), builder.fcmp_ordered(">=", update, v)
        now = builder.select(builder.trunc(strict, ir.IntType(1)), above, reached)
        builder.store(update, _pointer(builder, to, kind)).align = 4
        return builder.zext(builder.bitcast(now, ir.IntType(GROUP)), _I64)

    return types.uint64(*(types.int64,) * 6, types.uint64, types.int64), build


fire: Any = intrinsic(_fire)
"""``fire(coefficients, stride, gain, current, u, to, spikes, strict)``: a step of ``GROUP`` neurons; their spikes.

The neurons fire at U > v, or where strict is 0 at U ≥ v. Operations come in the order of the recurrence's reference and
are never fused. Addresses of: a in rows a, b, r, d, v, so many bytes apart; g; X; U of the step before; the new U. The
spikes of the step before are the lowest bits.
"""


def _lowest(_: Any, bits: Any) -> Any:
    def build(_context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), build


lowest: Any = intrinsic(_lowest)
"""The number of the lowest bit that is set; there must be one."""


def _at(_: Any, address: Any) -> Any:
    def build(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), build


at: Any = intrinsic(_at)
"""What lies at an address, as ``numba.carray`` takes it."""
