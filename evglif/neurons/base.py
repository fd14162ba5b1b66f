"""What all neurons share: a neuron is a parameterisation, the recurrence does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from evglif.recurrence import Coefficients, State, Trace, spiking_recurrence
from evglif.surrogate import Surrogate

SHARINGS = ("channel", "layer")


class SpikingNeuron(nn.Module, ABC):
    """Base of the neurons: learnable tensors → six coefficients → spikes.

    A subclass states ``coefficients()`` and, where its parameters are not ordinary weights, their roles.

    Attributes:
        strict: fire at U > v (True) or at U ≥ v (False).
        detach_reset: whether the spike in the reset term carries no gradient.
        rest: membrane before the first step.
    """

    strict: ClassVar[bool] = True
    detach_reset: ClassVar[bool] = False
    surrogate_name: ClassVar[str] = "rectangular"
    rest: float = 0.0

    def __init__(self, surrogate: str | Surrogate | None = None, backend: str = "auto") -> None:
        super().__init__()
        surrogate = self.surrogate_name if surrogate is None else surrogate
        self.surrogate = Surrogate(surrogate) if isinstance(surrogate, str) else surrogate
        self.backend = backend

    @abstractmethod
    def coefficients(self) -> Coefficients:
        """The six coefficients, differentiable in the learnable parameters."""

    @abstractmethod
    def values(self) -> dict[str, Tensor]:
        """The parameters in natural units, detached: name in the paper → tensor."""

    def roles(self) -> dict[str, list[nn.Parameter]]:
        """Learnable parameters by role, ``"gates"`` and ``"primitives"``: recipes treat them unlike weights."""
        return {"gates": [], "primitives": list(self.parameters())}

    def forward(self, current: Tensor) -> Tensor:
        """Spikes ``[T, B, C, …]`` for a current ``[T, B, C, …]``, from rest."""
        return spiking_recurrence(
            current,
            self.coefficients(),
            self.surrogate,
            self.strict,
            self.detach_reset,
            self.backend,
            initial=self.rest,
        )

    def trace(self, current: Tensor, initial: State | None = None) -> Trace:
        """Spikes, membranes and final state for a current ``[T, B, C, …]``, from rest or from ``initial``."""
        return spiking_recurrence(
            current,
            self.coefficients(),
            self.surrogate,
            self.strict,
            self.detach_reset,
            self.backend,
            initial=self.rest if initial is None else initial,
            trace=True,
        )


def num_shared(channels: int, sharing: str) -> int:
    """How many values a parameter has: one per channel, or one for the layer.

    Raises:
        ValueError: for an unknown sharing or fewer than one channel.
    """
    if sharing not in SHARINGS:
        raise ValueError(f"unknown sharing {sharing!r}; choose one of {', '.join(SHARINGS)}")
    if channels < 1:
        raise ValueError(f"a neuron needs at least one channel, got {channels}")
    return channels if sharing == "channel" else 1


def logit(value: Tensor) -> Tensor:
    """Inverse of the sigmoid; 0 and 1 give ∓∞, whose sigmoid is 0 and 1 again."""
    return torch.log(value) - torch.log1p(-value)
