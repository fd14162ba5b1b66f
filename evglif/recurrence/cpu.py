"""The ``cpu`` backend: tensors and threads around the compiled loops of ``kernels`` and ``gradients``."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evglif.recurrence import gradients, kernels, threads
from evglif.recurrence.coefficients import state_dtype
from evglif.recurrence.pages import in_huge_pages

_MOST_PARTS = 16
_LEAST_VALUES = 1 << 16
"""Work is cut into parts of so many values or more, 16 at most: by its size and not by the number of threads, so that
sums over channels round alike on any machine."""

_PIECE = 2560
"""Most values of a channel to work on at a time: 16 steps of them fit in a second-level cache, and reads are long."""

_ROW = 512
"""About as many values to work on at a time where channels follow each other."""

_BITS = {torch.bfloat16: np.uint16, torch.float16: np.int16}
"""Half types as compiled loops take them, see ``halves``."""


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
    inputs = memory.inputs(current, coefficients, gain, start, strict)
    outputs = memory.values(spikes, 1), memory.values(membranes, 1)

    kind, parts = inputs[1].dtype, memory.parts()

    def work() -> None:
        kernels.forward(*parts, *inputs, memory.scratch(5, kind), *outputs)

    threads.run(work, memory.num_parts)
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
    grad_start = Start(*(memory.state(current[0]) if of_start else memory.state(current[:0]) for _ in range(2)))
    inputs = memory.inputs(current, coefficients, gain, start, strict)
    into = memory.values(grad_current, 1), *(memory.values(part, 0) for part in grad_start)
    # In float64, so that nothing is lost however many values are added.
    sums = np.zeros((memory.num_parts, 5, *inputs[1].shape[1:]))
    gain_sums = np.zeros((memory.num_parts, len(gain), *inputs[1].shape[1:]))
    options = detach_reset, gradients.SURROGATES.index(surrogate), inputs[1].dtype.type(width)
    of_membranes = memory.state(current[:0]) if grad_membranes is None else grad_membranes
    grads = memory.values(grad_spikes, 1), memory.values(of_membranes, 1)

    kind, parts = inputs[1].dtype, memory.parts()

    def work() -> None:
        scratch = memory.scratch(len(current) + 14, kind)
        gradients.backward(*parts, *grads, *inputs, *options, scratch, *into, sums, gain_sums)

    threads.run(work, memory.num_parts)
    if not of_coefficients:
        return grad_current, torch.zeros_like(coefficients), torch.zeros_like(gain), grad_start
    return grad_current, memory.of_channels(sums), memory.of_channels(gain_sums), grad_start


class _Memory:
    """How a step of ``[T, B, C, …]`` lies in memory: N values in runs, as ``kernels`` describes them."""

    def __init__(self, current: Tensor) -> None:
        channels, pixels = current.shape[2], prod(current.shape[3:])
        self.channels_last = not current.is_contiguous()
        self.dtype = state_dtype(current)
        self.num_values = prod(current.shape[1:])
        self.num_steps = len(current)
        self.repeats = 0
        """How often all channels follow each other in a run; nought where a run is of one channel."""
        if self.channels_last or pixels == 1:
            self.repeats = max(1, min(_ROW, self.num_values) // max(1, channels))
        self.run = max(1, self.repeats * channels or pixels)
        self.num_pieces = 1 if self.repeats else -(-self.run // _PIECE)
        most = -(-self.num_values // self.run) * self.num_pieces
        self.num_parts = min(most, _MOST_PARTS, max(1, self.num_steps * self.num_values // _LEAST_VALUES))

    def state(self, like: Tensor) -> Tensor:
        """An empty tensor in the dtype of the state."""
        return in_huge_pages(torch.empty_like(like, dtype=self.dtype))

    def values(self, tensor: Tensor, leading: int) -> NDArray[Any]:
        """``[T, B, C, …]`` as ``[T, N]``, or without time (``leading`` 0) as ``[N]``; half types as bits.

        Where the tensor lies like the current this is its own memory, which may be written to.
        """
        if self.channels_last:
            tensor = tensor.movedim(leading + 1, -1)
        tensor = tensor.detach().contiguous().view(*tensor.shape[:leading], -1 if tensor.numel() else 0)
        if tensor.dtype in _BITS:
            return tensor.view(torch.int16).numpy().view(_BITS[tensor.dtype])
        values: NDArray[Any] = tensor.numpy()
        return values

    def columns(self, of_channels: Tensor) -> NDArray[Any]:
        """Coefficients ``[…, C]`` as ``[…, P]``, or as rows ``[…, 1, W]`` where channels follow each other."""
        columns: NDArray[Any] = of_channels.contiguous().numpy()
        return np.tile(columns, self.repeats)[:, None] if self.repeats else columns

    def of_channels(self, sums: NDArray[Any]) -> Tensor:
        """Sums of all parts, ``[parts, …, P]`` or ``[parts, …, 1, W]``, as sums of channels ``[…, C]``."""
        total = sums.sum(0)
        if self.repeats:
            total = total.reshape(len(total), self.repeats, -1).sum(1)
        return torch.from_numpy(total).to(self.dtype)

    def inputs(
        self, current: Tensor, coefficients: Tensor, gain: Tensor, start: Start | float, strict: bool
    ) -> tuple[Any, ...]:
        """What both kernels read."""
        columns = self.columns(coefficients), self.columns(gain)
        kind = columns[0].dtype
        states = [self.values(part, 0) for part in start] if isinstance(start, Start) else [np.empty(0, kind)] * 2
        rest = kind.type(0.0 if isinstance(start, Start) else start)
        return self.values(current, 1), *columns, *states, rest, strict, self.run, self.num_pieces

    def scratch(self, num_rows: int, kind: Any) -> NDArray[Any]:
        return np.empty((num_rows, -(-self.run // self.num_pieces)), kind)

    def parts(self) -> tuple[NDArray[np.int64], int]:
        """The number of the next part, for all threads to take one, and how many there are."""
        return np.zeros(1, np.int64), self.num_parts
