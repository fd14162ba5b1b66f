"""GLIF_f, GLIF without gates: the control of the ablation (Yao et al., NeurIPS 2022, appendix A.3)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from evglif.neurons.base import SpikingNeuron
from evglif.neurons.primitives import declare_primitives
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate


class GLIFf(SpikingNeuron):
    """GLIF_f, the coarsely fused LIF: both kinds of decay, of input and of reset at full strength, added up.

        U[t] = τ_exp·U[t-1] − τ_lin + g^t·X[t] − S[t-1]·(τ_exp·U[t-1] + V_re)        S[t] = 1 if U[t] > V_th, else 0

    Args:
        channels: C, size of dimension 2 of the current.
        steps: T; g^t has one value per time step.
        sharing: ``"channel"``, one set of primitives per channel, or ``"layer"``, one for all.
        init: a name of ``INITIAL_VALUES``, or values in natural units for all five primitives.
        surrogate: gradient of the step; the default is GLIF eq. 13. As the next three, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        strict: fire at U > V_th (the default).
        detach_reset: cut the gradient through the spike in the reset; the paper does not.

    Raises:
        ValueError: for an unknown sharing or init, or a count below one.

    Source: GLIF, eq. 14–19; the initial values are those of GLIF.
    """

    notation = "GLIF_f"

    def __init__(
        self,
        channels: int,
        steps: int,
        sharing: str = "channel",
        init: str | Mapping[str, float] = "cifar10dvs",
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        self.logits = nn.Module()
        declare_primitives(self, channels, steps, sharing, init)

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence (eq. 17–19)."""
        tau_exp = self.natural("tau_exp")
        return Coefficients(
            decay=tau_exp,
            leak=self.natural("tau_lin"),
            gain=self.natural("g"),
            hard_reset=tau_exp,
            soft_reset=self.natural("v_re"),
            threshold=self.natural("v_th"),
        )
