"""PLIF, the parametric leaky integrate-and-fire neuron (Fang et al., ICCV 2021)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from evglif.neurons.base import SpikingNeuron
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate


class PLIF(SpikingNeuron):
    """PLIF: a LIF neuron whose membrane time constant τ is learnt, one per layer.

        U[t] = V[t-1] + k·(X[t] − (V[t-1] − V_reset))        k = 1/τ = σ(a)
        S[t] = 1 if U[t] ≥ V_th, else 0                      V[t] = U[t] or, after a spike, V_reset

    Args:
        tau: initial time constant τ₀ in steps, above 1.
        v_th: threshold V_th.
        v_reset: V_reset, to which the membrane leaks and is reset.
        surrogate: gradient of the step; the default is the paper's arctan.
        backend: see ``spiking_recurrence``.

    Raises:
        ValueError: for τ ≤ 1 or a threshold that is not above V_reset.

    Source: PLIF, eq. 2–6 and 9–11; surrogate and detached reset in supplementary §6.
    """

    strict = False
    detach_reset = True
    surrogate_name = "arctan"

    def __init__(
        self,
        tau: float = 2.0,
        v_th: float = 1.0,
        v_reset: float = 0.0,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(surrogate, backend)
        if not 1 < tau < math.inf:
            raise ValueError(f"the time constant τ must be above 1 step and finite, got {tau}")
        if not v_th > v_reset:
            raise ValueError(f"the threshold must be above the reset voltage, got V_th={v_th}, V_reset={v_reset}")
        self.a = nn.Parameter(torch.full((1,), -math.log(tau - 1)))
        self.rest = v_reset
        self.register_buffer("v_th", torch.full((1,), v_th), persistent=False)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence, with k = σ(a)."""
        k = torch.sigmoid(self.a)
        return Coefficients(
            decay=1 - k,
            leak=-k * self.rest,
            gain=k,
            hard_reset=1 - k,
            soft_reset=(k - 1) * self.rest,
            threshold=self.get_buffer("v_th"),
        )

    def values(self) -> dict[str, Tensor]:
        """The time constant τ in steps, ``[1]``."""
        return {"tau": 1 / torch.sigmoid(self.a.detach())}
