"""From the values that a neuron stores to its coefficients on the CPU, and back: a compiled call each.

Forms are those of ``Stored``. Coefficients come out as torch has them, bit for bit: operations in the same order, and
sigmoids worked out in float64 and rounded, which gives the same number whoever works it out.
"""

# mypy: disable-error-code="untyped-decorator, attr-defined"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from evglif.recurrence import threads
from evglif.recurrence.entries import block, entry, values

_HEAD = 4
"""Numbers before those of the values: T, C, and the addresses of the coefficients and the gain."""

_EACH = 4
"""Numbers of a value: its address, rows and columns, and the address of its gradient."""

_KINDS = {torch.float32: np.float32, torch.float64: np.float64}

_compiled: Any = njit(nogil=True, cache=True, error_model="numpy")


def pack(form: str, stored: Sequence[Tensor], steps: int, channels: int) -> tuple[Tensor, Tensor]:
    """The coefficients a, b, r, d, v ``[5, C]`` and the gain ``[T, C]`` of stored values, in their dtype."""
    if form == "packed":
        return stored[0].expand(5, channels).contiguous(), stored[1].expand(steps, channels).contiguous()
    kind = stored[0].dtype
    packed = torch.empty(5, channels, dtype=kind), torch.empty(steps, channels, dtype=kind)
    _run(_FORMS[form][0], stored, packed, [0] * len(stored))
    return packed


def unpack(form: str, stored: Sequence[Tensor], of_coefficients: Tensor, of_gain: Tensor) -> list[Tensor]:
    """Gradients of stored values from those of coefficients and gain."""
    if form == "packed":
        return [of_coefficients.sum_to_size(stored[0].shape), of_gain.sum_to_size(stored[1].shape)]
    gradients = [torch.empty_like(value, memory_format=torch.contiguous_format) for value in stored]
    _run(_FORMS[form][1], stored, (of_coefficients, of_gain), [gradient.data_ptr() for gradient in gradients])
    return gradients


def _run(way: Any, stored: Sequence[Tensor], packed: tuple[Tensor, Tensor], gradients: list[int]) -> None:
    stored = [value.contiguous() for value in stored]
    numbers = [*packed[1].shape, *map(Tensor.data_ptr, packed)]
    for value, gradient in zip(stored, gradients, strict=True):
        *rows, columns = value.shape
        numbers += value.data_ptr(), rows[0] if rows else 1, columns, gradient
    record = block(*numbers)
    _job(way, len(stored), stored[0].dtype)(record.buffer_info()[0])


@cache
def _job(way: Any, count: int, kind: torch.dtype) -> Any:
    compiled = _entry(way, count, _KINDS[kind])
    job = threads.FUNCTION(compiled.address)
    job.compiled = compiled  # which would be freed otherwise
    return job


def _entry(way: Any, count: int, kind: Any) -> Any:
    length = _HEAD + _EACH * count

    def run(head: Any) -> None:
        numbers = carray(head, length, np.int64)
        steps, channels = numbers[0], numbers[1]
        way(numbers, values(numbers[2], (5, channels), kind), values(numbers[3], (steps, channels), kind))

    return entry(run)


@_compiled
def _value(numbers: Any, k: int, like: Any) -> Any:
    """Stored value k as ``[rows, columns]``."""
    at = _HEAD + _EACH * k
    return values(numbers[at], (numbers[at + 1], numbers[at + 2]), like.dtype)


@_compiled
def _pick(value: Any, row: int, column: int) -> Any:
    """Of each row and channel, or one for all."""
    return value[min(row, value.shape[0] - 1), min(column, value.shape[1] - 1)]


@_compiled
def _give(numbers: Any, k: int, row: int, column: int, totals: Any, place: int, like: Any) -> None:
    """Store what has been added up for an element of value k, once its last part is in."""
    at = _HEAD + _EACH * k
    rows, columns = numbers[at + 1], numbers[at + 2]
    if (rows > 1 or row + 1 == numbers[0]) and (columns > 1 or column + 1 == numbers[1]):
        gradient = values(numbers[at + 3], (rows, columns), like.dtype)
        gradient[min(row, rows - 1), min(column, columns - 1)] = totals[place]
        totals[place] = 0.0


@_compiled
def _sigmoid(x: Any) -> float:
    return 1.0 / (1.0 + math.exp(-np.float64(x)))


@_compiled
def _pack_coefficients(numbers: Any, coefficients: Any, gain: Any) -> None:
    for k in range(6):
        value, row = _value(numbers, k, gain), k - (k > 2)
        for c in range(gain.shape[1]):
            if k == 2:
                for t in range(gain.shape[0]):
                    gain[t, c] = _pick(value, t, c)
            else:
                coefficients[row, c] = _pick(value, 0, c)


@_compiled
def _unpack_coefficients(numbers: Any, coefficients: Any, gain: Any) -> None:
    steps, channels = gain.shape
    totals = np.zeros(steps)
    for k in range(6):
        row = k - (k > 2)
        one_row = numbers[_HEAD + _EACH * k + 1] == 1
        totals[:] = 0.0
        for c in range(channels):
            if k == 2:
                for t in range(steps):
                    place = 0 if one_row else t
                    totals[place] += gain[t, c]
                    _give(numbers, k, t, c, totals, place, gain)
            else:
                totals[0] += coefficients[row, c]
                _give(numbers, k, steps - 1, c, totals, 0, gain)


@_compiled
def _pack_glif(numbers: Any, coefficients: Any, gain: Any) -> None:
    """``evglif.neurons.glif.glif_coefficients`` of sigmoids of α, β, γ, τ_exp, τ_lin, V_th, V_re and g."""
    kind = gain.dtype.type
    one, g = kind(1), _value(numbers, 7, gain)
    width = 1
    for k in range(8):
        width = max(width, _value(numbers, k, gain).shape[1])
    for c in range(gain.shape[1]):
        if c >= width:
            coefficients[:, c] = coefficients[:, 0]
            gain[:, c] = gain[:, 0]
            continue
        alpha = kind(_sigmoid(_pick(_value(numbers, 0, gain), 0, c)))
        beta = kind(_sigmoid(_pick(_value(numbers, 1, gain), 0, c)))
        gamma = kind(_sigmoid(_pick(_value(numbers, 2, gain), 0, c)))
        tau_exp = kind(_sigmoid(_pick(_value(numbers, 3, gain), 0, c)))
        tau_lin = kind(_sigmoid(_pick(_value(numbers, 4, gain), 0, c)))
        v_re = kind(_sigmoid(_pick(_value(numbers, 6, gain), 0, c)))
        decay = (one - alpha) + alpha * tau_exp
        coefficients[0, c] = decay
        coefficients[1, c] = (one - alpha) * tau_lin
        coefficients[2, c] = gamma * decay
        coefficients[3, c] = (one - gamma) * v_re
        coefficients[4, c] = kind(_sigmoid(_pick(_value(numbers, 5, gain), 0, c)))
        for t in range(gain.shape[0]):
            gain[t, c] = (one - beta) + beta * kind(_sigmoid(_pick(g, t, c)))


@_compiled
def _unpack_glif(numbers: Any, coefficients: Any, gain: Any) -> None:
    """The way back through ``_pack_glif``, in float64."""
    steps, channels = gain.shape
    x, totals, of_g = np.empty(7), np.zeros(7), np.zeros(steps)
    g = _value(numbers, 7, gain)
    one_row = g.shape[0] == 1
    for c in range(channels):
        for k in range(7):
            x[k] = _sigmoid(_pick(_value(numbers, k, gain), 0, c))
        alpha, beta, gamma, tau_exp, tau_lin, v_th, v_re = x[0], x[1], x[2], x[3], x[4], x[5], x[6]
        decay = (1.0 - alpha) + alpha * tau_exp
        hard, soft, leak = np.float64(coefficients[2, c]), np.float64(coefficients[3, c]), coefficients[1, c]
        of_decay = coefficients[0, c] + hard * gamma
        of_beta = 0.0
        for t in range(steps):
            share = _sigmoid(_pick(g, t, c))
            of_beta += gain[t, c] * (share - 1.0)
            place = 0 if one_row else t
            of_g[place] += gain[t, c] * beta * share * (1.0 - share)
            _give(numbers, 7, t, c, of_g, place, gain)
        totals[0] += (of_decay * (tau_exp - 1.0) - leak * tau_lin) * alpha * (1.0 - alpha)
        totals[1] += of_beta * beta * (1.0 - beta)
        totals[2] += (hard * decay - soft * v_re) * gamma * (1.0 - gamma)
        totals[3] += of_decay * alpha * tau_exp * (1.0 - tau_exp)
        totals[4] += leak * (1.0 - alpha) * tau_lin * (1.0 - tau_lin)
        totals[5] += coefficients[4, c] * v_th * (1.0 - v_th)
        totals[6] += soft * (1.0 - gamma) * v_re * (1.0 - v_re)
        for k in range(7):
            _give(numbers, k, steps - 1, c, totals, k, gain)


_FORMS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "coefficients": (_pack_coefficients, _unpack_coefficients),
    "glif": (_pack_glif, _unpack_glif),
}
