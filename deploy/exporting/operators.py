"""The recurrence as single nodes of a captured graph, forward only; what writes a file translates them."""

from __future__ import annotations

import torch
from torch import Tensor

from evglif.recurrence import Coefficients, State, spiking_recurrence


@torch.library.custom_op("evglif_deploy::recurrence", mutates_args=())
def recurrence(
    current: Tensor,
    decay: Tensor,
    leak: Tensor,
    gain: Tensor,
    hard_reset: Tensor,
    soft_reset: Tensor,
    threshold: Tensor,
    rest: float,
    strict: bool,
) -> Tensor:
    """The recurrence of ``evglif.recurrence`` as one node of an exported graph, forward only."""
    coefficients = Coefficients(decay, leak, gain, hard_reset, soft_reset, threshold)
    return spiking_recurrence(current, coefficients, strict=strict, backend="reference", initial=rest)


@recurrence.register_fake
def _(current: Tensor, *_: object) -> Tensor:
    return torch.empty_like(current)


@torch.library.custom_op("evglif_deploy::step", mutates_args=())
def step(
    current: Tensor,
    membrane: Tensor,
    number: Tensor,
    decay: Tensor,
    leak: Tensor,
    gain: Tensor,
    hard_reset: Tensor,
    soft_reset: Tensor,
    threshold: Tensor,
    strict: bool,
) -> tuple[Tensor, Tensor]:
    """One step of the recurrence: spikes ``[1, B, C, …]`` and U[t], for X[t] ``[1, B, C, …]`` U[t-1] and t."""
    gain = gain.index_select(0, number.view(1)) if gain.dim() == 2 else gain
    above = membrane - threshold.view(-1, *(1,) * (membrane.dim() - 2))
    start = State(membrane, (above > 0 if strict else above >= 0).to(membrane.dtype))
    coefficients = Coefficients(decay, leak, gain, hard_reset, soft_reset, threshold)
    trace = spiking_recurrence(current, coefficients, strict=strict, backend="reference", initial=start, trace=True)
    return trace.spikes, trace.membrane[0].clone()


@step.register_fake
def _(current: Tensor, membrane: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    return torch.empty_like(membrane, dtype=current.dtype).unsqueeze(0), torch.empty_like(membrane)
