"""7B-wideNet, the network of the CIFAR10-DVS experiment (GLIF, appendix A.2; Fang et al., NeurIPS 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from evglif.layers import CONNECTS, NORMS, ConvSpike, Flatten, SEWBlock, SpikePool
from evglif.models.base import Network, NetworkSpec

NUM_POOLINGS = 4


@dataclass(frozen=True)
class Wide7BSpec(NetworkSpec):
    """Everything that defines a 7B-wideNet.

    Attributes:
        width: channels of the first stage, the second has twice as many; 64 in the paper.
        norm: ``"bn"``, as published for this network, or ``"tdbn"``.
        connect: connect function of the SEW blocks: ``"add"``, ``"and"`` or ``"iand"``.
        stem_kernel: kernel of the two widening convolutions: 3 in the paper, 1 in its code.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "7b-widenet"
    width: int = 64
    norm: str = "bn"
    connect: str = "add"
    stem_kernel: int = 3

    def __post_init__(self) -> None:
        self.at_least("width", 1)
        self.one_of("norm", NORMS)
        self.one_of("connect", tuple(CONNECTS))
        self.one_of("stem_kernel", (1, 3))
        super().__post_init__()  # at last: the least size depends on these

    @property
    def least_side(self) -> int:
        """Four poolings by two."""
        return 1 << NUM_POOLINGS


class Wide7B(Network):
    """c64k3s1-BN-GLIF-{SEW(c64)}*4-APk2s2-c128k3s1-BN-GLIF-{SEW(c128)-APk2s2}*3-FC10, the FC on the mean over time.

    Args:
        spec: what to build.
    """

    spec: Wide7BSpec

    def __init__(self, spec: Wide7BSpec) -> None:
        super().__init__(spec)
        narrow, wide = spec.width, 2 * spec.width
        scale = spec.neuron.initial_threshold
        self.features = nn.Sequential(
            self.stem(narrow, spec.norm, spec.stem_kernel, scale=scale),
            *(self._block(narrow) for _ in range(4)),
            SpikePool(),
            self.conv_spike(narrow, wide, spec.norm, spec.stem_kernel, scale=scale),
            *(layer for _ in range(3) for layer in (self._block(wide), SpikePool())),
            Flatten(),
        )
        height, width = spec.size[1] >> NUM_POOLINGS, spec.size[0] >> NUM_POOLINGS
        self.head = nn.Linear(wide * height * width, spec.num_classes)

    def _block(self, channels: int) -> SEWBlock:
        return SEWBlock(self._unit(channels), self._unit(channels), self.spec.connect)

    def _unit(self, channels: int) -> ConvSpike:
        return self.conv_spike(channels, channels, self.spec.norm, scale=self.spec.neuron.initial_threshold)
