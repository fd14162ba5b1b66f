"""How a still image becomes the input of a spiking network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def direct(image: Tensor, steps: int) -> Tensor:  # noqa: ARG001
    """The image itself as current, ``[1, B, C, H, W]``: the first unit works it out once and repeats its current."""
    return image


def poisson(image: Tensor, steps: int) -> Tensor:
    """Rate code: a spike with the pixel's value as probability at every step, ``[T, B, C, H, W]``.

    Drawn from torch's global seed, in eval mode too.
    """
    return torch.bernoulli(image.clamp(0, 1).expand(steps, -1, -1, -1, -1))


def latency(image: Tensor, steps: int) -> Tensor:
    """Time to first spike: one spike a pixel, at step round((1 − value)·(T − 1)), black never; ``[T, B, C, H, W]``."""
    first = ((1 - image.clamp(0, 1)) * (steps - 1)).round()
    step = torch.arange(steps, device=image.device, dtype=image.dtype).view(-1, 1, 1, 1, 1)
    return ((step == first) & (image > 0)).to(image.dtype)


ENCODERS: dict[str, Callable[[Tensor, int], Tensor]] = {"direct": direct, "poisson": poisson, "latency": latency}
"""Name → encoder of still images ``[1, B, C, H, W]`` with values in [0, 1], for so many time steps."""


def encode(name: str, image: Tensor, steps: int) -> Tensor:
    """Encode still images ``[1, B, C, H, W]`` for ``steps`` time steps; direct coding leaves one step.

    Raises:
        ValueError: for an unknown encoder.
    """
    if name not in ENCODERS:
        raise ValueError(f"unknown encoder {name!r}; choose one of {', '.join(ENCODERS)}")
    return ENCODERS[name](image, steps)
