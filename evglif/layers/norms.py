"""Batch norm over time and batch, plain or threshold-dependent."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

NORMS = ("bn", "tdbn")


class TdBatchNorm2d(nn.BatchNorm2d):
    """Threshold-dependent batch norm: scale·x̂·w + b, with statistics over time and batch.

    Args:
        channels: C.
        scale: α·V_th, a fixed constant: α is 1 inside a block and 1/√2 where two paths are added.

    Source: Zheng et al., AAAI 2021 (tdBN), as used in GLIF's experiments.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__(channels)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[T·B, C, H, W]``, same shape."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight * self.scale,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
        )

    def extra_repr(self) -> str:
        """The fixed scale, beside what batch norm says of itself."""
        return f"{super().extra_repr()}, scale={self.scale}"  # type: ignore[no-untyped-call]


def build_norm(name: str, channels: int, scale: float = 1.0) -> nn.Module:
    """Batch norm by name: ``"bn"``, or ``"tdbn"`` with its ``scale``.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in NORMS:
        raise ValueError(f"unknown norm {name!r}; choose one of {', '.join(NORMS)}")
    return nn.BatchNorm2d(channels) if name == "bn" else TdBatchNorm2d(channels, scale)
