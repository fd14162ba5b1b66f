"""Dropout whose mask is held over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)


class HeldDropout(nn.Module):
    """Dropout that leaves out the same values at every time step of a sample: one mask for ``[T, B, …]``.

    A mask drawn anew at every step would leave no value out of the mean over time.

    Args:
        p: share of values that are left out, in [0, 1).

    Raises:
        ValueError: for a share outside that range.

    Source: PLIF, Table S1 (DP), with the mask of SEW ResNet's authors' library: drawn once per run.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout leaves out a share in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The values that stay, scaled by 1/(1 − p); in eval mode ``x`` itself."""
        if not self.training or self.p == 0:
            return x
        return x * F.dropout(torch.ones_like(x[:1]), self.p)

    def notation(self) -> str:
        """The layer in the papers' notation."""
        return "DP"
