"""LIF and IF with values of their own for every channel, as other simulators and chips hold them."""

from __future__ import annotations

import math

import torch

from evglif.neurons.base import SpikingNeuron
from evglif.neurons.domains import SHARE, Domain
from evglif.neurons.lif import RESETS
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate

ANY = Domain(-math.inf, math.inf, closed=False)


class ChannelLIF(SpikingNeuron):
    """LIF, or IF where the decay is 1, whose values differ from channel to channel; nothing of them is learnt.

        U[t] = a·V[t-1] − b + g·X[t]            S[t] = 1 if U[t] > V_th, else 0
        V[t] = U[t] or, after a spike, V_reset (hard reset), or U[t] − V_th (soft reset)

    NIR's equations, integrated by Euler with a time step dt: a = 1 − dt/τ, b = −v_leak·dt/τ, g = r·dt/τ; of an IF
    a = 1, b = 0, g = r·dt.

    Args:
        channels: C.
        rest: V_reset, where the membrane begins.
        reset: ``"hard"`` or ``"soft"``.
        surrogate: gradient of the step; as the next, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        strict: fire at U > V_th (the default, NIR's).
        detach_reset: cut the gradient through the spike in the reset; not by default.

    Raises:
        ValueError: for an unknown reset.
    """

    notation = "LIF"

    def __init__(
        self,
        channels: int,
        rest: float = 0.0,
        reset: str = "hard",
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        if reset not in RESETS:
            raise ValueError(f"unknown reset {reset!r}; choose one of {', '.join(RESETS)}")
        self.rest, self.reset = rest, reset
        self.declare("decay", 0.5, SHARE, (channels,), learnt=False)
        for name, value in (("leak", 0.0), ("gain", 1.0), ("v_th", rest + 1.0)):
            self.declare(name, value, ANY, (channels,), learnt=False)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence."""
        decay, v_th = self.natural("decay"), self.natural("v_th")
        hard = self.reset == "hard"
        return Coefficients(
            decay=decay,
            leak=self.natural("leak"),
            gain=self.natural("gain"),
            hard_reset=decay if hard else torch.zeros_like(decay),
            soft_reset=-decay * self.rest if hard else decay * v_th,
            threshold=v_th,
        )
