"""7B-wideNet, the network of the CIFAR10-DVS experiment (GLIF, appendix A.2; Fang et al., NeurIPS 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn

from evglif.layers import CONNECTS, NORMS, ConvSpike, SEWBlock, SpikePool, build_norm
from evglif.neurons import NeuronSpec, build_neuron

NUM_POOLINGS = 4


@dataclass(frozen=True)
class Wide7BSpec:
    """Everything that defines a 7B-wideNet; a checkpoint stores it beside the weights.

    Attributes:
        num_classes: K.
        in_channels: channels of a frame; 2 for OFF and ON events.
        steps: T.
        size: (width, height) of a frame, px; at least 16×16, for the four poolings.
        width: channels of the first stage, the second has twice as many; 64 in the paper.
        neuron: the neuron after every norm.
        norm: ``"bn"``, as published for this network, or ``"tdbn"``.
        connect: connect function of the SEW blocks.
        stem_kernel: kernel of the two widening convolutions: 3 in the paper, 1 in its code.

    Raises:
        ValueError: naming the value that is out of range.
    """

    num_classes: int = 10
    in_channels: int = 2
    steps: int = 16
    size: tuple[int, int] = (48, 48)
    width: int = 64
    neuron: NeuronSpec = field(default_factory=NeuronSpec)
    norm: str = "bn"
    connect: str = "add"
    stem_kernel: int = 3

    def __post_init__(self) -> None:
        for name, least in (("num_classes", 2), ("in_channels", 1), ("steps", 1), ("width", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"7b-widenet: {name} must be at least {least}, got {getattr(self, name)}")
        if min(self.size) < 2**NUM_POOLINGS:
            raise ValueError(f"7b-widenet pools four times and needs frames of 16×16 px or more, got {self.size}")
        if self.norm not in NORMS or self.connect not in CONNECTS:
            raise ValueError(
                f"7b-widenet: norm is one of {NORMS}, connect one of {CONNECTS}; got {self.norm!r}, {self.connect!r}"
            )
        if self.stem_kernel not in (1, 3):
            raise ValueError(f"7b-widenet: stem_kernel is 3 (paper) or 1 (code), got {self.stem_kernel}")


class Wide7B(nn.Module):
    """c64k3s1-BN-GLIF-{SEW(c64)}*4-APk2s2-c128k3s1-BN-GLIF-{SEW(c128)-APk2s2}*3-FC10, the FC on the mean over time.

    Args:
        spec: what to build.
    """

    def __init__(self, spec: Wide7BSpec) -> None:
        super().__init__()
        self.spec = spec
        narrow, wide = spec.width, 2 * spec.width
        self.features = nn.Sequential(
            self._unit(spec.in_channels, narrow, spec.stem_kernel),
            *(self._block(narrow) for _ in range(4)),
            SpikePool(),
            self._unit(narrow, wide, spec.stem_kernel),
            *(layer for _ in range(3) for layer in (self._block(wide), SpikePool())),
        )
        height, width = spec.size[1] >> NUM_POOLINGS, spec.size[0] >> NUM_POOLINGS
        self.head = nn.Linear(wide * height * width, spec.num_classes)

    def _unit(self, in_channels: int, channels: int, kernel_size: int = 3) -> ConvSpike:
        neuron = build_neuron(self.spec.neuron, channels, self.spec.steps)
        return ConvSpike(in_channels, neuron, build_norm(self.spec.norm, channels), kernel_size)

    def _block(self, channels: int) -> SEWBlock:
        return SEWBlock(self._unit(channels, channels), self._unit(channels, channels), self.spec.connect)

    def forward(self, frames: Tensor, per_step: bool = False) -> Tensor:
        """Logits of frames ``[B, T, C, H, W]``: ``[B, K]``, or with ``per_step`` ``[T, B, K]``.

        The head is linear, so its mean over time is taken before it.

        Raises:
            ValueError: for frames that do not fit the network; both shapes are named.
        """
        spec = self.spec
        expected = (spec.steps, spec.in_channels, spec.size[1], spec.size[0])
        if frames.dim() != 5 or tuple(frames.shape[1:]) != expected:
            raise ValueError(f"the network takes frames [B, T, C, H, W] = [B, {expected}], got {tuple(frames.shape)}")
        features: Tensor = self.features(frames.transpose(0, 1)).flatten(2)
        logits: Tensor = self.head(features if per_step else features.mean(0))
        return logits
