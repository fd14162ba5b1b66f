"""GLIF, the gated leaky integrate-and-fire neuron (Yao et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from evglif.neurons.base import SpikingNeuron, num_shared, worked_out_as
from evglif.neurons.domains import UNIT
from evglif.neurons.primitives import INITIAL_VALUES, PRIMITIVES, declare_primitives
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate

__all__ = ["GATES", "GATE_RANGES", "GLIF", "INITIAL_VALUES", "PRIMITIVES", "glif_coefficients"]

GATES = ("alpha", "beta", "gamma")
GATE_RANGES = {"paper": 0.2, "code": 0.1}
"""Gates start at σ(U[−r, r]): [.4502, .5498) in appendix A.2, half that range in the published code."""


def glif_coefficients(  # the eight symbols of eq. 10-12
    alpha: Tensor,
    beta: Tensor,
    gamma: Tensor,
    tau_exp: Tensor,
    tau_lin: Tensor,
    v_th: Tensor,
    v_re: Tensor,
    g: Tensor,
) -> Coefficients:
    """Coefficients of GLIF from its gates and primitives in natural units (eq. 4–12 with θ = 0).

        L = [1 − α(1 − τ_exp)]·U − (1 − α)·τ_lin        (eq. 10, leakage)
        I = [1 − β(1 − g^t)]·C                          (eq. 11, integration)
        F = −γ·[1 − α(1 − τ_exp)]·U − (1 − γ)·V_re      (eq. 12, reset)

    A factor 1 − x(1 − y) is worked out as (1 − x) + x·y. Where x is 0 or 1 that is 1 or y without rounding, so that
    binary gates give the simplex neurons exactly.

    Args:
        alpha: gate between linear (0) and exponential (1) decay, ``[C]`` or ``[1]``; as the next two.
        beta: gate between uniform (0) and time-dependent (1) input.
        gamma: gate between soft (0) and hard (1) reset.
        tau_exp: exponential decay, ``[C]`` or ``[1]``; as the next three.
        tau_lin: linear decay per step.
        v_th: threshold.
        v_re: soft-reset voltage.
        g: conductance per time step, ``[T, C]`` or ``[T, 1]``.
    """
    decay = (1 - alpha) + alpha * tau_exp
    return Coefficients(
        decay=decay,
        leak=(1 - alpha) * tau_lin,
        gain=(1 - beta) + beta * g,
        hard_reset=gamma * decay,
        soft_reset=(1 - gamma) * v_re,
        threshold=v_th,
    )


class GLIF(SpikingNeuron):
    """GLIF: three gates mix two kinds of decay, of input and of reset, all learnable.

    Every parameter x lies in (0, 1) and is learnt as x = σ(x_p). ``gates`` may be ``"learned"``, ``"static"``
    (GLIF_s of §4.3: drawn once, then fixed) or a binary code of α, β, γ such as ``"101"``, one of the eight simplex
    LIFs of Table 4; then the primitives alone are learnt.

    Args:
        channels: C, size of dimension 2 of the current.
        steps: T; g^t has one value per time step.
        sharing: ``"channel"``, one set of parameters per channel, or ``"layer"``, one for all (Table 6).
        gates: ``"learned"``, ``"static"`` or three binary digits.
        init: a name of ``INITIAL_VALUES``, or values in natural units for all five primitives.
        surrogate: gradient of the step; the default is eq. 13. As the next three, see ``SpikingNeuron``.
        backend: see ``spiking_recurrence``.
        strict: fire at U > V_th, as in eq. 6 (the default).
        detach_reset: cut the gradient through the spike in the reset; the paper does not.
        gate_range: a name of ``GATE_RANGES``, where gates are drawn.

    Raises:
        ValueError: for an unknown sharing, gates, init or gate range, or a count below one.

    Source: GLIF, eq. 4–13; initial values in appendix A.2 and Table 7.
    """

    notation = "GLIF"

    def __init__(
        self,
        channels: int,
        steps: int,
        sharing: str = "channel",
        gates: str = "learned",
        init: str | Mapping[str, float] = "cifar10dvs",
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        strict: bool | None = None,
        detach_reset: bool | None = None,
        gate_range: str = "paper",
    ) -> None:
        super().__init__(surrogate, backend, strict, detach_reset)
        self.logits = nn.Module()
        initial = _initial_gates(gates, num_shared(channels, sharing), gate_range)
        for name, value in zip(GATES, initial, strict=True):
            self.declare(name, value, UNIT, learnt=gates == "learned", role="gates", stored_as=f"logits.{name}")
        declare_primitives(self, channels, steps, sharing, init)

    @worked_out_as("glif", GATES + PRIMITIVES, UNIT)
    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence (eq. 10–12)."""
        return glif_coefficients(**{name: self.natural(name) for name in GATES + PRIMITIVES})


def _initial_gates(gates: str, shared: int, gate_range: str) -> list[Tensor]:
    if gate_range not in GATE_RANGES:
        raise ValueError(f"unknown gate range {gate_range!r}; choose one of {', '.join(GATE_RANGES)}")
    if gates in ("learned", "static"):
        reach = GATE_RANGES[gate_range]
        return [torch.sigmoid(torch.empty(shared).uniform_(-reach, reach).double()) for _ in GATES]
    if len(gates) != len(GATES) or set(gates) - {"0", "1"}:
        raise ValueError(f"gates must be 'learned', 'static' or three binary digits such as '101', got {gates!r}")
    return [torch.full((shared,), float(digit), dtype=torch.float64) for digit in gates]
