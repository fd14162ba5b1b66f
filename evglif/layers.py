"""Building blocks of the networks: time folding, threshold-dependent batch norm, the SEW block.

Everything here is time-major, ``[T, B, C, H, W]``. Stateless layers see time folded into the batch; only neurons
know time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.neurons import SpikingNeuron

NORMS = ("bn", "tdbn")
CONNECTS = ("add",)


def time_folded(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a stateless layer to every time step at once: ``[T, B, …]`` → ``[T·B, …]`` → layer → ``[T, B, …]``."""
    folded = layer(x.flatten(0, 1))
    return folded.view(x.shape[0], -1, *folded.shape[1:])


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


def build_norm(name: str, channels: int, scale: float = 1.0) -> nn.Module:
    """Batch norm by name: ``"bn"``, or ``"tdbn"`` with its ``scale``.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in NORMS:
        raise ValueError(f"unknown norm {name!r}; choose one of {', '.join(NORMS)}")
    return nn.BatchNorm2d(channels) if name == "bn" else TdBatchNorm2d(channels, scale)


class ConvSpike(nn.Module):
    """Convolution, norm, neuron: ``[T, B, C_in, H, W]`` → spikes ``[T, B, C_out, H, W]``.

    Source: the unit c<C>k<k>s1-BN-GLIF of GLIF, appendix A.2.
    """

    def __init__(self, in_channels: int, neuron: SpikingNeuron, norm: nn.Module, kernel_size: int = 3) -> None:
        super().__init__()
        channels = int(norm.num_features)  # type: ignore[arg-type]
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = norm
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        """Spikes for the input of all time steps."""
        current: Tensor = self.neuron(time_folded(lambda folded: self.norm(self.conv(folded)), x))
        return current


class SEWBlock(nn.Module):
    """Spike-element-wise residual block: two ``ConvSpike`` whose spikes are joined with the input's.

    With ADD the output counts spikes, 0, 1, 2, …; the shortcut carries the input unchanged.

    Args:
        first: the first unit, C → C.
        second: the second unit, C → C.
        connect: how residual and shortcut are joined; ``"add"`` here.

    Raises:
        ValueError: for an unknown connect function.

    Source: Fang et al., NeurIPS 2021 (SEW ResNet).
    """

    def __init__(self, first: ConvSpike, second: ConvSpike, connect: str = "add") -> None:
        super().__init__()
        if connect not in CONNECTS:
            raise ValueError(f"unknown connect function {connect!r}; choose one of {', '.join(CONNECTS)}")
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        """Joined spikes, same shape as ``x``."""
        return torch.add(self.second(self.first(x)), x)


class SpikePool(nn.Module):
    """Average pooling APk2s2 of every time step: ``[T, B, C, H, W]`` → ``[T, B, C, H // 2, W // 2]``."""

    def forward(self, x: Tensor) -> Tensor:
        """The pooled spikes, multiples of ¼."""
        return time_folded(lambda folded: F.avg_pool2d(folded, 2), x)
