"""CIFARNet, the plain convolutional network of GLIF's CIFAR experiments."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from evglif.layers import NORMS, Flatten, SpikePool
from evglif.models.base import Network, NetworkSpec
from evglif.models.weights import published_weights

WIDTHS = (1, 2, 4, 8, 4)
POOLED = (1, 2)
NUM_POOLINGS = len(POOLED)


@dataclass(frozen=True)
class CIFARNetSpec(NetworkSpec):
    """Everything that defines a CIFARNet.

    Attributes:
        width: channels of the first unit; 128 in the paper, and 2, 4, 8 and 4 times that in the others.
        hidden: features of the two linear layers before the classes.
        norm: ``"tdbn"``, as published, or ``"bn"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    name: str = "cifarnet"
    in_channels: int = 3
    steps: int = 5
    size: tuple[int, int] = (32, 32)
    width: int = 128
    hidden: tuple[int, int] = (1024, 512)
    norm: str = "tdbn"

    def __post_init__(self) -> None:
        self.at_least("width", 1)
        self.one_of("norm", NORMS)
        self.all_at_least("hidden", 1, length=2)
        super().__post_init__()  # at last: the least size depends on these

    @property
    def least_side(self) -> int:
        """Two poolings by two."""
        return 1 << NUM_POOLINGS


class CIFARNet(Network):
    """128, 256, AP, 512, AP, 1024, 512 channels k3, then FC1024-FC512-FC10 without bias or neurons between them.

    Args:
        spec: what to build.

    Source: GLIF §4.1; Wu et al., AAAI 2019.
    """

    spec: CIFARNetSpec

    def __init__(self, spec: CIFARNetSpec) -> None:
        super().__init__(spec)
        scale = spec.neuron.initial_threshold
        widths = [spec.width * factor for factor in WIDTHS]
        layers: list[nn.Module] = [self.stem(widths[0], spec.norm, scale=scale)]
        for index in range(1, len(widths)):
            layers.append(self.conv_spike(widths[index - 1], widths[index], spec.norm, scale=scale))
            if index in POOLED:
                layers.append(SpikePool())
        self.features = nn.Sequential(*layers, Flatten())
        height, width = spec.size[1] >> NUM_POOLINGS, spec.size[0] >> NUM_POOLINGS
        sizes = [widths[-1] * height * width, *spec.hidden, spec.num_classes]
        self.head = nn.Sequential(*(nn.Linear(*pair, bias=False) for pair in pairwise(sizes)))
        published_weights(self)
