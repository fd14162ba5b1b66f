"""The ``triton`` backend: tensors and launches around the kernels of ``triton_kernels``."""

from __future__ import annotations

from contextlib import nullcontext
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from evglif.recurrence import triton_kernels as kernels
from evglif.recurrence.coefficients import state_dtype

_WIDEST_LOAD = 16
"""Bytes that a thread loads at a time in the forward pass; the backward pass needs its registers."""

_TOGETHER = 64
"""Bytes of neighbouring channels, where these lie side by side, that a tile takes from each position."""

_MOST_HELD = 8
"""Steps whose currents, gradients and membranes the backward pass holds in registers at a time."""

_MOST_PROGRAMS = 4096
"""Programs of a backward pass: some for each place on the largest GPUs, yet few enough that their sums are small.
Work is cut by its size and not by the GPU, so that sums over channels round alike on any."""


_OPTIONS: dict[str, object] = {"enable_fp_fusion": False}
"""How kernels are compiled: without fused multiply-adds, whose missing rounding would flip spikes."""

_MOST_REGISTERS = 255
"""Left to itself, the assembler takes fewer for some variants of the backward pass, and spills the others."""


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
    steps, threads = len(current), 128
    tile = memory.tile(threads * _WIDEST_LOAD // current.element_size())
    spikes = torch.empty_like(current)
    membranes = torch.empty_like(current if keep_trace else current[:1], dtype=state_dtype(current))
    inputs, constants = memory.inputs(current, coefficients, gain, start, strict)
    sizes = steps, steps - len(membranes), *memory.shape
    num_programs = memory.num_groups(tile) * memory.num_tiles(tile)
    _launch(kernels.forward, num_programs, threads, *inputs, spikes, membranes, *sizes, *constants, *tile)
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
    memory, dtype = _Memory(current), state_dtype(current)
    steps, threads = len(current), 32  # a single warp adds up over a tile without waiting for others
    tile = memory.tile(threads * 8 // dtype.itemsize)
    segment = max(length for length in range(1, _MOST_HELD + 1) if steps % length == 0)
    groups = memory.num_groups(tile)
    parts = min(memory.num_tiles(tile), max(1, _MOST_PROGRAMS // groups))
    start_like = current[0] if of_start else current[0, :0]
    outputs = (
        torch.empty_like(current),
        torch.empty_like(start_like, dtype=dtype),
        torch.empty_like(start_like, dtype=dtype),
        torch.zeros(parts if of_coefficients else 0, 5 + steps, memory.shape[1], dtype=dtype, device=current.device),
        torch.empty(groups * parts, steps // segment - 1, prod(tile), dtype=dtype, device=current.device),
    )
    if grad_membranes is None:
        grad_membranes = torch.empty_like(current[:0], dtype=dtype)
    grads = memory.values(grad_spikes, 2), memory.values(grad_membranes, 2)
    inputs, constants = memory.inputs(current, coefficients, gain, start, strict)
    sizes = steps // segment, steps - len(grad_membranes), *memory.shape, parts
    options = detach_reset, surrogate, width, segment, of_coefficients, of_start
    _launch(kernels.backward, groups * parts, threads, *grads, *inputs, *outputs, *sizes, *constants, *options, *tile)
    grad_current, *grad_start, sums, _ = outputs
    sums_of_coefficients, sums_of_gain = (
        sums[:, :5].sum(0, dtype=torch.float64),
        sums[:, 5:].sum(0, dtype=torch.float64),
    )
    return grad_current, sums_of_coefficients.to(dtype), sums_of_gain.to(dtype), Start(*grad_start)


class _Memory:
    """How a step of ``[T, B, C, …]`` lies in memory: ``[rows, C, inner]``."""

    def __init__(self, current: Tensor) -> None:
        batch, channels = current.shape[1:3]
        pixels = prod(current.shape[3:])
        self.channels_last = not current.is_contiguous()
        self.shape = (batch * pixels, channels, 1) if self.channels_last else (batch, channels, pixels)
        self.element_size = current.element_size()

    def values(self, tensor: Tensor, leading: int) -> Tensor:
        """A tensor ``[…, C, …]`` with ``leading`` dimensions before C, in memory as the current is."""
        return (tensor.movedim(leading, -1) if self.channels_last else tensor).contiguous()

    def tile(self, size: int) -> tuple[int, int]:
        """Positions and channels of a tile of ``size`` neurons: neighbours in memory, of one channel if possible."""
        _, channels, inner = self.shape
        if inner != 1:
            return size, 1
        together = min(1 << (channels - 1).bit_length(), _TOGETHER // self.element_size)
        return size // together, together

    def num_groups(self, tile: tuple[int, int]) -> int:
        """Tiles that it takes for all channels."""
        return -(-self.shape[1] // tile[1])

    def num_tiles(self, tile: tuple[int, int]) -> int:
        """Tiles that it takes for all positions."""
        rows, _, inner = self.shape
        return -(-rows * inner // tile[0])

    def inputs(
        self, current: Tensor, coefficients: Tensor, gain: Tensor, start: Start | float, strict: bool
    ) -> tuple[tuple[Tensor, ...], tuple[float, bool, bool]]:
        """What both kernels read, and REST, HAS_START, STRICT."""
        states, rest = (start, 0.0) if isinstance(start, Start) else ((), start)
        values = [self.values(state, 1) for state in states] or [coefficients, coefficients]
        inputs = self.values(current, 2), coefficients.contiguous(), gain.contiguous(), *values
        return inputs, (rest, bool(states), strict)


def _launch(kernel: Any, num_programs: int, threads: int, *arguments: object) -> None:
    """Run a kernel on its tensors' device."""
    if not num_programs:
        return
    tensor = arguments[0]
    assert isinstance(tensor, Tensor)
    with torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext():
        kernel[(num_programs,)](*arguments, num_warps=threads // 32, **options(kernel))


def options(kernel: Any) -> dict[str, object]:
    """How a kernel is compiled."""
    bounded = kernel is kernels.backward and torch.version.hip is None
    return {**_OPTIONS, "maxnreg": _MOST_REGISTERS} if bounded else _OPTIONS
