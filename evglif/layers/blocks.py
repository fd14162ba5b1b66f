"""Residual blocks: spike-element-wise (SEW), post-addition (tdBN's ResNets) and membrane shortcut (MS-ResNet)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from evglif.layers.folding import time_folded
from evglif.layers.units import ConvNorm, ConvSpike, norm_spike
from evglif.neurons import Neuron


def connect_and(residual: Tensor, shortcut: Tensor) -> Tensor:
    """AND of two spikes: S_r·S."""
    return residual * shortcut


def connect_iand(residual: Tensor, shortcut: Tensor) -> Tensor:
    """AND of the shortcut and the negated residual: (1 − S_r)·S."""
    return (1 - residual) * shortcut


CONNECTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "and": connect_and,
    "iand": connect_iand,
}
"""Name → connect function g(residual, shortcut) of the SEW block (Fang et al., NeurIPS 2021, Table 1)."""


class SEWBlock(nn.Module):
    """Spike-element-wise residual block: two ``ConvSpike`` whose spikes are joined with the input's.

    With ADD the output counts spikes, 0, 1, 2, …; the shortcut carries the input unchanged.

    Args:
        first: the first unit, C → C.
        second: the second unit, C → C.
        connect: how residual and shortcut are joined, a name of ``CONNECTS``.

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
        self.connect = connect

    def forward(self, x: Tensor) -> Tensor:
        """Joined spikes, same shape as ``x``."""
        return CONNECTS[self.connect](self.second(self.first(x)), x)

    def notation(self) -> str:
        """The block in the papers' notation."""
        return f"SEW Block (c{self.second.conv.out_channels})"


class Downsampling(nn.Module):
    """A smaller map by two ways whose spikes are added: units in a row, and one of kernel 1 with their whole stride.

    Args:
        path: the units.
        shortcut: from the same input to a map of the same size.

    Source: the patch embedding with deformed shortcut of QKFormer (Zhou et al., NeurIPS 2024).
    """

    def __init__(self, path: nn.Sequential, shortcut: ConvSpike) -> None:
        super().__init__()
        self.path = path
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Counts of spikes ``[T, B, C, H', W']`` of spikes ``[T, B, C_in, H, W]``."""
        return torch.add(self.path(x), self.shortcut(x))

    def notation(self) -> str:
        """The layer in the papers' notation."""
        conv = self.shortcut.conv
        return f"Down (c{conv.out_channels}s{conv.stride[0]})"


class BasicBlock(nn.Module):
    """Residual block that adds currents before the last neuron: conv–BN–neuron–conv–BN + shortcut → neuron.

    Args:
        first: the first unit, C_in → C, which has the block's stride.
        conv: the second convolution, C → C, without bias.
        norm: its norm; with tdBN of scale V_th/√2, as the shortcut's.
        shortcut: a norm for equal shapes, else a ``ConvNorm`` of kernel 1.
        neuron: after the addition.

    Source: Zheng et al., AAAI 2021 (tdBN), which norms identity shortcuts too; GLIF §4.1.
    """

    def __init__(self, first: ConvSpike, conv: nn.Conv2d, norm: nn.Module, shortcut: nn.Module, neuron: Neuron) -> None:
        super().__init__()
        self.first = first
        self.conv = conv
        self.norm = norm
        self.shortcut = shortcut
        self.neuron = neuron

    def forward(self, x: Tensor) -> Tensor:
        """Spikes ``[T, B, C, H', W']`` for spikes ``[T, B, C_in, H, W]``."""
        shortcut = _shortcut(self.shortcut, x)
        return norm_spike(time_folded(self.conv, self.first(x)), self.norm, self.neuron, shortcut)

    def notation(self) -> str:
        """The block in the papers' notation."""
        return f"Basic Block (c{self.conv.out_channels}{_stride(self.first.conv)})"


class MSBlock(nn.Module):
    """Membrane-shortcut block, which adds currents and leaves them so: neuron–conv–BN–neuron–conv–BN + shortcut.

    Args:
        neuron: on the block's input, C_in channels.
        first: the first unit, C_in → C, which has the block's stride.
        second: the second convolution and norm, C → C.
        shortcut: a norm for equal shapes, else a ``ConvNorm`` of kernel 1.

    Source: Hu et al., 2021 (MS-ResNet), with GLIF's norms on the shortcuts.
    """

    def __init__(self, neuron: Neuron, first: ConvSpike, second: ConvNorm, shortcut: nn.Module) -> None:
        super().__init__()
        self.neuron = neuron
        self.first = first
        self.second = second
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Currents ``[T, B, C, H', W']`` for currents ``[T, B, C_in, H, W]``."""
        return torch.add(self.second(self.first(self.neuron(x))), _shortcut(self.shortcut, x))

    def notation(self) -> str:
        """The block in the papers' notation."""
        return f"MS Block (c{self.second.conv.out_channels}{_stride(self.first.conv)})"


def _shortcut(shortcut: nn.Module, x: Tensor) -> Tensor:
    """A ``ConvNorm`` folds time by itself; a norm, for equal shapes, does not."""
    if isinstance(shortcut, ConvNorm):
        joined: Tensor = shortcut(x)
        return joined
    return time_folded(shortcut, x)


def _stride(conv: nn.Conv2d) -> str:
    return f"s{conv.stride[0]}" if conv.stride[0] > 1 else ""
