"""What training makes small."""

from __future__ import annotations

import math
from dataclasses import dataclass

LOSSES = ("ce", "tet", "mse")
RATES = ("network", "layer")


@dataclass(frozen=True)
class LossConfig:
    """What training makes small.

    Attributes:
        name: ``"ce"``, cross-entropy of the logits' mean over time (GLIF); ``"tet"``, the mean over time of every
            step's cross-entropy (TET); ``"mse"``, squared error of the mean output over time, which with spiking
            outputs is the firing rate (PLIF).
        label_smoothing: share of the target that is spread evenly over the classes (Szegedy et al., CVPR 2016).
        tet_weight: λ, the weight of TET's regulariser.
        tet_level: φ, where the regulariser draws every logit to; the threshold.
        rate_weight: λ, the weight of a penalty on firing above ``rate_target``, for fewer operations per inference;
            0 for none.
        rate_target: ν, in spikes per neuron and time step, from which on firing costs.
        rate_over: what ν bounds: the mean rate of the ``"network"``, or that of every ``"layer"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "ce"
    label_smoothing: float = 0.0
    tet_weight: float = 0.001
    tet_level: float = 1.0
    rate_weight: float = 0.0
    rate_target: float = 0.0
    rate_over: str = "network"

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise ValueError(f"unknown loss {self.name!r}; choose one of {', '.join(LOSSES)}")
        for name in ("label_smoothing", "tet_weight"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a share in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.rate_weight < math.inf:
            raise ValueError(f"rate_weight must be 0 or more, got {self.rate_weight}")
        if not 0 <= self.rate_target <= 1:
            raise ValueError(f"rate_target is in spikes per neuron and step, 0 to 1, got {self.rate_target}")
        if self.rate_over not in RATES:
            raise ValueError(f"unknown rate_over {self.rate_over!r}; choose one of {', '.join(RATES)}")

    @property
    def per_step(self) -> bool:
        """Whether the loss is one of ``[T, B, K]``, not of ``[B, K]``."""
        return self.name == "tet"
