"""The networks of PLIF's experiments (Table S1): convolutions with pooling, two spiking linear layers, a vote."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice

from torch import nn

from evglif.layers import NORMS, POOLINGS, Flatten, HeldDropout, LinearSpike, SpikePool, Voting
from evglif.models.base import Network, NetworkSpec


@dataclass(frozen=True)
class PLIFNetSpec(NetworkSpec):
    """Everything that defines one of PLIF's networks.

    Attributes:
        width: channels of every convolution; 128, for CIFAR-10 256.
        stages: convolutions before each pooling.
        hidden: features of the first linear layer: 512 or 2048 in Table S1. The published code has 2048 for
            CIFAR10-DVS, where the table has 512.
        votes: neurons per class in the last layer.
        dropout: share of values that are left out before each linear layer.
        pooling: ``"max"``, the paper's, or ``"average"``.
        norm: ``"bn"``, as published, or ``"tdbn"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    width: int = 128
    stages: tuple[int, ...] = (1, 1)
    hidden: int = 512
    votes: int = 10
    dropout: float = 0.5
    pooling: str = "max"
    norm: str = "bn"

    def __post_init__(self) -> None:
        for name in ("width", "hidden", "votes"):
            self.at_least(name, 1)
        self.all_at_least("stages", 1)
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ValueError(f"{self.name}: dropout leaves out a share in [0, 1), got {self.dropout!r}")
        self.one_of("pooling", tuple(POOLINGS))
        self.one_of("norm", NORMS)
        super().__post_init__()  # at last: the least size depends on these

    @property
    def least_side(self) -> int:
        """A pooling by two after every stage."""
        return 1 << len(self.stages)


class PLIFNet(Network):
    """{{c128k3s1-BN-PLIF}*n-MPk2s2}*m-DP-FC512-PLIF-DP-FC100-PLIF-APk10s10: logits are shares of votes, in [0, 1].

    Args:
        spec: what to build.

    Source: PLIF, Table S1.
    """

    spec: PLIFNetSpec

    def __init__(self, spec: PLIFNetSpec) -> None:
        super().__init__(spec)
        scale, width = spec.neuron.initial_threshold, spec.width
        inside = (self.conv_spike(width, width, spec.norm, scale=scale) for _ in range(sum(spec.stages) - 1))
        units = chain([self.stem(width, spec.norm, scale=scale)], inside)
        layers: list[nn.Module] = []
        for repeats in spec.stages:
            layers += [*islice(units, repeats), SpikePool(spec.pooling)]
        pixels = (spec.size[0] >> len(spec.stages)) * (spec.size[1] >> len(spec.stages))
        num_voters = spec.num_classes * spec.votes
        self.features = nn.Sequential(
            *layers,
            Flatten(),
            HeldDropout(spec.dropout),
            LinearSpike(width * pixels, spec.hidden, self.neuron(spec.hidden)),
            HeldDropout(spec.dropout),
            LinearSpike(spec.hidden, num_voters, self.neuron(num_voters)),
        )
        self.head = Voting(spec.votes)
