"""QKFormer, the hierarchical spiking transformer of CIFAR10-DVS (Zhou et al., NeurIPS 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from evglif.layers import (
    NORMS,
    AttentionBlock,
    ConvSpike,
    Downsampling,
    GlobalPool,
    PooledConvSpike,
    SelfAttention,
    SEWBlock,
    SpikeProducts,
    TokenAttention,
    TokenSelection,
    build_norm,
)
from evglif.models.base import Network, NetworkSpec
from evglif.neurons import Neuron, SpikingNeuron

PARTS = 16
"""The first unit has a sixteenth of the last stage's channels."""

HEAD_DEVIATION = 0.02


@dataclass(frozen=True)
class QKFormerSpec(NetworkSpec):
    """Everything that defines a QKFormer of two stages.

    Attributes:
        width: channels of the second stage, a multiple of 16; the first has half as many. 256 for CIFAR10-DVS.
        heads: of every attention; divides both stages' channels.
        depths: blocks of Q-K token attention in the first stage, and of self-attention in the second.
        ratio: channels inside the two units behind an attention, in those around them.
        norm: ``"bn"``, as published, or ``"tdbn"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "qkformer"
    width: int = 256
    heads: int = 16
    depths: tuple[int, int] = (1, 1)
    ratio: int = 1
    norm: str = "bn"

    def __post_init__(self) -> None:
        for name in ("width", "heads", "ratio"):
            self.at_least(name, 1)
        self.all_at_least("depths", 1, length=2)
        if self.width % PARTS or (self.width // 2) % self.heads:
            raise ValueError(
                f"{self.name}: width must be a multiple of {PARTS} and half of it one of heads, got {self.width} "
                f"channels and {self.heads} heads"
            )
        self.one_of("norm", NORMS)
        super().__post_init__()


class QKFormer(Network):
    """Units that make a map 8 times smaller, Q-K token attention, half the size again, self-attention, the map's mean.

    The neurons of attentions fire at half of the others' threshold, as published. Convolutions have no bias: norms
    take it away, and where the published code has one, it does nothing.

    Args:
        spec: what to build.

    Source: Zhou et al., NeurIPS 2024, and its code for CIFAR10-DVS.
    """

    spec: QKFormerSpec

    def __init__(self, spec: QKFormerSpec) -> None:
        super().__init__(spec)
        self.scale = spec.neuron.initial_threshold
        wide, narrow = spec.width, spec.width // 2
        sixteenth = spec.width // PARTS
        self.features = nn.Sequential(
            self.stem(sixteenth, spec.norm, scale=self.scale),
            self._pooled(sixteenth, 2 * sixteenth),
            self._down(2 * sixteenth, self._pooled(2 * sixteenth, narrow // 2), self._pooled(narrow // 2, narrow)),
            *(self._block(self._token_attention(narrow), narrow) for _ in range(spec.depths[0])),
            self._down(narrow, self._unit(narrow, wide, kernel_size=3), self._pooled(wide, wide)),
            *(self._block(self._self_attention(wide), wide) for _ in range(spec.depths[1])),
            GlobalPool(),
        )
        self.head = nn.Linear(wide, spec.num_classes)
        nn.init.trunc_normal_(self.head.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.head.bias)

    def _unit(self, in_channels: int, channels: int, kernel_size: int = 1, stride: int = 1) -> ConvSpike:
        return self.conv_spike(in_channels, channels, self.spec.norm, kernel_size, stride, self.scale)

    def _pooled(self, in_channels: int, channels: int) -> PooledConvSpike:
        return PooledConvSpike(in_channels, self.neuron(channels), build_norm(self.spec.norm, channels, self.scale))

    def _down(self, in_channels: int, *path: ConvSpike) -> Downsampling:
        stride = 2 ** sum(isinstance(unit, PooledConvSpike) for unit in path)
        return Downsampling(nn.Sequential(*path), self._unit(in_channels, _channels(path[-1]), stride=stride))

    def _block(self, attention: TokenAttention | SelfAttention, channels: int) -> AttentionBlock:
        inside = self.spec.ratio * channels
        return AttentionBlock(attention, SEWBlock(self._unit(channels, inside), self._unit(inside, channels)))

    def _token_attention(self, channels: int) -> TokenAttention:
        heads = self.spec.heads
        query, key, mix = (self._unit(channels, channels) for _ in range(3))
        return TokenAttention(query, key, TokenSelection(self._of_sums(heads), heads), mix)

    def _self_attention(self, channels: int) -> SelfAttention:
        query, key, value, mix = (self._unit(channels, channels) for _ in range(4))
        products = SpikeProducts(channels, self.spec.heads)
        return SelfAttention(query, key, value, products, self._of_sums(channels), mix)

    def _of_sums(self, channels: int) -> Neuron:
        """A neuron behind an attention's sums, with a threshold halfway between rest and that of the others."""
        neuron = self.neuron(channels)
        if isinstance(neuron, SpikingNeuron):
            threshold = neuron.natural("v_th").detach()
            neuron.set_values(v_th=neuron.rest + (threshold - neuron.rest) / 2)
        return neuron


def _channels(unit: ConvSpike) -> int:
    return unit.conv.out_channels
