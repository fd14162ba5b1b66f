"""The residual networks of GLIF's CIFAR and ImageNet experiments: ResNet-18, -19, -34 and MS-ResNet-18."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod

from torch import nn

from evglif.layers import NORMS, BasicBlock, ConvNorm, GlobalPool, MSBlock, build_norm
from evglif.models.base import Network, NetworkSpec
from evglif.models.weights import published_weights

BLOCKS = ("basic", "ms")
PUBLISHED_HIDDEN, MOST_CLASSES_WITH_HIDDEN = 256, 50
JOINED = 2**-0.5
"""α of tdBN where two paths are added (Zheng et al., AAAI 2021)."""


@dataclass(frozen=True)
class ResNetSpec(NetworkSpec):
    """Everything that defines a residual network; one name of the registry is one choice of these.

    Attributes:
        stem_width: channels of the first unit.
        stem_kernel: its kernel, px.
        stem_stride: its stride, px.
        repeats: blocks of each stage.
        widths: channels of each stage.
        strides: stride of each stage's first block.
        hidden: features of a linear layer before the classes'; 0 for none, None as published: 256 for up to 50 classes.
        block: ``"basic"``, currents added before the last neuron, or ``"ms"``, shortcuts from membrane to membrane.
        norm: ``"tdbn"``, as published, or ``"bn"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    in_channels: int = 3
    steps: int = 4
    size: tuple[int, int] = (32, 32)
    stem_width: int = 64
    stem_kernel: int = 3
    stem_stride: int = 1
    repeats: tuple[int, ...] = (2, 2, 2, 2)
    widths: tuple[int, ...] = (64, 128, 256, 512)
    strides: tuple[int, ...] = (1, 1, 2, 2)
    hidden: int | None = None
    block: str = "basic"
    norm: str = "tdbn"

    def __post_init__(self) -> None:
        for name in ("repeats", "widths", "strides"):
            self.all_at_least(name, 1)
        if not len(self.repeats) == len(self.widths) == len(self.strides):
            raise ValueError(
                f"{self.name}: repeats, widths and strides hold one number per stage, "
                f"got {self.repeats}, {self.widths} and {self.strides}"
            )
        for name in ("stem_width", "stem_stride"):
            self.at_least(name, 1)
        if self.hidden is not None:
            self.at_least("hidden", 0)
        self.one_of("stem_kernel", (1, 3, 5, 7))
        self.one_of("block", BLOCKS)
        self.one_of("norm", NORMS)
        super().__post_init__()  # at last: the least size depends on these

    @property
    def num_hidden(self) -> int:
        """Features between the map's mean and the classes; 0 where there is no such layer."""
        if self.hidden is not None:
            return self.hidden
        return PUBLISHED_HIDDEN if self.num_classes <= MOST_CLASSES_WITH_HIDDEN else 0

    @property
    def least_side(self) -> int:
        """One pixel is left after all strides."""
        return self.stem_stride * prod(self.strides)


class ResNet(Network):
    """A first unit, stages of residual blocks, the mean over the map, linear layers without bias.

    Args:
        spec: what to build.

    Source: GLIF §4.1 and appendix A.2, with the norms of Zheng et al., AAAI 2021.
    """

    spec: ResNetSpec

    def __init__(self, spec: ResNetSpec) -> None:
        super().__init__(spec)
        self.scale = spec.neuron.initial_threshold
        layers: list[nn.Module] = [
            self.stem(spec.stem_width, spec.norm, spec.stem_kernel, spec.stem_stride, scale=self.scale)
        ]
        channels = spec.stem_width
        for repeats, width, stride in zip(spec.repeats, spec.widths, spec.strides, strict=True):
            for index in range(repeats):
                layers.append(self._block(channels, width, stride if index == 0 else 1))
                channels = width
        self.features = nn.Sequential(*layers, GlobalPool())
        sizes = [channels, *([spec.num_hidden] if spec.num_hidden else []), spec.num_classes]
        self.head = nn.Sequential(*(nn.Linear(*pair, bias=False) for pair in pairwise(sizes)))
        published_weights(self)

    def _block(self, in_channels: int, channels: int, stride: int) -> nn.Module:
        spec, joined = self.spec, self.scale * JOINED
        first = self.conv_spike(in_channels, channels, spec.norm, stride=stride, scale=self.scale)
        norm = build_norm(spec.norm, channels, joined)
        shortcut = self._shortcut(in_channels, channels, stride)
        if spec.block == "ms":
            return MSBlock(self.neuron(in_channels), first, ConvNorm(channels, norm), shortcut)
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        return BasicBlock(first, conv, norm, shortcut, self.neuron(channels))

    def _shortcut(self, in_channels: int, channels: int, stride: int) -> nn.Module:
        """Identity shortcuts have a norm too."""
        norm = build_norm(self.spec.norm, channels, self.scale * JOINED)
        if in_channels == channels and stride == 1:
            return norm
        return ConvNorm(in_channels, norm, kernel_size=1, stride=stride)
