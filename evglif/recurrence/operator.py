"""The recurrence as one operator of torch: opaque to ``torch.compile``, with a backward of its own.

It stores the current, and computes membranes again on the way back.
"""

from __future__ import annotations

from importlib import import_module
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
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    rest: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    keep_trace: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Spikes ``[T, B, C, …]`` and membranes, of all steps or the last; see ``cpu.forward``.

    Without a start, membranes begin at ``rest``, and no neuron has fired before.
    """
    start = _start(backend, start_membrane, start_spikes, rest)
    return _module(backend).forward(current, coefficients, gain, start, strict, keep_trace)  # type: ignore[no-any-return]


@recurrence.register_fake
def _(
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    rest: float,
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
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    rest: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    of_coefficients: bool,
    of_start: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, coefficients, gain and the two initial states; see ``cpu.backward``.

    ``of_coefficients`` and ``of_start`` say which are needed; others may hold anything, and those of the start nothing.
    """
    start = _start(backend, start_membrane, start_spikes, rest)
    arguments: tuple[Any, ...] = (grad_spikes, grad_membranes, current, coefficients, gain, start, strict, detach_reset)
    wanted = of_coefficients, of_start
    *gradients, start_gradients = _module(backend).backward(*arguments, surrogate, width, *wanted)
    if not of_start:
        start_gradients = [torch.empty(0, dtype=state_dtype(current), device=current.device) for _ in range(2)]
    return *gradients, *start_gradients


@recurrence_backward.register_fake
def _(
    grad_spikes: Tensor,
    grad_membranes: Tensor | None,
    current: Tensor,
    coefficients: Tensor,
    gain: Tensor,
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    rest: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    of_coefficients: bool,
    of_start: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    dtype = state_dtype(current)
    of_state = torch.empty_like(current[0], dtype=dtype) if of_start else current.new_empty(0, dtype=dtype)
    gradients = torch.empty_like(current), torch.empty_like(coefficients), torch.empty_like(gain)
    return *gradients, of_state, torch.empty_like(of_state)


def _module(backend: str) -> ModuleType:
    return import_module(f"evglif.recurrence.{backend}")


def _start(backend: str, membrane: Tensor | None, spikes: Tensor | None, rest: float) -> Any:
    """The start as the backend takes it: two tensors that hold one value would cost time."""
    return rest if membrane is None or spikes is None else _module(backend).Start(membrane, spikes)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.rest, ctx.strict, ctx.detach_reset, ctx.surrogate, ctx.width, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors)
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_spikes: Tensor | None, grad_membranes: Tensor | None) -> tuple[Any, ...]:
    tensors = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(tensors[0])
    of_coefficients, of_start = any(ctx.needs_input_grad[1:3]), any(ctx.needs_input_grad[3:5])
    options = (ctx.strict, ctx.detach_reset, ctx.surrogate, ctx.width, of_coefficients, of_start, ctx.backend)
    gradients = recurrence_backward(grad_spikes, grad_membranes, *tensors, ctx.rest, *options)
    needed = (gradient if need else None for gradient, need in zip(gradients, ctx.needs_input_grad, strict=False))
    return *needed, *(None,) * 7


recurrence.register_autograd(_backward, setup_context=_setup_context)
