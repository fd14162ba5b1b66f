"""The six coefficients to which every neuron of both papers reduces."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


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
        for field in fields(self):
            value: Tensor = getattr(self, field.name)
            allowed = (1, 2) if field.name == "gain" else (1,)
            if value.dim() not in allowed:
                shapes = "[C], [1], [T, C] or [T, 1]" if field.name == "gain" else "[C] or [1]"
                raise ValueError(f"coefficient {field.name} must be {shapes}, got shape {tuple(value.shape)}")

    def check(self, steps: int, channels: int) -> None:
        """Make sure the coefficients fit a current of ``steps`` time steps and ``channels`` channels.

        Raises:
            ValueError: naming the coefficient and both numbers.
        """
        for field in fields(self):
            size = getattr(self, field.name).shape[-1]
            if size not in (1, channels):
                raise ValueError(f"coefficient {field.name} has {size} channels, the current has {channels}")
        if self.gain.dim() == 2 and self.gain.shape[0] != steps:
            raise ValueError(
                f"gain g^t has {self.gain.shape[0]} time steps, the current has {steps}; "
                "build the neuron with the number of steps of the data"
            )

    def to(self, dtype: torch.dtype) -> Coefficients:
        """The same coefficients in another dtype."""
        return Coefficients(*(getattr(self, field.name).to(dtype) for field in fields(self)))


def state_dtype(current: Tensor) -> torch.dtype:
    """The dtype in which membranes are kept: fp32 for half types, else that of the current."""
    return torch.float32 if current.dtype in (torch.float16, torch.bfloat16) else current.dtype
