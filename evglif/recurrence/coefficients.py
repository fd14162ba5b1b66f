"""The six coefficients to which every neuron of both papers reduces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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
        if all(value.dtype == dtype for value in self.values):
            return self
        return Coefficients(*(value.to(dtype) for value in self.values))

    def rows(self, choose: Callable[[Tensor], Tensor]) -> Coefficients:
        """The same with some of the rows of a gain that has one per time step."""
        return self if self.gain.dim() == 1 else replace(self, gain=choose(self.gain))

    @property
    def values(self) -> tuple[Tensor, ...]:
        """All six in the order of ``NAMES``."""
        return tuple(getattr(self, name) for name in NAMES)

    def packed(self) -> Stored:
        """The same as two tensors, a, b, r, d, v ``[5, C]`` or ``[5, 1]`` and g, which many calls may share."""
        five = [value for name, value in zip(NAMES, self.values, strict=True) if name != "gain"]
        channels = max(len(value) for value in five)
        return as_packed(torch.stack([value.expand(channels) for value in five]), self.gain)


@dataclass(frozen=True)
class Stored:
    """A neuron's values as it stores them, of which a compiled backend works out the coefficients by itself.

    Attributes:
        form: how; a name that the backends' forms have.
        values: each ``[C]`` or ``[1]``; the last may have one row per time step, ``[T, C]`` or ``[T, 1]``.
        plain: the same coefficients in plain torch, differentiable in the values.
    """

    form: str
    values: tuple[Tensor, ...]
    plain: Callable[[], Coefficients]

    @property
    def threshold(self) -> Tensor:
        """v, in plain torch."""
        return self.plain().threshold

    @property
    def steps(self) -> int | None:
        """T where a value has one row per time step."""
        last = self.values[-1]
        return len(last) if last.dim() == 2 else None

    def rows(self, choose: Callable[[Tensor], Tensor]) -> Stored:
        """The same with some of the rows of what has one per time step."""
        *others, last = self.values
        if last.dim() == 1:
            return self
        return Stored(self.form, (*others, choose(last)), lambda: self.plain().rows(choose))

    def by_step(self) -> tuple[Stored, ...]:
        """Of packed ones, those of each time step by itself; one alone where all steps share it."""
        five, gain = self.values
        return (self,) if gain.dim() == 1 else tuple(as_packed(five, row) for row in gain.unsqueeze(1).unbind(0))

    def fits(self, steps: int, channels: int, dtype: torch.dtype) -> bool:
        """Whether the values are those of a current of so many steps and channels, with a state of that dtype."""
        per_step = self.values[-1]
        return (per_step.dim() == 1 or per_step.shape[0] == steps) and all(
            value.dtype == dtype and value.shape[-1] in (1, channels) for value in self.values
        )


def as_packed(five: Tensor, gain: Tensor) -> Stored:
    """Coefficients as two tensors: a, b, r, d, v ``[5, C]`` or ``[5, 1]``, and g."""

    def plain() -> Coefficients:
        decay, leak, *others = five.unbind(0)
        return Coefficients(decay, leak, gain, *others)

    return Stored("packed", (five, gain), plain)


def state_dtype(current: Tensor) -> torch.dtype:
    """The dtype in which membranes are kept: fp32 for half types, else that of the current."""
    return torch.float32 if current.dtype in (torch.float16, torch.bfloat16) else current.dtype
