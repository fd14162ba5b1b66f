"""Where a neuron's values may lie, and the scale on which they are stored and learnt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def logit(value: Tensor) -> Tensor:
    """Inverse of the sigmoid; 0 and 1 give ∓∞, whose sigmoid is 0 and 1 again."""
    return torch.log(value) - torch.log1p(-value)


def sigmoid(value: Tensor) -> Tensor:
    """σ, worked out in float64 and rounded: so it is the same number on every device and in every compiled loop.

    Libraries differ in the last place of a fp32 exponential, and one place of a threshold can be a spike.
    """
    if value.device.type == "mps":  # which knows no float64
        return torch.sigmoid(value)
    return torch.sigmoid(value.double()).to(value.dtype)


def _as_it_is(value: Tensor) -> Tensor:
    return value


def _time_constant(a: Tensor) -> Tensor:
    return 1 + torch.exp(-a)


def _rate_logit(tau: Tensor) -> Tensor:
    return -torch.log(tau - 1)


@dataclass(frozen=True)
class Domain:
    """An interval of natural units, and the two ways between them and the stored scale.

    Attributes:
        low, high: ends of the interval.
        closed: whether the ends belong to it.
        natural: stored → natural units, differentiable.
        stored: natural → stored.
    """

    low: float
    high: float
    closed: bool = True
    natural: Callable[[Tensor], Tensor] = _as_it_is
    stored: Callable[[Tensor], Tensor] = _as_it_is

    def __str__(self) -> str:
        high = "∞" if self.high == math.inf else f"{self.high:g}"
        return f"[{self.low:g}, {high}]" if self.closed else f"({self.low:g}, {high})"

    def check(self, name: str, given: Tensor | float) -> Tensor:
        """A value in natural units as a float64 tensor on the CPU, or without data (device "meta") as it came.

        Raises:
            ValueError: where any of it lies outside; the message names the value and the interval.
        """
        if isinstance(given, Tensor) and given.is_meta:
            return given.detach()
        value = torch.as_tensor(given, dtype=torch.float64, device="cpu").detach()
        at_end = (value == self.low) | (value == self.high)
        inside = ((value > self.low) & (value < self.high)) | (at_end & self.closed)
        if not inside.all():
            raise ValueError(f"{name} must lie in {self}, got {given}")
        return value


UNIT = Domain(0, 1, natural=sigmoid, stored=logit)
"""x = σ(x_p): the parametric method of GLIF (§3.2). At the very ends, x_p is infinite and learns no more."""

SHARE = Domain(0, 1)
"""A share that is stored as it is."""

TIME_CONSTANT = Domain(1, math.inf, closed=False, natural=_time_constant, stored=_rate_logit)
"""τ in steps, 1/τ = σ(a): the clamp function of PLIF (eq. 6)."""


def above(low: float) -> Domain:
    """Any finite value above ``low``, stored as it is."""
    return Domain(low, math.inf, closed=False)
