"""LIF and IF, the integrate-and-fire neurons with and without leak that have nothing to learn (GLIF, eq. 1–3)."""

from __future__ import annotations

import torch
from torch import Tensor

from evglif.neurons.base import SpikingNeuron
from evglif.neurons.domains import SHARE, above
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate

RESETS = ("hard", "soft")


class LIF(SpikingNeuron):
    """Vanilla LIF: the membrane leaks a fixed share per step.

        U[t] = τ·U[t-1]·(1 − S[t-1]) + X[t]             hard reset, to 0 (the paper's)
        U[t] = τ·U[t-1] − V_th·S[t-1] + X[t]            soft reset, by the threshold
        S[t] = 1 if U[t] > V_th, else 0

    Args:
        decay: τ, the share of the membrane that is left after a step, in [0, 1].
        v_th: threshold V_th.
        surrogate: gradient of the step; the default is GLIF eq. 13. As the next, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        reset: ``"hard"`` or ``"soft"``.
        strict: fire at U > V_th (the default).
        detach_reset: cut the gradient through the spike in the reset; not by default.

    Raises:
        ValueError: for a decay outside [0, 1], a threshold that is not positive, or an unknown reset.
    """

    notation = "LIF"

    def __init__(
        self,
        decay: float = 0.5,
        v_th: float = 1.0,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        reset: str = "hard",
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        self.declare("tau", decay, SHARE, learnt=False)
        self.declare("v_th", v_th, above(0), learnt=False)
        self.reset = _known(reset)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence."""
        return _lif_coefficients(self.natural("tau"), self.natural("v_th"), self.reset)


class IF(SpikingNeuron):
    """IF, the integrator without leak: U[t] = U[t-1] + X[t], less V_th after a spike (or back to 0, hard).

    Args:
        v_th: threshold V_th.
        surrogate: gradient of the step; the default is GLIF eq. 13. As the next, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        reset: ``"soft"``, which loses no charge, or ``"hard"``.
        strict: fire at U > V_th (the default).
        detach_reset: cut the gradient through the spike in the reset; not by default.

    Raises:
        ValueError: for a threshold that is not positive, or an unknown reset.
    """

    notation = "IF"

    def __init__(
        self,
        v_th: float = 1.0,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        reset: str = "soft",
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        self.declare("v_th", v_th, above(0), learnt=False)
        self.reset = _known(reset)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence."""
        v_th = self.natural("v_th")
        return _lif_coefficients(torch.ones_like(v_th), v_th, self.reset)


def _lif_coefficients(tau: Tensor, v_th: Tensor, reset: str) -> Coefficients:
    zero, one = torch.zeros_like(tau), torch.ones_like(tau)
    hard, soft = (tau, zero) if reset == "hard" else (zero, v_th)
    return Coefficients(decay=tau, leak=zero, gain=one, hard_reset=hard, soft_reset=soft, threshold=v_th)


def _known(reset: str) -> str:
    if reset not in RESETS:
        raise ValueError(f"unknown reset {reset!r}; choose one of {', '.join(RESETS)}")
    return reset
