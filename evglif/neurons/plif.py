"""PLIF, the parametric leaky integrate-and-fire neuron (Fang et al., ICCV 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from evglif.neurons.base import SpikingNeuron
from evglif.neurons.domains import TIME_CONSTANT, above
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate


class PLIF(SpikingNeuron):
    """PLIF: a LIF neuron whose membrane time constant τ is learnt, one per layer.

        U[t] = V[t-1] + k·(X[t] − (V[t-1] − V_reset))        k = 1/τ = σ(a)
        S[t] = 1 if U[t] ≥ V_th, else 0                      V[t] = U[t] or, after a spike, V_reset

    Without V_reset the reset is soft, V[t] = U[t] − V_th·S[t], and the membrane leaks to 0: SpikingJelly's variant,
    not the paper's.

    Args:
        tau: initial time constant τ₀ in steps, above 1.
        v_th: threshold V_th.
        v_reset: V_reset, to which the membrane leaks and is reset, below V_th; None for the soft reset.
        surrogate: gradient of the step; the default is the paper's arctan. As the next, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        learn_tau: whether τ is learnt; False gives the LIF neuron that the paper compares with.
        strict: fire at U > V_th; the paper's neuron fires at U ≥ V_th.
        detach_reset: cut the gradient through the spike in the reset, as the paper does (the default).

    Raises:
        ValueError: for τ ≤ 1 or a threshold that is not above V_reset.

    Source: PLIF, eq. 2–6 and 9–11; surrogate and detached reset in supplementary §6.
    """

    notation = "PLIF"
    strict = False
    detach_reset = True
    surrogate_name = "arctan"

    def __init__(
        self,
        tau: float = 2.0,
        v_th: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        learn_tau: bool = True,
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        self.rest = 0.0 if v_reset is None else v_reset
        self.soft = v_reset is None
        if not v_th > self.rest:
            raise ValueError(f"the threshold must be above the reset voltage, got V_th={v_th}, V_reset={v_reset}")
        self.declare("tau", tau, TIME_CONSTANT, learnt=learn_tau, stored_as="a")
        self.declare("v_th", v_th, above(self.rest), learnt=False)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence, with k = σ(a)."""
        k, v_th = torch.sigmoid(self._stored("tau")), self.natural("v_th")
        hard, soft = self._reset(k, v_th)
        return Coefficients(
            decay=1 - k,
            leak=-k * self.rest,
            gain=k,
            hard_reset=hard,
            soft_reset=soft,
            threshold=v_th,
        )

    def _reset(self, k: Tensor, v_th: Tensor) -> tuple[Tensor, Tensor]:
        if self.soft:
            return torch.zeros_like(k), (1 - k) * v_th
        return 1 - k, (k - 1) * self.rest
