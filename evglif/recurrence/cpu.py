"""The ``cpu`` backend: tensors and threads around the compiled loops of ``kernels`` and ``gradients``."""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from evglif.recurrence import gradients, kernels, threads
from evglif.recurrence.coefficients import state_dtype
from evglif.recurrence.entries import block
from evglif.recurrence.pages import in_huge_pages

_MOST_PARTS = 16
_LEAST_VALUES = 1 << 16
"""Work is cut into parts of so many values or more, 16 at most: by its size and not by the number of threads, so that
sums over channels round alike on any machine."""

_PIECE = 2560
"""Most values of a channel to work on at a time: 16 steps of them fit in a second-level cache, and reads are long."""

_ROW, _SHORT_ROW, _FEW_VALUES = 512, 64, 1 << 18
"""About as many values to work on at a time where channels follow each other; of few values, copying coefficients
side by side would cost more than it saves."""

_LINE = 16
"""Values that fill a cache line, to which rows of scratch are rounded up."""

_KINDS = {
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.bfloat16: np.uint16,
    torch.float16: np.int16,
}
"""Types as compiled loops take them; half types come as bits, see ``halves``."""


class Start(NamedTuple):
    """State before the first step, U and S, each ``[B, C, …]`` in the dtype of the state."""

    membrane: Tensor
    spikes: Tensor


def forward(
    current: Tensor, coefficients: Tensor, gain: Tensor, start: Start | float, strict: bool, keep_trace: bool
) -> tuple[Tensor, Tensor]:
    """Spikes ``[T, B, C, …]``, and membranes of all steps, or of the last ``[1, B, C, …]``.

    Args:
        current: ``[T, B, C, …]``, contiguous or channels last.
        coefficients: a, b, r, d, v in the dtype of the state, ``[5, C]``.
        gain: g in the dtype of the state, ``[T, C]``.
        start: state before the first step, or the membrane's value where no neuron has fired before.
        strict: fire at U > v, otherwise at U ≥ v.
        keep_trace: whether membranes of all steps are wanted.
    """
    memory = _Memory(current)
    spikes = in_huge_pages(torch.empty_like(current))
    membranes = memory.state(current if keep_trace else current[:1])
    inputs = memory.inputs(current, coefficients, gain, start)
    shape = memory.shape(strict, start, len(membranes))
    scratch = memory.scratch(3)
    arrays = *inputs, scratch, spikes, membranes
    rest = 0.0 if isinstance(start, Start) else start
    memory.run(kernels.forward, shape, arrays, (rest,))
    return spikes, membranes


def backward(
    grad_spikes: Tensor,
    grad_membranes: Tensor | None,
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start: Start | float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    of_coefficients: bool,
    of_start: bool,
) -> tuple[Tensor, Tensor, Tensor, Start]:
    """Gradients of the current, of the coefficients ``[5, C]``, of the gain ``[T, C]``, of the start.

    Args:
        grad_spikes: of the spikes, ``[T, B, C, …]``.
        grad_membranes: of the membranes that ``forward`` gave; None for none.
        current, coefficients, gain, start, strict: as in ``forward``.
        detach_reset: leave out the gradient through the spike in the reset.
        surrogate: name of a surrogate.
        width: of the surrogate.
        of_coefficients: whether those of coefficients and gain are wanted; if not they are nought.
        of_start: whether those of the start are wanted; if not they are empty.
    """
    memory = _Memory(current)
    grad_current = in_huge_pages(torch.empty_like(current))
    grad_start = Start(*(memory.state(current[0] if of_start else current[:0]) for _ in range(2)))
    of_membranes = memory.state(current[:0]) if grad_membranes is None else memory.values(grad_membranes, 1)
    inputs = memory.inputs(current, coefficients, gain, start)
    sums, gain_sums = memory.sums(5), memory.sums(len(gain))
    grads = memory.values(grad_spikes, 1), of_membranes
    scratch = memory.scratch(len(current) + 10)
    arrays = *grads, *inputs, scratch, grad_current, *grad_start, sums, gain_sums
    options = detach_reset, gradients.SURROGATES.index(surrogate), of_start
    shape = *memory.shape(strict, start, 0 if grad_membranes is None else len(grad_membranes)), *options
    rest = 0.0 if isinstance(start, Start) else start
    memory.run(gradients.backward, shape, arrays, (rest, width))
    if not of_coefficients:
        return grad_current, torch.zeros_like(coefficients), torch.zeros_like(gain), grad_start
    return grad_current, memory.of_channels(sums), memory.of_channels(gain_sums), grad_start


class _Memory:
    """How a step of ``[T, B, C, …]`` lies in memory: N values in runs, as ``kernels`` describes them."""

    def __init__(self, current: Tensor) -> None:
        self.num_steps, self.channels, pixels = len(current), current.shape[2], prod(current.shape[3:])
        self.channels_last = not current.is_contiguous()
        self.kind, self.dtype = current.dtype, state_dtype(current)
        self.num_values = prod(current.shape[1:])
        self.repeats = 0
        """How often all channels follow each other in a run; nought where a run is of one channel."""
        if self.channels_last or pixels == 1:
            row = _ROW if self.num_steps * self.num_values >= _FEW_VALUES else _SHORT_ROW
            self.repeats = max(1, min(row, self.num_values) // max(1, self.channels))
        self.run_length = max(1, self.repeats * self.channels or pixels)
        self.num_pieces = 1 if self.repeats else -(-self.run_length // _PIECE)
        most = -(-self.num_values // self.run_length) * self.num_pieces
        self.num_parts = min(most, _MOST_PARTS, max(1, self.num_steps * self.num_values // _LEAST_VALUES))
        self.num_threads = threads.number(self.num_parts)
        self.length = -(-self.run_length // self.num_pieces // _LINE) * _LINE + _LINE

    def state(self, like: Tensor) -> Tensor:
        """An empty tensor in the dtype of the state."""
        return in_huge_pages(torch.empty_like(like, dtype=self.dtype))

    def values(self, tensor: Tensor, leading: int) -> Tensor:
        """``[T, B, C, …]``, or without time (``leading`` 0) ``[B, C, …]``, whose memory is in the current's order."""
        return (tensor.movedim(leading + 1, -1) if self.channels_last else tensor).contiguous()

    def columns(self, of_channels: Tensor) -> Tensor:
        """Coefficients ``[…, C]`` as ``[…, P]``, or as rows ``[…, W]`` where channels follow each other."""
        return of_channels.repeat(1, self.repeats) if self.repeats > 1 else of_channels.contiguous()

    def sums(self, num_rows: int) -> Tensor:
        """Room for the sums of all parts, in float64, so that nothing is lost however many values are added."""
        return torch.zeros(self.num_parts, num_rows, max(1, self.repeats) * self.channels, dtype=torch.float64)

    def of_channels(self, sums: Tensor) -> Tensor:
        """Those of all parts as sums of channels ``[…, C]``."""
        total = sums[0] if self.num_parts == 1 else sums.sum(0)
        if self.repeats > 1:
            total = total.view(len(total), self.repeats, -1).sum(1)
        return total.to(self.dtype)

    def inputs(self, current: Tensor, coefficients: Tensor, gain: Tensor, start: Start | float) -> tuple[Tensor, ...]:
        """What both directions read; without a start, its place is taken by what is not read."""
        states = [self.values(part, 0) for part in start] if isinstance(start, Start) else [gain, gain]
        return self.values(current, 1), self.columns(coefficients), self.columns(gain), *states

    def scratch(self, num_rows: int) -> Tensor:
        """Rows for every thread."""
        return torch.empty(self.num_threads, num_rows, self.length, dtype=self.dtype)

    def shape(self, strict: bool, start: Start | float, num_kept: int) -> tuple[int, ...]:
        """The numbers of ``kernels.SHAPE``; membranes of the last ``num_kept`` steps are kept."""
        columns, width = (1, self.run_length) if self.repeats else (self.channels, 1)
        sizes = self.num_steps, self.num_values, self.run_length, self.num_pieces, columns, width, self.length
        rest = strict, isinstance(start, Start), self.num_steps - num_kept
        return 0, 0, self.num_threads, self.num_parts, *sizes, *rest

    def run(
        self, direction: Any, numbers: tuple[int, ...], arrays: tuple[Tensor, ...], fractions: tuple[float, ...]
    ) -> None:
        """Run loops on what stands in their record."""
        if self.num_values:
            record = block(*numbers, *map(Tensor.data_ptr, arrays), fractions=fractions)
            job = _job(direction, self.kind, self.dtype, self.repeats > 0)
            threads.run(job, record.buffer_info()[0], self.num_threads)


@cache
def _job(direction: Any, kind: torch.dtype, state: torch.dtype, rows: bool) -> Any:
    """Loops for a type of the current, one of the state, and coefficients in numbers or rows, for ``threads``."""
    compiled = direction(_KINDS[kind], _KINDS[state], rows)
    job: Any = threads.FUNCTION(compiled.address)
    job.compiled = compiled  # which would be freed otherwise
    return job
