"""Coefficients in an operator of their own, for a neuron whose steps are run one by one and share them."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from evglif.recurrence.coefficients import Coefficients, Stored, as_packed
from evglif.recurrence.operator import forms

_library = torch.library.Library("evglif", "FRAGMENT")
_library.define("coefficients(Tensor[] values, str form, int steps, int channels, str backend) -> (Tensor, Tensor)")
_library.define(
    "coefficients_backward(Tensor of_coefficients, Tensor of_gain, Tensor[] values, str form, str backend) -> Tensor[]"
)


coefficients = torch.ops.evglif.coefficients.default
coefficients_backward = torch.ops.evglif.coefficients_backward.default


def packed(given: Coefficients | Stored, backend: str, dtype: torch.dtype) -> Stored:
    """A neuron's coefficients as two tensors, in one call where the backend has one.

    Args:
        given: as by ``SpikingNeuron.parameterisation``.
        backend: that runs the steps, one of ``BACKENDS``.
        dtype: of the state.
    """
    if isinstance(given, Coefficients):
        return given.packed()
    steps, channels = len(given.values[-1]), max(value.shape[-1] for value in given.values)
    per_step = given.values[-1].dim() == 2
    if backend == "reference" or not per_step or not given.fits(steps, channels, dtype):
        return given.plain().packed()
    return as_packed(*_Packing.apply((given.form, steps, channels, backend), *given.values))


def _forward(values: Sequence[Tensor], form: str, steps: int, channels: int, backend: str) -> tuple[Tensor, Tensor]:
    return forms(backend).pack(form, values, steps, channels)  # type: ignore[no-any-return]


def _backward(
    of_coefficients: Tensor, of_gain: Tensor, values: Sequence[Tensor], form: str, backend: str
) -> list[Tensor]:
    return forms(backend).unpack(form, values, of_coefficients.contiguous(), of_gain.contiguous())  # type: ignore[no-any-return]


class _Packing(torch.autograd.Function):
    """The operator and its derivative, as a node of autograd's graph."""

    @staticmethod
    def forward(ctx: Any, options: tuple[Any, ...], *values: Tensor) -> Any:
        ctx.save_for_backward(*values)
        ctx.form, ctx.backend = options[0], options[-1]
        with torch._C._AutoDispatchBelowAutograd():
            return coefficients(values, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_coefficients: Tensor, of_gain: Tensor) -> tuple[Any, ...]:
        found = coefficients_backward(of_coefficients, of_gain, ctx.saved_tensors, ctx.form, ctx.backend)
        needed = zip(found, ctx.needs_input_grad[1:], strict=True)
        return None, *(gradient if need else None for gradient, need in needed)


def _forward_without_data(
    values: Sequence[Tensor], _form: str, steps: int, channels: int, _backend: str
) -> tuple[Tensor, Tensor]:
    return values[0].new_empty(5, channels), values[0].new_empty(steps, channels)


def _backward_without_data(_of_five: Tensor, _of_gain: Tensor, values: Sequence[Tensor], *_: str) -> list[Tensor]:
    return [torch.empty_like(value) for value in values]


_library.impl("coefficients", _forward, "CompositeExplicitAutograd")
_library.impl("coefficients_backward", _backward, "CompositeExplicitAutograd")
torch.library.register_fake("evglif::coefficients", _forward_without_data, lib=_library)
torch.library.register_fake("evglif::coefficients_backward", _backward_without_data, lib=_library)
