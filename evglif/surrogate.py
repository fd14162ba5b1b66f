"""Surrogate gradients: what stands for the derivative of the Heaviside step in the backward pass.

The forward pass is always the step itself. A surrogate is a name and a width; one table serves every backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def _rectangular(x: Tensor) -> Tensor:
    return (x.abs() < 0.5).to(x.dtype)


def _arctan(x: Tensor) -> Tensor:
    return 1 / (1 + (math.pi * x).square())


def _sigmoid(x: Tensor) -> Tensor:
    s = torch.sigmoid(4 * x)
    return 4 * s * (1 - s)


def _fast_sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + 2 * x.abs()).square()


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


DERIVATIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "rectangular": _rectangular,
    "arctan": _arctan,
    "sigmoid": _sigmoid,
    "fast-sigmoid": _fast_sigmoid,
    "triangle": _triangle,
}
"""Name → derivative at unit width; each has height 1 at the threshold.

``rectangular`` is GLIF eq. 13, H(0.5 − |x|). ``arctan`` is the surrogate of PLIF (supplementary §6), 1/(1 + (πx)²).
"""


@dataclass(frozen=True)
class Surrogate:
    """A surrogate gradient φ(x / width) / width of the distance x = U − v between membrane and threshold.

    Attributes:
        name: one of ``DERIVATIVES``.
        width: stretch along x, in units of the membrane; the area under the curve does not depend on it.

    Raises:
        ValueError: for an unknown name or a width that is not positive and finite.
    """

    name: str = "rectangular"
    width: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in DERIVATIVES:
            raise ValueError(f"unknown surrogate {self.name!r}; choose one of {', '.join(DERIVATIVES)}")
        if not (0 < self.width < math.inf):
            raise ValueError(f"surrogate width must be positive and finite, got {self.width}")

    def derivative(self, x: Tensor) -> Tensor:
        """The stand-in derivative at ``x`` (any shape), same shape."""
        if self.width == 1:
            return DERIVATIVES[self.name](x)
        return DERIVATIVES[self.name](x / self.width) / self.width


class _Step(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(distance: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:  # noqa: ARG004
        return _heaviside(distance, strict)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate, bool], output: Tensor) -> None:  # noqa: ARG004
        distance, ctx.surrogate, _ = inputs
        ctx.save_for_backward(distance)

    @staticmethod
    def backward(ctx: Any, *grad_spikes: Tensor) -> tuple[Tensor, None, None]:
        (distance,) = ctx.saved_tensors
        return grad_spikes[0] * ctx.surrogate.derivative(distance), None, None


def _heaviside(distance: Tensor, strict: bool) -> Tensor:
    step = (distance > 0 if strict else distance >= 0).to(distance.dtype)
    return torch.where(distance.isnan(), distance, step)


def spike(distance: Tensor, surrogate: Surrogate, strict: bool) -> Tensor:
    """Heaviside step of ``distance`` = U − v (any shape) as 0/1 in the same dtype, with a surrogate gradient.

    Where the distance is not a number, so is the spike: a broken membrane must not pass for a silent one.

    ``strict``: fire at U > v (GLIF eq. 6); otherwise at U ≥ v (PLIF eq. 5). Without gradients the step is a plain
    comparison, which is what exporters need to see.
    """
    if torch.is_grad_enabled() and distance.requires_grad:
        return _Step.apply(distance, surrogate, strict)  # type: ignore[no-any-return, no-untyped-call]
    return _heaviside(distance, strict)
