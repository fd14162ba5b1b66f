"""The recurrence as one operator of torch: opaque to ``torch.compile``, with a backward of its own.

It stores the current, and computes membranes again on the way back.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from evglif.recurrence.coefficients import state_dtype


@torch.library.custom_op("evglif::recurrence", mutates_args=())
def recurrence(
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor,
    start_spikes: Tensor,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    keep_trace: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Spikes ``[T, B, C, …]`` and membranes, of all steps or the last; see ``cpu.forward``."""
    module = _module(backend)
    start = module.Start(start_membrane, start_spikes)
    return module.forward(current, coefficients, gain, start, strict, keep_trace)  # type: ignore[no-any-return]


@recurrence.register_fake
def _(
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor,
    start_spikes: Tensor,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    keep_trace: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    trace = torch.empty_like(current if keep_trace else current[:1], dtype=state_dtype(current))
    return torch.empty_like(current), trace


@torch.library.custom_op("evglif::recurrence_backward", mutates_args=())
def recurrence_backward(
    grad_spikes: Tensor,
    grad_membranes: Tensor | None,
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor,
    start_spikes: Tensor,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, coefficients, gain and the two initial states; see ``cpu.backward``."""
    module = _module(backend)
    start = module.Start(start_membrane, start_spikes)
    grads = (grad_spikes, grad_membranes)
    inputs = (current, coefficients, gain, start, strict)
    of_current, of_coefficients, of_gain, of_start = module.backward(*grads, *inputs, detach_reset, surrogate, width)
    return of_current, of_coefficients, of_gain, *of_start


@recurrence_backward.register_fake
def _(
    grad_spikes: Tensor,
    grad_membranes: Tensor | None,
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor,
    start_spikes: Tensor,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    of_state = torch.empty_like(current[0], dtype=state_dtype(current))
    of_coefficients, of_gain = torch.empty_like(coefficients), torch.empty_like(gain)
    return torch.empty_like(current), of_coefficients, of_gain, of_state, torch.empty_like(of_state)


def _module(backend: str) -> ModuleType:
    from evglif.recurrence import cpu

    assert backend == "cpu", backend
    return cpu


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.strict, ctx.detach_reset, ctx.surrogate, ctx.width, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_spikes: Tensor | None, grad_membranes: Tensor | None) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(tensors[0])
    options = (ctx.strict, ctx.detach_reset, ctx.surrogate, ctx.width, ctx.backend)
    gradients = recurrence_backward(grad_spikes, grad_membranes, *tensors, *options)
    return *gradients, *(None,) * 6


recurrence.register_autograd(_backward, setup_context=_setup_context)
