"""Spiking VGGs of the works on CIFAR10-DVS: VGGSNN of TET, and the VGG-11 of NDA."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from torch import nn

from evglif.layers import NORMS, Flatten, GlobalPool, SpikePool
from evglif.models.base import Network, NetworkSpec

READOUTS = ("map", "mean")


@dataclass(frozen=True)
class VGGSpec(NetworkSpec):
    """Everything that defines a spiking VGG; one name of the registry is one choice of these.

    Attributes:
        widths: channels of each unit.
        stages: how many units stand before each halving of the map; they add up to the number of widths.
        readout: what the classes see: ``"map"``, all of the last map, which is halved too, or ``"mean"``, the mean over
            a last map that is not.
        norm: ``"bn"`` or ``"tdbn"``.

    Raises:
        ValueError: naming the value that is out of range.
    """

    widths: tuple[int, ...] = (64, 128, 256, 256, 512, 512, 512, 512)
    stages: tuple[int, ...] = (2, 2, 2, 2)
    readout: str = "map"
    norm: str = "bn"

    def __post_init__(self) -> None:
        for name in ("widths", "stages"):
            self.all_at_least(name, 1)
        if sum(self.stages) != len(self.widths):
            raise ValueError(
                f"{self.name}: stages {self.stages} have {sum(self.stages)} units, widths {self.widths} give the "
                f"channels of {len(self.widths)}"
            )
        self.one_of("readout", READOUTS)
        self.one_of("norm", NORMS)
        super().__post_init__()  # at last: the least size depends on these

    @property
    def num_poolings(self) -> int:
        """How often the map is halved."""
        return len(self.stages) - (self.readout == "mean")

    @property
    def least_side(self) -> int:
        """One pixel is left after all poolings."""
        return 1 << self.num_poolings


class VGG(Network):
    """Stages of units of kernel 3 with average pools between them, and one linear layer, which is linear in time.

    Convolutions have no bias: norms take it away, and where the published codes have one, it does nothing.

    Args:
        spec: what to build.

    Source: VGGSNN of Deng et al., ICLR 2022 (TET); VGG-11 of Li et al., ECCV 2022 (NDA); their codes.
    """

    spec: VGGSpec

    def __init__(self, spec: VGGSpec) -> None:
        super().__init__(spec)
        scale = spec.neuron.initial_threshold
        pairs = zip(spec.widths, spec.widths[1:], strict=False)
        inside = (self.conv_spike(before, width, spec.norm, scale=scale) for before, width in pairs)
        units = iter([self.stem(spec.widths[0], spec.norm, scale=scale), *inside])
        layers: list[nn.Module] = []
        for number, repeats in enumerate(spec.stages):
            layers += islice(units, repeats)
            if number < spec.num_poolings:
                layers.append(SpikePool())
        pixels = 1
        if spec.readout == "map":
            pixels = (spec.size[0] >> spec.num_poolings) * (spec.size[1] >> spec.num_poolings)
        self.features = nn.Sequential(*layers, Flatten() if spec.readout == "map" else GlobalPool())
        self.head = nn.Linear(spec.widths[-1] * pixels, spec.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
