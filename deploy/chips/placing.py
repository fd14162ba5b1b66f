"""Which core of a chip takes which layer, and what keeps a layer from all of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2, prod

from deploy.chips.layers import INPUT, Layer
from deploy.chips.target import Chip, Core


@dataclass(frozen=True)
class Place:
    """What a layer takes, and where it goes.

    Attributes:
        layer: its name.
        kernel, neurons, biases: words of the three memories.
        core: its number; None where no core is left for it, or none takes it.
        problems: what it is beyond, and what to change, in words.
    """

    layer: str
    kernel: int
    neurons: int
    biases: int
    core: int | None
    problems: tuple[str, ...]


def place(layers: list[Layer], chip: Chip) -> tuple[list[Place], list[str]]:
    """Where each layer with neurons goes, as many as can be placed at once, and what the whole network is beyond."""
    spiking = [layer for layer in layers if layer.reset]
    needs = [(kernel_words(layer), neuron_words(layer), num_biases(layer)) for layer in spiking]
    problems = [
        _shape_problems(layer, chip) + _memory_problems(need, chip) for layer, need in zip(spiking, needs, strict=True)
    ]
    fitting = [
        [] if wrong else [number for number, core in enumerate(chip.cores) if _takes(core, need)]
        for wrong, need in zip(problems, needs, strict=True)
    ]
    cores = _matched(fitting, len(chip.cores))
    for index, core in enumerate(cores):
        if core is None and not problems[index]:
            rivals = ", ".join(map(str, fitting[index]))
            problems[index].append(f"the cores that could take it ({rivals}) are taken: fewer layers, or smaller ones")
    rows = zip(spiking, needs, cores, problems, strict=True)
    places = [Place(layer.name, *need, core, tuple(wrong)) for layer, need, core, wrong in rows]
    return places, _whole_problems(layers, chip)


def kernel_words(layer: Layer) -> int:
    """Words of weights: c·2^(⌈log₂ k_x·k_y⌉ + ⌈log₂ f⌉); sides and channels are addressed by whole bits."""
    features, channels, *kernel = layer.weight.shape
    words: int = channels << _bits(prod(kernel)) + _bits(features)
    return words


def neuron_words(layer: Layer) -> int:
    """Words of membranes: f·2^(⌈log₂ f_x⌉ + ⌈log₂ f_y⌉)."""
    features, height, width = layer.output
    return features << _bits(height) + _bits(width)


def num_biases(layer: Layer) -> int:
    """Biases, if it has any."""
    return len(layer.bias) if layer.bias.any() else 0


def _bits(count: int) -> int:
    return ceil(log2(count))


def _takes(core: Core, need: tuple[int, int, int]) -> bool:
    return need[0] <= core.kernel and need[1] <= core.neurons and need[2] <= core.biases


def _shape_problems(layer: Layer, chip: Chip) -> list[str]:
    features, channels, *kernel = layer.weight.shape
    sides, side_in, side_out = max(kernel), max(layer.input[1:]), max(layer.output[1:])
    pools = sorted({source.pool for source in layer.sources} - set(chip.pools))
    steps = sorted(set(layer.stride) - set(chip.strides))
    asked = [
        (kernel[0] != kernel[1], f"its kernel is {kernel[0]}×{kernel[1]} px: make it, or the map before it, square"),
        (sides > chip.kernel, f"its kernel is {sides} px wide, at most {chip.kernel}: pool more before it"),
        (bool(steps), f"its stride is {steps} px: one of {_listed(chip.strides)}"),
        (max(layer.padding) > chip.padding, f"its padding is {max(layer.padding)} px, at most {chip.padding}"),
        (bool(pools), f"pools of {pools} px come before it: one of {_listed(chip.pools)} between two layers"),
        (
            max(features, channels) > chip.channels,
            f"it has {max(features, channels)} channels, at most {chip.channels}",
        ),
        (side_in > chip.input_side, f"its input is {side_in} px wide, at most {chip.input_side}: smaller frames"),
        (
            side_out > chip.output_side,
            f"its map is {side_out} px wide, at most {chip.output_side}: stride, or smaller frames",
        ),
    ]
    return [text for wrong, text in asked if wrong]


def _memory_problems(need: tuple[int, int, int], chip: Chip) -> list[str]:
    if any(_takes(core, need) for core in chip.cores):
        return []
    kernel, neurons, biases = need
    most = [max(getattr(core, name) for core in chip.cores) for name in ("kernel", "neurons", "biases")]
    asked = [
        (kernel > most[0], f"its weights take {kernel:,} words, at most {most[0]:,}: fewer channels"),
        (neurons > most[1], f"its neurons take {neurons:,} words, at most {most[1]:,}: smaller maps or fewer channels"),
        (biases > most[2], f"it has {biases:,} biases, at most {most[2]:,}"),
    ]
    found = [text for wrong, text in asked if wrong]
    both = f"no core has {kernel:,} words of weights and {neurons:,} of neurons: fewer channels, or smaller maps"
    return found or [both]


def _whole_problems(layers: list[Layer], chip: Chip) -> list[str]:
    spiking = [layer for layer in layers if layer.reset]
    found = []
    if len(spiking) > len(chip.cores):
        found.append(f"{len(spiking)} layers of neurons, for {len(chip.cores)} cores: fewer blocks")
    for name in [INPUT, *(layer.name for layer in spiking)]:
        targets = {layer.name for layer in spiking if any(source.layer == name for source in layer.sources)}
        if len(targets) > chip.destinations:
            found.append(
                f"{name} is sent to {len(targets)} layers, a core to {chip.destinations}: fewer shortcuts in a row"
            )
    return found


def _matched(choices: list[list[int]], num_cores: int) -> list[int | None]:
    """A core for as many layers as possible, each of its choices and no core twice: by augmenting paths."""
    holder: list[int | None] = [None] * num_cores

    def moved(layer: int, seen: set[int]) -> bool:
        for core in choices[layer]:
            if core not in seen:
                seen.add(core)
                other = holder[core]
                if other is None or moved(other, seen):
                    holder[core] = layer
                    return True
        return False

    for layer in range(len(choices)):
        moved(layer, set())
    cores: list[int | None] = [None] * len(choices)
    for core, taken in enumerate(holder):
        if taken is not None:
            cores[taken] = core
    return cores


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
