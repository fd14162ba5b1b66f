"""Time folding: a stateless layer runs once for all time steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def time_folded(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a stateless layer to every time step at once: ``[T, B, …]`` → ``[T·B, …]`` → layer → ``[T, B, …]``."""
    folded = layer(x.flatten(0, 1))
    return folded.view(x.shape[0], -1, *folded.shape[1:])
