"""The ``cpu`` backend: tensors and threads around the compiled loops of ``kernels``."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evglif.recurrence import kernels
from evglif.recurrence.coefficients import state_dtype

_MOST_PARTS = 16
_LEAST_VALUES = 1 << 16
"""Work is cut into parts of so many values or more, 16 at most: by its size and not by the number of threads, so that
sums over channels round alike on any machine."""


class Start(NamedTuple):
    """State before the first step, U and S, each ``[B, C, …]`` in the dtype of the state."""

    membrane: Tensor
    spikes: Tensor


def forward(
    current: Tensor, coefficients: Tensor, gain: Tensor, start: Start, strict: bool, keep_trace: bool
) -> tuple[Tensor, Tensor]:
    """Spikes ``[T, B, C, …]``, and membranes of all steps, or of the last ``[1, B, C, …]``.

    Args:
        current: ``[T, B, C, …]``, contiguous or channels last.
        coefficients: a, b, r, d, v in the dtype of the state, ``[5, C]``.
        gain: g in the dtype of the state, ``[T, C]``.
        start: state before the first step.
        strict: fire at U > v, otherwise at U ≥ v.
        keep_trace: whether membranes of all steps are wanted.
    """
    dtype = state_dtype(current)
    memory = _Memory(current)
    spikes = torch.empty_like(current, dtype=dtype)
    membranes = torch.empty_like(current if keep_trace else current[:1], dtype=dtype)
    inputs = _inputs(memory, current, coefficients, gain, start, strict)
    outputs = memory.view(spikes, 2), memory.view(membranes, 2)

    def work(_: int, tiles: tuple[int, int], samples: tuple[int, int]) -> None:
        kernels.forward(*inputs, memory.inner, tiles, samples, *outputs)  # type: ignore[call-arg]

    _run(work, _parts(memory.shape))
    return spikes.to(current.dtype), membranes


def backward(
    grad_spikes: Tensor,
    grad_membranes: Tensor | None,
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start: Start,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
) -> tuple[Tensor, Tensor, Tensor, Start]:
    """Gradients of the current, of the coefficients ``[5, C]``, of the gain ``[T, C]``, of the start.

    Args:
        grad_spikes: of the spikes, ``[T, B, C, …]``.
        grad_membranes: of the membranes that ``forward`` gave; None for none.
        current, coefficients, gain, start, strict: as in ``forward``.
        detach_reset: leave out the gradient through the spike in the reset.
        surrogate: name of a surrogate.
        width: of the surrogate.
    """
    dtype = state_dtype(current)
    memory = _Memory(current)
    grad_current = torch.empty_like(current, dtype=dtype)
    grad_start = Start(torch.empty_like(current[0], dtype=dtype), torch.empty_like(current[0], dtype=dtype))
    into = memory.view(grad_current, 2), *(memory.view(part, 1) for part in grad_start)
    parts = _parts(memory.shape)
    sums = np.zeros((len(parts), 5, current.shape[2]))
    gain_sums = np.zeros((len(parts), *gain.shape))
    inputs = _inputs(memory, current, coefficients, gain, start, strict)
    kind, span = kernels.SURROGATES.index(surrogate), into[0].dtype.type(width)
    grads = (
        memory.values(grad_spikes, 2),
        into[0][:0] if grad_membranes is None else memory.values(grad_membranes, 2),
    )

    def work(part: int, tiles: tuple[int, int], samples: tuple[int, int]) -> None:
        outputs = *into, sums[part], gain_sums[part]
        kernels.backward(*grads, *inputs, detach_reset, kind, span, memory.inner, tiles, samples, *outputs)  # type: ignore[call-arg]

    _run(work, parts)
    of_coefficients, of_gain = (torch.from_numpy(partial.sum(0)).to(dtype) for partial in (sums, gain_sums))
    return grad_current.to(current.dtype), of_coefficients, of_gain, grad_start


class _Memory:
    """How ``[T, B, C, …]`` lies in memory: M values a sample, of which value i has channel ``i // inner % C``."""

    def __init__(self, current: Tensor) -> None:
        steps, batch, channels = current.shape[:3]
        pixels = int(np.prod(current.shape[3:], dtype=np.int64))
        self.channels_last = not current.is_contiguous()
        self.inner = 1 if self.channels_last else max(pixels, 1)
        self.shape = (steps, batch, channels * pixels)
        self.dtype = state_dtype(current)

    def values(self, tensor: Tensor, leading: int) -> NDArray[Any]:
        """A tensor ``[…, C, …]`` with ``leading`` dimensions before C, as ``[…, M]`` in the dtype of the state."""
        if self.channels_last:
            tensor = tensor.movedim(leading, -1)
        values: NDArray[Any] = tensor.detach().to(self.dtype).contiguous().flatten(leading).numpy()
        return values

    def view(self, output: Tensor, leading: int) -> NDArray[Any]:
        """As ``values``, of an empty tensor that lies like the current, to be written to."""
        values = self.values(output, leading)
        assert values.ctypes.data == output.data_ptr() or not output.numel()
        return values


def _inputs(
    memory: _Memory, current: Tensor, coefficients: Tensor, gain: Tensor, start: Start, strict: bool
) -> tuple[Any, ...]:
    states = (memory.values(state, 1) for state in start)
    return memory.values(current, 2), coefficients.contiguous().numpy(), gain.contiguous().numpy(), *states, strict


Part = tuple[tuple[int, int], tuple[int, int]]


def _parts(shape: tuple[int, int, int]) -> list[Part]:
    """Cut the tiles, and where these are few the samples too."""
    steps, num_samples, num_values = shape
    most = max(1, min(_MOST_PARTS, steps * num_samples * num_values // _LEAST_VALUES))
    tiles = _ranges(-(-num_values // kernels.TILE), most)
    samples = _ranges(num_samples, max(1, most // max(1, len(tiles))))
    return [(some_tiles, some_samples) for some_tiles in tiles for some_samples in samples]


def _ranges(count: int, most: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, count, min(count, most) + 1).astype(int).tolist() if count else []
    return list(pairwise(edges))


def _run(work: Callable[[int, tuple[int, int], tuple[int, int]], None], parts: list[Part]) -> None:
    """Do all parts, on as many threads as torch uses; the loops hold no interpreter lock.

    Threads take parts as they come, the calling one too: torch's own threads spin for a while after each of its
    operations, and a helper that has to wait for a processor must not hold up the rest.
    """
    todo = iter(enumerate(parts))  # a thread at a time holds the interpreter lock, so that each part is taken once

    def take() -> None:
        for number, part in todo:
            work(number, *part)

    num_threads = min(torch.get_num_threads(), len(parts))
    helpers = [_pool(num_threads).submit(take) for _ in range(num_threads - 1)]
    take()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="evglif")


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_pool.cache_clear)
