"""GLIF, the gated leaky integrate-and-fire neuron (Yao et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from evglif.neurons.base import SpikingNeuron, logit, num_shared
from evglif.recurrence import Coefficients
from evglif.surrogate import Surrogate

GATES = ("alpha", "beta", "gamma")
PRIMITIVES = ("tau_exp", "tau_lin", "v_th", "v_re", "g")
GATE_RANGE = 0.2
"""Gates start at σ(U[−0.2, 0.2]) = [0.4502, 0.5498) (appendix A.2)."""

INITIAL_VALUES: dict[str, dict[str, float]] = {
    "cifar": {"v_th": 0.5, "v_re": 0.5, "g": 0.5, "tau_exp": 0.25, "tau_lin": 0.0625},
    "imagenet-t4": {"v_th": 0.5, "v_re": 0.5, "g": 0.5, "tau_exp": 0.25, "tau_lin": 0.0625},
    "imagenet-t6": {"v_th": 0.5, "v_re": 0.5, "g": 0.9, "tau_exp": 0.25, "tau_lin": 0.0625},
    "cifar10dvs": {"v_th": 0.99999, "v_re": 0.99999, "g": 0.9, "tau_exp": 0.5, "tau_lin": 0.03125},
}
"""Initial primitives per data set (appendix, Table 7). The table's 1.0 has no inverse sigmoid: .99999 stands for it,
as in the published code; its gradient is then nearly nought, so V_th and V_re hardly learn on CIFAR10-DVS."""


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
    decay = 1 - alpha * (1 - tau_exp)
    return Coefficients(
        decay=decay,
        leak=(1 - alpha) * tau_lin,
        gain=1 - beta * (1 - g),
        hard_reset=gamma * decay,
        soft_reset=(1 - gamma) * v_re,
        threshold=v_th,
    )


class GLIF(SpikingNeuron):
    """GLIF: three gates mix two kinds of decay, of input and of reset, all learnable.

    Every parameter x lies in (0, 1) and is learnt as x = σ(x_p). ``gates`` may be ``"learned"``, ``"static"``
    (GLIF_s: drawn once, then fixed) or a binary code of α, β, γ such as ``"101"``, one of the eight simplex LIFs.

    Args:
        channels: C, size of dimension 2 of the current.
        steps: T; g^t has one value per time step.
        sharing: ``"channel"``, one set of parameters per channel, or ``"layer"``, one for all (Table 6).
        gates: ``"learned"``, ``"static"`` or three binary digits.
        init: a name of ``INITIAL_VALUES``, or values in natural units for all five primitives.
        surrogate: gradient of the step; the default is eq. 13.
        backend: see ``spiking_recurrence``.

    Raises:
        ValueError: for an unknown sharing, gates or init, or a count below one.

    Source: GLIF, eq. 4–13; initial values in appendix A.2 and Table 7.
    """

    def __init__(
        self,
        channels: int,
        steps: int,
        sharing: str = "channel",
        gates: str = "learned",
        init: str | Mapping[str, float] = "cifar10dvs",
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__(surrogate, backend)
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        shared = num_shared(channels, sharing)
        self.logits = nn.ParameterDict()
        for name, value in _initial_primitives(init).items():
            shape = (steps, shared) if name == "g" else (shared,)
            self.logits[name] = nn.Parameter(torch.full(shape, logit(torch.tensor(value, dtype=torch.float64)).item()))
        for name, gate in zip(GATES, _initial_gates(gates, shared), strict=True):
            self.logits[name] = nn.Parameter(gate, requires_grad=gates == "learned")

    def _natural(self) -> dict[str, Tensor]:
        return {name: torch.sigmoid(self.logits[name]) for name in GATES + PRIMITIVES}

    def coefficients(self) -> Coefficients:
        """The six coefficients of the recurrence (eq. 10–12)."""
        return glif_coefficients(**self._natural())

    def values(self) -> dict[str, Tensor]:
        """α, β, γ, τ_exp, τ_lin, V_th, V_re ``[C]`` or ``[1]`` and g ``[T, C]`` or ``[T, 1]``, all in [0, 1]."""
        return {name: value.detach() for name, value in self._natural().items()}

    def set_values(self, **values: Tensor | float) -> None:
        """Set parameters in natural units: ``set_values(alpha=0.5, g=tensor)``; a scalar fills the whole tensor.

        Raises:
            ValueError: for an unknown name, a shape that doesn't fit, or a value outside [0, 1].
        """
        for name, given in values.items():
            if name not in self.logits:
                raise ValueError(f"GLIF has no parameter {name!r}; it has {', '.join(GATES + PRIMITIVES)}")
            value = torch.as_tensor(given, dtype=torch.float64)
            if not ((value >= 0) & (value <= 1)).all():
                raise ValueError(f"{name} must lie in [0, 1] (it is learnt through a sigmoid), got {given}")
            if value.dim() and value.shape != self.logits[name].shape:
                expected, received = tuple(self.logits[name].shape), tuple(value.shape)
                raise ValueError(f"{name} has shape {expected}, got values of shape {received}")
        with torch.no_grad():
            for name, given in values.items():
                self.logits[name].copy_(logit(torch.as_tensor(given, dtype=torch.float64)))

    def roles(self) -> dict[str, list[nn.Parameter]]:
        """Learnable gates and primitives."""
        return {
            "gates": [self.logits[name] for name in GATES if self.logits[name].requires_grad],
            "primitives": [self.logits[name] for name in PRIMITIVES],
        }


def _initial_primitives(init: str | Mapping[str, float]) -> dict[str, float]:
    if isinstance(init, str):
        if init not in INITIAL_VALUES:
            raise ValueError(f"unknown init {init!r}; choose one of {', '.join(INITIAL_VALUES)} or give the values")
        return INITIAL_VALUES[init]
    if set(init) != set(PRIMITIVES) or not all(0 <= value <= 1 for value in init.values()):
        raise ValueError(f"init must give {', '.join(PRIMITIVES)}, each in [0, 1]; got {dict(init)}")
    return dict(init)


def _initial_gates(gates: str, shared: int) -> list[Tensor]:
    if gates in ("learned", "static"):
        return [torch.empty(shared).uniform_(-GATE_RANGE, GATE_RANGE) for _ in GATES]
    if len(gates) != len(GATES) or set(gates) - {"0", "1"}:
        raise ValueError(f"gates must be 'learned', 'static' or three binary digits such as '101', got {gates!r}")
    return [logit(torch.full((shared,), float(digit))) for digit in gates]
