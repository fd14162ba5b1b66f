"""The recurrence as one operator of torch: opaque to ``torch.compile``, with a backward of its own.

From a neuron's values to its spikes, and from their gradient to those of the values: what a backend cannot work out
from the values itself comes as the six coefficients. It stores the current and the values, and computes membranes again
on the way back.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from evglif.recurrence.coefficients import state_dtype

_OPTIONS = "str form, float rest, bool strict, bool detach_reset, str surrogate, float width"
_STATE = "Tensor? start_membrane, Tensor? start_spikes"

# Not torch.library.custom_op: what it does around a call takes longer than a step of a small layer.
_library = torch.library.Library("evglif", "FRAGMENT")
_library.define(
    f"recurrence(Tensor current, Tensor[] values, {_STATE}, {_OPTIONS}, bool keep_trace, str backend) "
    "-> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
_library.define(
    "recurrence_backward(Tensor? grad_spikes, Tensor? grad_membranes, Tensor current, Tensor[] values, "
    f"{_STATE}, {_OPTIONS}, bool of_values, bool of_start, str backend) -> (Tensor, Tensor[], Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
recurrence = torch.ops.evglif.recurrence.default
"""Spikes ``[T, B, C, …]`` and membranes, of all steps or the last; see ``cpu.forward``.

Without a start, membranes begin at ``rest``, and no neuron has fired before. ``values`` are those of a form, see
``Stored``, or with the form ``"coefficients"`` the six.
"""

recurrence_backward = torch.ops.evglif.recurrence_backward.default
"""Gradients of current, values and the two initial states; see ``cpu.backward``.

``of_values`` and ``of_start`` say which are needed; of others the values' are nought and the start's empty.
"""


def _forward(
    current: Tensor,
    values: Sequence[Tensor],
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    form: str,
    rest: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    keep_trace: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    start = _start(backend, start_membrane, start_spikes, rest)
    packed = forms(backend).pack(form, values, len(current), current.shape[2])
    return _module(backend).forward(current, *packed, start, strict, keep_trace)  # type: ignore[no-any-return]


def _backward(
    grad_spikes: Tensor | None,
    grad_membranes: Tensor | None,
    current: Tensor,
    values: Sequence[Tensor],
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    form: str,
    rest: float,
    strict: bool,
    detach_reset: bool,
    surrogate: str,
    width: float,
    of_values: bool,
    of_start: bool,
    backend: str,
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(current)
    packed = forms(backend).pack(form, values, len(current), current.shape[2])
    start = _start(backend, start_membrane, start_spikes, rest)
    arguments = grad_spikes, grad_membranes, current, *packed, start, strict, detach_reset, surrogate, width
    of_current, *of_packed, of_states = _module(backend).backward(*arguments, of_values, of_start)
    if not of_start:
        of_states = [torch.empty(0, dtype=state_dtype(current), device=current.device) for _ in range(2)]
    if not of_values:
        return of_current, [torch.zeros_like(value) for value in values], *of_states
    return of_current, forms(backend).unpack(form, values, *of_packed), *of_states


@cache
def _module(backend: str) -> ModuleType:
    return import_module(f"evglif.recurrence.{backend}")


@cache
def forms(backend: str) -> ModuleType:
    """A backend's ways from stored values to coefficients and back."""
    return import_module(f"evglif.recurrence.{backend}_forms")


def _start(backend: str, membrane: Tensor | None, spikes: Tensor | None, rest: float) -> Any:
    """The start as the backend takes it: two tensors that hold one value would cost time."""
    return rest if membrane is None or spikes is None else _module(backend).Start(membrane, spikes)


def _forward_without_data(current: Tensor, *inputs: Any) -> tuple[Tensor, Tensor]:
    keep_trace = inputs[-2]
    trace = torch.empty_like(current if keep_trace else current[:1], dtype=state_dtype(current))
    return torch.empty_like(current), trace


def _backward_without_data(
    _spikes: Tensor | None, _membranes: Tensor | None, current: Tensor, values: Sequence[Tensor], *options: Any
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    of_start, dtype = options[-2], state_dtype(current)
    of_state = torch.empty_like(current[0], dtype=dtype) if of_start else current.new_empty(0, dtype=dtype)
    return (
        torch.empty_like(current),
        [torch.empty_like(value) for value in values],
        of_state,
        torch.empty_like(of_state),
    )


class _Recurrence(torch.autograd.Function):
    """The operator and its derivative, as a node of autograd's graph."""

    @staticmethod
    def forward(
        ctx: Any,
        keys: Any,
        options: tuple[Any, ...],
        keep_trace: bool,
        backend: str,
        current: Tensor,
        start_membrane: Tensor | None,
        start_spikes: Tensor | None,
        *values: Tensor,
    ) -> Any:
        ctx.save_for_backward(current, start_membrane, start_spikes, *values)
        ctx.set_materialize_grads(False)
        ctx.options, ctx.backend = options, backend
        arguments = current, values, start_membrane, start_spikes, *options, keep_trace, backend
        return _below_autograd(keys, *arguments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor | None, grad_membranes: Tensor | None) -> tuple[Any, ...]:
        current, membrane, spikes, *values = ctx.saved_tensors
        of_start, of_values = any(ctx.needs_input_grad[5:7]), any(ctx.needs_input_grad[7:])
        arguments = (
            grad_spikes,
            grad_membranes,
            current,
            values,
            membrane,
            spikes,
            *ctx.options,
            of_values,
            of_start,
            ctx.backend,
        )
        of_current, from_values, *from_start = recurrence_backward(*arguments)
        gradients = of_current, *from_start, *from_values
        needed = zip(gradients, ctx.needs_input_grad[4:], strict=True)
        return None, None, None, None, *(gradient if need else None for gradient, need in needed)


def _below_autograd(keys: Any, *arguments: Any) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return recurrence.redispatch(keys & torch._C._after_autograd_keyset, *arguments)


def _with_autograd(
    keys: Any,
    current: Tensor,
    values: Sequence[Tensor],
    start_membrane: Tensor | None,
    start_spikes: Tensor | None,
    *rest: Any,
) -> Any:
    *options, keep_trace, backend = rest
    tensors = current, start_membrane, start_spikes, *values
    if torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors):
        return _Recurrence.apply(keys, tuple(options), keep_trace, backend, *tensors)
    return _below_autograd(keys, current, values, start_membrane, start_spikes, *rest)


_library.impl("recurrence", _forward, "CompositeExplicitAutograd")
_library.impl("recurrence", _with_autograd, "Autograd", with_keyset=True)
_library.impl("recurrence_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("evglif::recurrence", _forward_without_data, lib=_library)
torch.library.register_fake("evglif::recurrence_backward", _backward_without_data, lib=_library)
