"""What makes a map of spikes smaller: pooling, flattening, voting."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.layers.folding import time_folded

POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {"average": F.avg_pool2d, "max": F.max_pool2d}
"""Name → 2×2 pooling. The mean of four spikes is a multiple of ¼; their maximum is a spike again."""


class SpikePool(nn.Module):
    """Pooling k2s2 of every time step: ``[T, B, C, H, W]`` → ``[T, B, C, H // 2, W // 2]``.

    Args:
        kind: ``"average"`` (GLIF) or ``"max"`` (PLIF), which keeps spikes binary.

    Raises:
        ValueError: for an unknown kind.
    """

    def __init__(self, kind: str = "average") -> None:
        super().__init__()
        if kind not in POOLINGS:
            raise ValueError(f"unknown pooling {kind!r}; choose one of {', '.join(POOLINGS)}")
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """The pooled spikes."""
        return time_folded(lambda folded: POOLINGS[self.kind](folded, 2), x)

    def notation(self) -> str:
        """The layer in the papers' notation."""
        return f"{self.kind[0].upper()}Pk2s2"


class GlobalPool(nn.Module):
    """Mean over the map: ``[T, B, C, H, W]`` → ``[T, B, C]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Mean over height and width."""
        return x.mean((-2, -1))

    def notation(self) -> str:
        """The layer in the papers' notation."""
        return "GAP"


class Flatten(nn.Module):
    """Maps as vectors: ``[T, B, C, H, W]`` → ``[T, B, C·H·W]``."""

    def forward(self, x: Tensor) -> Tensor:
        """All values of a time step and sample in a row."""
        return x.flatten(2)

    def notation(self) -> str:
        """Nothing: the papers leave it out."""
        return ""


class Voting(nn.Module):
    """Voting layer: every class is the mean of its own group of neurons, ``[…, K·votes]`` → ``[…, K]``.

    Args:
        votes: neurons per class.

    Source: APk10s10 of PLIF, Table S1.
    """

    def __init__(self, votes: int = 10) -> None:
        super().__init__()
        self.votes = votes

    def forward(self, x: Tensor) -> Tensor:
        """Share of a class's neurons that fire."""
        return x.view(*x.shape[:-1], -1, self.votes).mean(-1)

    def notation(self) -> str:
        """The layer in the papers' notation."""
        return f"APk{self.votes}s{self.votes}"
