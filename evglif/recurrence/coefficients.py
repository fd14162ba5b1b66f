"""The six coefficients to which every neuron of both papers reduces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NAMES = ("decay", "leak", "gain", "hard_reset", "soft_reset", "threshold")
"""a, b, g, r, d, v."""


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of the one recurrence, per channel or per layer.

        U[t] = a·U[t-1] − b + g[t]·X[t] − S[t-1]·(r·U[t-1] + d)        S[t] = 1 if U[t] > v, else 0

    Attributes:
        decay: a, ``[C]`` or ``[1]``.
        leak: b, ``[C]`` or ``[1]``.
        gain: g, ``[C]``, ``[1]``, or one row per time step: ``[T, C]``, ``[T, 1]``.
        hard_reset: r, ``[C]`` or ``[1]``.
        soft_reset: d, ``[C]`` or ``[1]``.
        threshold: v, ``[C]`` or ``[1]``.

    Raises:
        ValueError: for a coefficient of another number of dimensions; the message names it.
    """

    decay: Tensor
    leak: Tensor
    gain: Tensor
    hard_reset: Tensor
    soft_reset: Tensor
    threshold: Tensor

    def __post_init__(self) -> None:
        for name in NAMES:
            value: Tensor = getattr(self, name)
            if value.dim() != 1 and not (name == "gain" and value.dim() == 2):
                shapes = "[C], [1], [T, C] or [T, 1]" if name == "gain" else "[C] or [1]"
                raise ValueError(f"coefficient {name} must be {shapes}, got shape {tuple(value.shape)}")

    def check(self, steps: int, channels: int) -> None:
        """Make sure the coefficients fit a current of ``steps`` time steps and ``channels`` channels.

        Raises:
            ValueError: naming the coefficient and both numbers.
        """
        for name in NAMES:
            size = getattr(self, name).shape[-1]
            if size not in (1, channels):
                raise ValueError(f"coefficient {name} has {size} channels, the current has {channels}")
        if self.gain.dim() == 2 and self.gain.shape[0] != steps:
            raise ValueError(
                f"gain g^t has {self.gain.shape[0]} time steps, the current has {steps}; "
                "build the neuron with the number of steps of the data"
            )

    def to(self, dtype: torch.dtype) -> Coefficients:
        """The same coefficients in another dtype."""
        values: list[Tensor] = [getattr(self, name) for name in NAMES]
        if all(value.dtype == dtype for value in values):
            return self
        return Coefficients(*(value.to(dtype) for value in values))


def state_dtype(current: Tensor) -> torch.dtype:
    """The dtype in which membranes are kept: fp32 for half types, else that of the current."""
    return torch.float32 if current.dtype in (torch.float16, torch.bfloat16) else current.dtype
