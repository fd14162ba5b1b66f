"""Attention among spikes: products of 0 and 1, so that a token is chosen by ANDs and values are added up by counts.

Tokens are the places of a map, and stay where they are: everything is ``[T, B, C, H, W]``, and a head has C/heads
channels that lie next to each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from evglif.layers.blocks import SEWBlock
from evglif.layers.units import ConvSpike
from evglif.neurons import Neuron

SCALE = 0.125
"""What the sums of spiking self-attention are multiplied by; a power of two, so exact."""


class TokenSelection(nn.Module):
    """Q-K token attention: in each head, the keys of those tokens at which enough queries fire.

        A = neuron(Σ_i Q_i)           over the channels i of a head, one value for each token
        X' = A·K

    Args:
        neuron: of as many channels as there are heads.
        heads: h, which divides C.

    Attributes:
        products: products in one value of the output.

    Source: Zhou et al., QKFormer, NeurIPS 2024, eq. 6 and 7.
    """

    products = 1

    def __init__(self, neuron: Neuron, heads: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Spikes ``[T, B, C, H, W]`` of queries and keys of the same shape."""
        chosen: Tensor = self.neuron(_by_head(query, self.heads).sum(3))
        return (chosen.unsqueeze(3) * _by_head(key, self.heads)).flatten(2, 3)

    def num_active(self, inputs: tuple[Tensor, ...], output: Tensor) -> int:
        """How many additions spikes cause: one for each query that fires, and one for each key that is let through."""
        return int(inputs[0].count_nonzero() + output.count_nonzero())


class SpikeProducts(nn.Module):
    """The sums of spiking self-attention, (Q·Kᵀ)·V·s, worked out as (V·Kᵀ)·Q: linear in the number of tokens.

    Without a softmax the order of products is free. All sums are whole numbers: exact in fp32, and in half types as
    far as these hold whole numbers (fp16 to 2048, bf16 to 256).

    Args:
        channels: C.
        heads: h, which divides C.
        scale: s.

    Attributes:
        products: products in one value of the output: C/h in each of the two matrix products.

    Source: Zhou et al., Spikformer, ICLR 2023, eq. 10 and 11.
    """

    def __init__(self, channels: int, heads: int, scale: float = SCALE) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.products = 2 * (channels // heads)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Current ``[T, B, C, H, W]`` of spikes of the same shape."""
        q, k, v = (_by_head(each, self.heads).flatten(4) for each in (query, key, value))
        sums = torch.matmul(torch.matmul(v, k.transpose(3, 4)), q) * self.scale
        return torch.unflatten(sums.flatten(2, 3), 3, query.shape[3:])

    def num_active(self, inputs: tuple[Tensor, ...], _output: Tensor) -> int:
        """How many additions spikes cause: where key and value fire together, and where a query meets such a sum."""
        q, k, v = ((_by_head(each, self.heads).flatten(4) != 0).float() for each in inputs)
        together = torch.matmul(v, k.transpose(3, 4))
        of_queries = (together != 0).float().sum(3) * q.sum(4)
        return int(together.sum(dtype=torch.float64) + of_queries.sum(dtype=torch.float64))


class TokenAttention(nn.Module):
    """Q-K token attention between the units that make its queries and keys and the one that mixes heads.

    Args:
        query, key: C → C, kernel 1.
        selection: of their spikes.
        mix: C → C, kernel 1.
    """

    kind = "QKTA"

    def __init__(self, query: ConvSpike, key: ConvSpike, selection: TokenSelection, mix: ConvSpike) -> None:
        super().__init__()
        self.query = query
        self.key = key
        self.selection = selection
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        """Spikes ``[T, B, C, H, W]`` of an input of that shape."""
        spikes: Tensor = self.mix(self.selection(self.query(x), self.key(x)))
        return spikes


class SelfAttention(nn.Module):
    """Spiking self-attention between the units that make its spikes and the one that mixes heads.

    Args:
        query, key, value: C → C, kernel 1.
        products: of their spikes.
        neuron: of C channels, behind the products.
        mix: C → C, kernel 1.
    """

    kind = "SSA"

    def __init__(
        self,
        query: ConvSpike,
        key: ConvSpike,
        value: ConvSpike,
        products: SpikeProducts,
        neuron: Neuron,
        mix: ConvSpike,
    ) -> None:
        super().__init__()
        self.query = query
        self.key = key
        self.value = value
        self.products = products
        self.neuron = neuron
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        """Spikes ``[T, B, C, H, W]`` of an input of that shape."""
        spikes: Tensor = self.mix(self.neuron(self.products(self.query(x), self.key(x), self.value(x))))
        return spikes


class AttentionBlock(nn.Module):
    """Attention and two units of kernel 1, each added to its input: X' = X + attention(X), then X' + units(X').

    Args:
        attention: ``TokenAttention`` or ``SelfAttention``.
        units: C → r·C → C.

    Source: Zhou et al., QKFormer, NeurIPS 2024, eq. 13 and 14.
    """

    def __init__(self, attention: TokenAttention | SelfAttention, units: SEWBlock) -> None:
        super().__init__()
        self.attention = attention
        self.units = units

    def forward(self, x: Tensor) -> Tensor:
        """Counts of spikes, same shape as ``x``."""
        joined: Tensor = self.units(torch.add(x, self.attention(x)))
        return joined

    def notation(self) -> str:
        """The block as the papers would write it."""
        return f"{self.attention.kind} Block (c{self.attention.mix.conv.out_channels})"


def _by_head(x: Tensor, heads: int) -> Tensor:
    """``[T, B, C, H, W]`` as ``[T, B, heads, C/heads, H, W]``."""
    return torch.unflatten(x, 2, (heads, -1))
