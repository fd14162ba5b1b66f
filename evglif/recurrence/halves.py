"""Half types for compiled loops, which know none: a value comes and goes as bits, and is float32 in between.

bfloat16 comes as uint16 and float16 as int16, which tells them apart; values of other types pass as they are. So no
tensor is ever converted as a whole. Rounding is to the nearest, ties to even, as in torch.
"""

# mypy: disable-error-code="untyped-decorator"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

_INFINITY, _NOT_A_NUMBER = np.uint32(0x7F800000), np.uint32(0x7FC00000)
_SIGN = np.uint32(0x80000000)

_compiled: Any = njit(nogil=True, error_model="numpy")


def _bitcast(kind: Any) -> Any:
    """The same 32 bits as a value of another type."""

    def build(_: Any, value: Any) -> Any:
        def cast(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(kind))

        return kind(value), cast

    return intrinsic(build)


_bits, _float = _bitcast(types.uint32), _bitcast(types.float32)


@_compiled
def _from_bfloat16(bits: Any) -> Any:
    return _float(np.uint32(np.uint32(bits) << np.uint32(16)))


@_compiled
def _to_bfloat16(value: Any) -> Any:
    bits = _bits(value)
    nearest = np.uint32(bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return np.uint16((_NOT_A_NUMBER if np.isnan(value) else nearest) >> np.uint32(16))


@_compiled
def _from_float16(bits: Any) -> Any:
    """The exponent is moved by a product, which makes numbers of those below 2⁻¹⁴ too."""
    magnitude = np.uint32(np.uint32(bits) & np.uint32(0x7FFF)) << np.uint32(13)
    finite = _bits(_float(np.uint32(magnitude)) * np.float32(2.0**112))
    whole = np.uint32(magnitude | _INFINITY) if magnitude >= np.uint32(0x7C00 << 13) else finite
    return _float(np.uint32(whole | ((np.uint32(bits) << np.uint32(16)) & _SIGN)))


@_compiled
def _to_float16(value: Any) -> Any:
    """Numbers below 2⁻¹⁴ are rounded by a sum with ½, whose last place is 2⁻²⁴; others by a carry into bit 13."""
    bits = _bits(value)
    magnitude = np.uint32(bits & np.uint32(0x7FFFFFFF))
    small = np.uint32(_bits(_float(magnitude) + np.float32(0.5)) - np.uint32(126 << 23))
    carry = np.uint32(np.uint32(0xFFF) + ((magnitude >> np.uint32(13)) & np.uint32(1)))
    normal = np.uint32(np.uint32(magnitude - np.uint32(112 << 23) + carry) >> np.uint32(13))
    finite = small if magnitude < np.uint32(113 << 23) else normal
    beyond = np.uint32(0x7E00) if magnitude > _INFINITY else np.uint32(0x7C00)
    rounded = beyond if magnitude >= np.uint32(143 << 23) else finite
    return np.int16(np.uint16(rounded | ((bits >> np.uint32(16)) & np.uint32(0x8000))))


def load(source: Any, i: Any) -> Any:
    """Value ``i`` of ``source`` in the dtype of the state."""
    raise NotImplementedError("runs in compiled loops only")


def store(value: Any, out: Any, i: Any) -> None:
    """Round a value of the state's dtype to place ``i`` of ``out``; nothing where ``out`` is None."""
    raise NotImplementedError("runs in compiled loops only")


# Numba asks that an overload and what it returns have the same signature, annotations included.
@overload(load, inline="always")
def _load(source: Any, i: Any) -> Callable[..., Any]:  # noqa: ARG001
    convert = _from_bfloat16 if source.dtype == types.uint16 else _from_float16

    def itself(source: Any, i: Any) -> Any:
        return source[i]

    def widen(source: Any, i: Any) -> Any:
        return convert(source[i])

    return itself if isinstance(source.dtype, types.Float) else widen


@overload(store, inline="always")
def _store(value: Any, out: Any, i: Any) -> Callable[..., Any]:  # noqa: ARG001
    def nowhere(value: Any, out: Any, i: Any) -> None:
        pass

    def itself(value: Any, out: Any, i: Any) -> None:
        out[i] = value

    if isinstance(out, types.NoneType):
        return nowhere
    convert = _to_bfloat16 if out.dtype == types.uint16 else _to_float16

    def narrow(value: Any, out: Any, i: Any) -> None:
        out[i] = convert(value)

    return itself if isinstance(out.dtype, types.Float) else narrow
