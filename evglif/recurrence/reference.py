"""The recurrence in plain PyTorch with autograd: slow, on any device, and what every other backend must equal."""

from __future__ import annotations

import torch
from torch import Tensor

from evglif.recurrence.coefficients import Coefficients
from evglif.surrogate import Surrogate, spike


def scan(
    current: Tensor,
    coefficients: Coefficients,
    surrogate: Surrogate,
    strict: bool,
    detach_reset: bool,
    membrane: Tensor | float,
    fired: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run the recurrence over time, step by step, exactly as it is written.

    Args:
        current: X, ``[T, B, C, …]``, already in the dtype of the state.
        coefficients: in the same dtype.
        surrogate: gradient of the step.
        strict: fire at U > v, otherwise at U ≥ v.
        detach_reset: let no gradient pass through the spike in the reset term.
        membrane: U before the first step, ``[B, C, …]`` or one value for all.
        fired: S before the first step, ``[B, C, …]``; None for no spikes.

    Returns:
        spikes and membranes (before the reset), each ``[T, B, C, …]``.
    """
    per_channel = (-1,) + (1,) * (current.dim() - 3)
    decay, leak = coefficients.decay.view(per_channel), coefficients.leak.view(per_channel)
    hard, soft = coefficients.hard_reset.view(per_channel), coefficients.soft_reset.view(per_channel)
    threshold = coefficients.threshold.view(per_channel)
    if detach_reset and fired is not None:
        fired = fired.detach()
    spikes, membranes = [], []
    for step, current_step in enumerate(current.unbind(0)):
        gain = coefficients.gain[step] if coefficients.gain.dim() == 2 else coefficients.gain
        update = decay * membrane - leak + gain.view(per_channel) * current_step
        # The first step starts from the input alone, so that an exported graph holds no fixed batch size.
        membrane = update if fired is None else update - fired * (hard * membrane + soft)
        spikes.append(spike(membrane - threshold, surrogate, strict))
        membranes.append(membrane)
        fired = spikes[-1].detach() if detach_reset else spikes[-1]
    return torch.stack(spikes), torch.stack(membranes)
