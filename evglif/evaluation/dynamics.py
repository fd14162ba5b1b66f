"""How GLIF's gates and primitives shape a membrane: the four dynamics of its Figure 2, from the recurrence itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evglif.neurons.glif import glif_coefficients
from evglif.recurrence import spiking_recurrence

STEPS = 60
NEVER = 1e6
"""A threshold that is not reached, where only the membrane is to be seen."""

GATED = {"SR, soft": 0.0, "FR, fused": 0.5, "HR, hard": 1.0}
"""Curve of the fourth panel → γ."""


@dataclass(frozen=True)
class Neuron:
    """Values of a GLIF neuron in natural units, symbols as in the paper."""

    alpha: float = 1.0
    beta: float = 0.0
    gamma: float = 1.0
    tau_exp: float = 0.9
    tau_lin: float = 0.04
    v_th: float = NEVER
    v_re: float = 1.0

    def potential(self, current: Tensor, conductance: Tensor) -> NDArray[np.float64]:
        """U before the reset at each step, for a current and g^t, each ``[T]``."""
        values = {name: torch.tensor([value], dtype=torch.float64) for name, value in vars(self).items()}
        coefficients = glif_coefficients(**values, g=conductance[:, None])
        trace = spiking_recurrence(current[:, None, None], coefficients, backend="reference", trace=True)
        potential: NDArray[np.float64] = trace.membrane[:, 0, 0].numpy()
        return potential


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Potentials by step of the four panels, each by the name of its curve, and the conductances of the second.

    Attributes:
        decay: (a), input in the first half only.
        coding: (b), a steady input weighted by an oscillating conductance.
        conductance: (b) below, 1 − β(1 − g^t).
        reset: (c), a steady input.
        gated_reset: (d), the same.
        threshold: of (c) and (d).
    """

    decay: Mapping[str, NDArray[np.float64]]
    coding: Mapping[str, NDArray[np.float64]]
    conductance: Mapping[str, NDArray[np.float64]]
    reset: Mapping[str, NDArray[np.float64]]
    gated_reset: Mapping[str, NDArray[np.float64]]
    threshold: float


def glif_dynamics(steps: int = STEPS) -> Dynamics:
    """The four neuronal dynamics of GLIF's Figure 2, of so many time steps.

    Source: Yao et al., NeurIPS 2022, Figure 2; its values are not printed, and these are chosen to show the same.
    """
    time = torch.arange(steps, dtype=torch.float64)
    steady, even = torch.full((steps,), 0.1, dtype=torch.float64), torch.ones(steps, dtype=torch.float64)
    first_half = steady * (time < steps / 2)
    wave = 0.5 + 0.5 * torch.cos(4 * torch.pi * time / steps)
    decays = {
        "ND, no decay": Neuron(alpha=0, tau_lin=0),
        "LD, linear, α = 0": Neuron(alpha=0),
        "FD, fused, α = 0.5": Neuron(alpha=0.5),
        "ED, exponential, α = 1": Neuron(alpha=1),
    }
    coded = {f"β = {beta:g}": Neuron(beta=beta) for beta in (0, 0.5, 1)}
    firing = Neuron(tau_exp=0.97, v_th=1.0)
    resets = {f"SR, soft, V_re = {v:g}": replace(firing, gamma=0, v_re=v) for v in (0.5, 0.8, 1.4)}
    gated = {f"{name}, γ = {gamma:g}": replace(firing, gamma=gamma, v_re=0.5) for name, gamma in GATED.items()}
    return Dynamics(
        decay={name: neuron.potential(first_half, even) for name, neuron in decays.items()},
        coding={name: neuron.potential(steady, wave) for name, neuron in coded.items()},
        conductance={name: (1 - neuron.beta * (1 - wave)).numpy() for name, neuron in coded.items()},
        reset={name: neuron.potential(steady, even) for name, neuron in {"HR, hard": firing, **resets}.items()},
        gated_reset={name: neuron.potential(steady, even) for name, neuron in gated.items()},
        threshold=firing.v_th,
    )
