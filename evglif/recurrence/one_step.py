"""One time step of the recurrence as one node of autograd's graph, where views to and from ``[1, B, C, …]`` were four.

On a small layer, looking after such views and passing twice through torch's dispatcher take longer than the step.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from evglif.recurrence.operator import recurrence, recurrence_backward


class _OneStep(torch.autograd.Function):
    """The operator and its derivative for ``one_step``."""

    @staticmethod
    def forward(
        ctx: Any,
        options: tuple[Any, ...],
        backend: str,
        current: Tensor,
        start_membrane: Tensor | None,
        start_spikes: Tensor | None,
        *values: Tensor,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(current, start_membrane, start_spikes, *values)
        ctx.set_materialize_grads(False)
        ctx.options, ctx.backend = options, backend
        start = start_membrane, start_spikes
        with torch._C._AutoDispatchBelowAutograd():
            spikes, membranes = recurrence(current.unsqueeze(0), values, *start, *options, False, backend)
            return spikes.squeeze_(0), membranes.squeeze_(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes: Tensor | None, grad_membrane: Tensor | None) -> tuple[Any, ...]:
        current, membrane, spikes, *values = ctx.saved_tensors
        needed = ctx.needs_input_grad
        wanted = any(needed[5:]), any(needed[3:5])
        with torch._C._AutoDispatchBelowAutograd():
            steps = (None if each is None else each.unsqueeze(0) for each in (grad_spikes, grad_membrane, current))
            of_current, from_values, *from_start = recurrence_backward(
                *steps, values, membrane, spikes, *ctx.options, *wanted, ctx.backend
            )
        gradients = of_current.squeeze_(0), *from_start, *from_values
        return None, None, *(gradient if need else None for gradient, need in zip(gradients, needed[2:], strict=True))


def one_step(
    options: tuple[Any, ...],
    backend: str,
    current: Tensor,
    start: tuple[Tensor | None, Tensor | None],
    values: tuple[Tensor, ...],
) -> tuple[Tensor, Tensor]:
    """Spikes and membranes ``[B, C, …]`` of a step; arguments as those of ``operator.recurrence``."""
    return _OneStep.apply(options, backend, current, *start, *values)  # type: ignore[no-any-return]
