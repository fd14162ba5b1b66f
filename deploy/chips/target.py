"""A chip, as its makers publish it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from evglif.yaml_files import read_yaml
from preprocessing.plain import from_plain


@dataclass(frozen=True)
class Core:
    """One core of a chip, which takes one layer.

    Attributes:
        kernel: words of its memory of weights.
        neurons: words of its memory of membranes.
        biases: how many biases it holds.
    """

    kernel: int
    neurons: int
    biases: int


@dataclass(frozen=True)
class Chip:
    """A chip of integrate-and-fire neurons behind convolutions and sum pools.

    Attributes:
        name: as its makers write it.
        weight_bits, state_bits: of weights and biases, and of membranes and thresholds; both signed.
        kernel: longest side of a kernel, px.
        strides: that it knows, px.
        padding: most, px.
        pools: sides of the sum pools that it knows, px.
        channels: most of a layer.
        input_side, output_side: longest sides of what comes into a layer and of its neurons, px.
        destinations: how many cores a core sends its spikes to, at most.
        cores: by their numbers.

    Raises:
        ValueError: for a chip without cores.
    """

    name: str
    weight_bits: int
    state_bits: int
    kernel: int
    strides: tuple[int, ...]
    padding: int
    pools: tuple[int, ...]
    channels: int
    input_side: int
    output_side: int
    destinations: int
    cores: tuple[Core, ...]

    def __post_init__(self) -> None:
        cores = tuple(core if isinstance(core, Core) else from_plain(Core, core) for core in self.cores)
        object.__setattr__(self, "cores", cores)
        if not cores or min(self.weight_bits, self.state_bits) < 2:
            raise ValueError(f"{self.name}: a chip has cores, and numbers of 2 bits or more")


def chip_names() -> list[str]:
    """Names of the chips that come with the package."""
    folder = resources.files("deploy") / "chips" / "targets"
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.name.endswith(".yaml"))


def read_chip(name: str) -> Chip:
    """A chip that comes with the package, or one in a YAML file.

    Raises:
        ValueError: for neither, and for a file that describes no chip.
    """
    known = chip_names()
    path = Path(str(resources.files("deploy") / "chips" / "targets" / f"{name}.yaml")) if name in known else Path(name)
    if not path.is_file():
        raise ValueError(f"no chip {name!r}; choose one of {', '.join(known)}, or give a YAML file such as theirs")
    try:
        return from_plain(Chip, read_yaml(path))
    except ValueError as error:
        raise ValueError(f"{path} describes no chip: {error}") from error
