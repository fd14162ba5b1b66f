"""What a network comes to on a chip, in words: ``python -m deploy.profile CHECKPOINT --chip NAME``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deploy.chips.integers import IntegerLayer, in_integers, simulate
from deploy.chips.layers import Layer, chip_layers
from deploy.chips.placing import Place, place
from deploy.chips.target import Chip, read_chip
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint, to_frames
from evglif.provenance import rows_of_split
from preprocessing.cache import FrameCache
from preprocessing.files import write_whole
from preprocessing.plain import json_text
from preprocessing.progress import progress
from preprocessing.terminal import shown, tell

_BATCH = 32


@dataclass(frozen=True)
class Accuracy:
    """On the same samples.

    Attributes:
        num_samples: how many.
        checkpoint, chip: share that each classifies right.
        rounded: share that whole numbers classify right where neurons fire once a step, as in the checkpoint.
        agreement: share that get the same class from both.
        whole: the frames hold whole numbers of events.
    """

    num_samples: int
    checkpoint: float
    chip: float
    rounded: float
    agreement: float
    whole: bool


@dataclass(frozen=True)
class ChipReport:
    """A network on a chip.

    Attributes:
        chip: its name.
        places: of the layers with neurons.
        problems: of the network as a whole.
        host: names of layers without neurons, which the host works out.
        thresholds: of the layers, in the whole numbers of the chip.
        accuracy: in those, where there were samples.
    """

    chip: str
    places: tuple[Place, ...]
    problems: tuple[str, ...]
    host: tuple[str, ...]
    thresholds: tuple[int, ...]
    accuracy: Accuracy | None

    @property
    def fits(self) -> bool:
        """Whether every layer has a core, and nothing else is beyond the chip."""
        return not self.problems and all(each.core is not None for each in self.places)

    def as_json(self) -> dict[str, Any]:
        """All figures as types that JSON has."""
        accuracy = vars(self.accuracy) if self.accuracy else None
        return {**vars(self), "fits": self.fits, "places": [vars(each) for each in self.places], "accuracy": accuracy}


def on_chip(checkpoint: Checkpoint, chip: Chip, cache: FrameCache | None, split: str, num_samples: int) -> ChipReport:
    """Place a network and count what its bits leave of it.

    Args:
        checkpoint: of a network of IF neurons.
        chip: the target.
        cache: samples to classify; None for none.
        split: of which.
        num_samples: how many, spread evenly.

    Raises:
        ValueError: as ``chip_layers``, and for an empty split.
    """
    layers = chip_layers(checkpoint.model)
    made = {layer.name: in_integers(layer, chip) for layer in layers if layer.reset}
    places, problems = place(layers, chip)
    accuracy = None if cache is None else _accuracy(checkpoint, layers, made, cache, split, num_samples)
    host = tuple(layer.name for layer in layers if not layer.reset)
    thresholds = tuple(int(each.threshold) for each in made.values())
    return ChipReport(chip.name, tuple(places), tuple(problems), host, thresholds, accuracy)


def _accuracy(
    checkpoint: Checkpoint,
    layers: list[Layer],
    made: dict[str, IntegerLayer],
    cache: FrameCache,
    split: str,
    num_samples: int,
) -> Accuracy:
    indices = rows_of_split(cache, split, checkpoint.seen)
    chosen = indices[np.linspace(0, len(indices) - 1, min(len(indices), num_samples)).astype(int)]
    right = right_on_chip = right_once = same = 0
    starts = range(0, len(chosen), _BATCH)
    whole = True
    for start in progress(starts, len(starts), "chip", "batches"):
        rows = chosen[start : start + _BATCH]
        frames = to_frames(torch.from_numpy(cache.stored(rows)), cache.scale)
        whole = whole and torch.equal(frames, frames.round())
        labels = torch.from_numpy(np.asarray(cache.labels)[rows])
        with torch.inference_mode():
            ours = checkpoint.model(frames).argmax(1)
            theirs = simulate(layers, made, frames).argmax(1)
            once = simulate(layers, made, frames, once=True).argmax(1)
        right += int((ours == labels).sum())
        right_on_chip += int((theirs == labels).sum())
        right_once += int((once == labels).sum())
        same += int((ours == theirs).sum())
    num = len(chosen)
    return Accuracy(num, right / num, right_on_chip / num, right_once / num, same / num, whole)


def text(report: ChipReport, chip: Chip) -> str:
    """The report as text."""
    placed = sum(each.core is not None for each in report.places)
    head = f"{report.chip}: " + (
        "every layer has a core" if report.fits else f"{placed} of {len(report.places)} layers fit"
    )
    lines = [head, "", f"{'layer':32}{'weights':>10}{'neurons':>10}{'biases':>8}{'threshold':>11}  core"]
    for row, threshold in zip(report.places, report.thresholds, strict=True):
        core = "none" if row.core is None else str(row.core)
        lines.append(f"{row.layer:32}{row.kernel:>10,}{row.neurons:>10,}{row.biases:>8,}{threshold:>11,}  {core}")
    lines += [f"{name:32}  without neurons: the host works it out from the spikes" for name in report.host]
    lines += [
        "",
        f"Words of memory as {chip.name} counts them; thresholds in its {chip.state_bits} bits, weights in "
        f"{chip.weight_bits}.",
    ]
    wrong = [f"{row.layer}: {problem}" for row in report.places for problem in row.problems] + [*report.problems]
    lines += ["", "To change:", *(f"- {problem}" for problem in wrong)] if wrong else []
    if any(row.biases for row in report.places):
        lines += ["", "Biases are added at every tick of the chip's slow clock, which has to tick once a time step."]
    return "\n".join([*lines, *_accuracy_lines(report.accuracy)])


def _accuracy_lines(found: Accuracy | None) -> list[str]:
    if found is None:
        return ["", "Accuracy in whole numbers: add --data FILE.h5."]
    lines = [
        "",
        f"Accuracy on {found.num_samples} samples: {found.chip:.1%} in whole numbers, {found.checkpoint:.1%} of the "
        f"checkpoint; same class on {found.agreement:.1%}.",
        "Neurons fire as often a step as their thresholds go into their membranes, where the checkpoint fires once;",
        f"firing once, whole numbers reach {found.rounded:.1%}.",
    ]
    if not found.whole:
        lines.append(
            "Frames hold fractions of events, which a camera does not send: build with --resize sum or nearest."
        )
    return lines


def profile_on_chip(
    checkpoint: Checkpoint,
    name: str,
    data: Path | None,
    split: str,
    num_samples: int,
    accept: list[str],
    json: Path | None,
) -> None:
    """Print the report of a checkpoint on a chip, and write its figures.

    Raises:
        ValueError: for an unknown chip, and as ``on_chip``.
    """
    chip = read_chip(name)
    if data is None:
        report = on_chip(checkpoint, chip, None, split, num_samples)
    else:
        with FrameCache(data) as cache:
            for warning in check_checkpoint(cache, checkpoint, accept):
                tell(f"WARNING: {warning}")
            report = on_chip(checkpoint, chip, cache, split, num_samples)
    print(text(report, chip))
    if json:
        write_whole(json, (json_text(report.as_json(), indent=2) + "\n").encode())
        print(f"\nwritten to {shown(json)}")
