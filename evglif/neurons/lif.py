"""LIF, the vanilla leaky integrate-and-fire neuron with hard reset to nought (GLIF, eq. 1–3)."""

from __future__ import annotations

import torch
from torch import Tensor

from evglif.neurons.base import SpikingNeuron
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate


class LIF(SpikingNeuron):
    """Vanilla LIF with nothing to learn: U[t] = τ·U[t-1]·(1 − S[t-1]) + X[t], S[t] = 1 if U[t] > V_th.

    Args:
        decay: τ, the share of the membrane that is left after a step, in [0, 1].
        v_th: threshold V_th.
        surrogate: gradient of the step; the default is GLIF eq. 13.
        backend: see ``spiking_recurrence``.

    Raises:
        ValueError: for a decay outside [0, 1] or a threshold that is not positive.
    """

    def __init__(
        self,
        decay: float = 0.5,
        v_th: float = 1.0,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(surrogate, backend)
        if not 0 <= decay <= 1:
            raise ValueError(f"the decay must lie in [0, 1], got {decay}")
        if not v_th > 0:
            raise ValueError(f"the threshold must be positive, got {v_th}")
        for name, value in (("tau", decay), ("v_th", v_th), ("zero", 0.0), ("one", 1.0)):
            self.register_buffer(name, torch.full((1,), value), persistent=False)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence."""
        tau, v_th = self.get_buffer("tau"), self.get_buffer("v_th")
        zero, one = self.get_buffer("zero"), self.get_buffer("one")
        return Coefficients(decay=tau, leak=zero, gain=one, hard_reset=tau, soft_reset=zero, threshold=v_th)

    def values(self) -> dict[str, Tensor]:
        """The decay τ and the threshold V_th, ``[1]`` each."""
        return {"tau": self.get_buffer("tau"), "v_th": self.get_buffer("v_th")}
