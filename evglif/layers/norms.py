"""Batch norm over time and batch, plain or threshold-dependent."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

NORMS = ("bn", "tdbn")


class TdBatchNorm2d(nn.Module):
    """Threshold-dependent batch norm: scale·w·x̂ + b, with statistics over time and batch.

    The scale lies outside of the batch norm, so that it outlasts whatever takes the batch norm's place:
    ``SyncBatchNorm.convert_sync_batchnorm`` makes a new one of the tensors and forgets what a subclass has added.

    Args:
        channels: C.
        scale: α·V_th, a fixed constant: α is 1 inside a block and 1/√2 where two paths are added.

    Source: Zheng et al., AAAI 2021 (tdBN), as used in GLIF's experiments.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.num_features = channels
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[T·B, C, H, W]``, same shape."""
        normal: Tensor
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            # Tracing refuses what is done otherwise; this takes one pass more.
            normal = self.scale * self.norm(x) + (1 - self.scale) * self.norm.bias.view(-1, 1, 1)
        else:
            normal = functional_call(self.norm, {"weight": self.norm.weight * self.scale}, (x,))
        return normal

    def extra_repr(self) -> str:
        """The fixed scale."""
        return f"scale={self.scale}"


def build_norm(name: str, channels: int, scale: float = 1.0) -> nn.Module:
    """Batch norm by name: ``"bn"``, or ``"tdbn"`` with its ``scale``.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in NORMS:
        raise ValueError(f"unknown norm {name!r}; choose one of {', '.join(NORMS)}")
    return nn.BatchNorm2d(channels) if name == "bn" else TdBatchNorm2d(channels, scale)
