"""Parity: does the exported file say what the checkpoint says, sample by sample and spike by spike?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.exporting.prepare import FrozenNeuron, example_frames
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint
from evglif.evaluation.statistics import wilson_interval
from evglif.models import Network
from evglif.neurons import SpikingNeuron
from evglif.provenance import familiar
from preprocessing.cache import FrameCache
from preprocessing.progress import progress

NUM_MADE_UP = 64
NUM_OBSERVED, OBSERVED_AT_ONCE = 16, 4

Item = TypeVar("Item")
Frames = NDArray[np.float32]
Run = Callable[[Frames], NDArray[np.float32]]
Spikes = dict[str, NDArray[np.float32]]


def within(seconds: float | None, items: Iterable[Item]) -> Iterator[Item]:
    """The first of ``items``, and the next ones until the time is over; all of them for None."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    for item in items:
        yield item
        if time.monotonic() >= end:
            return


@dataclass(frozen=True)
class Samples:
    """What a checkpoint and its export are compared on.

    Attributes:
        source: where the samples come from, in words.
        frames: of sample indices, ``[B, T, C, H, W]``.
        labels: of all samples; None where they are made up.
        num_samples: how many there are.
    """

    source: str
    frames: Callable[[NDArray[np.int64]], Frames]
    labels: NDArray[np.int64] | None
    num_samples: int

    def batches(self, seconds: float | None = None, size: int = 8) -> Iterator[tuple[NDArray[np.int64], Frames]]:
        """Samples and their indices in a seeded order, with a bar for what takes longer than a moment.

        Whoever stops early has drawn at random: in the order of a cache the first would all be of one class.

        Args:
            seconds: after which no further batch is begun; None for all samples.
            size: of a batch.
        """
        order = np.random.default_rng(0).permutation(self.num_samples)
        pieces = [order[start : start + size] for start in range(0, self.num_samples, size)]
        shown = progress(pieces, len(pieces), "comparing with the checkpoint", "batches")
        for rows in within(seconds, shown):
            yield rows, self.frames(rows)

    def observed(self, seconds: float | None = None) -> Iterator[Frames]:
        """Some samples, evenly spread, few at a time: the spikes of all layers fill much memory."""
        chosen = np.linspace(0, self.num_samples - 1, min(self.num_samples, NUM_OBSERVED)).astype(np.int64)
        chosen = np.random.default_rng(0).permutation(chosen)
        starts = range(0, len(chosen), OBSERVED_AT_ONCE)
        for start in within(seconds, starts):
            yield self.frames(chosen[start : start + OBSERVED_AT_ONCE])


@dataclass(frozen=True)
class Parity:
    """Agreement of an exported model with its checkpoint on the same frames.

    One rounding near a threshold can flip a spike and move logits by some hundredths, so the class is what counts.

    Attributes:
        samples: what they were compared on, in words.
        num_samples: how many.
        num_available: how many there are, of which those were drawn at random.
        agreement: share of samples with the same class.
        median_difference: median of |Δ logit|.
        max_difference: largest |Δ logit|.
        accuracy: of the exported model; None, as the next, for samples without labels.
        checkpoint_accuracy: of the checkpoint on the same samples.
        num_observed: samples on which spikes were compared.
        flipped: layer → share of its spikes that differ.
    """

    samples: str
    num_samples: int
    num_available: int
    agreement: float
    median_difference: float
    max_difference: float
    accuracy: float | None = None
    checkpoint_accuracy: float | None = None
    num_observed: int = 0
    flipped: dict[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the agreement: what the choice of samples leaves open."""
        return wilson_interval(round(self.agreement * self.num_samples), self.num_samples)

    def summary(self) -> dict[str, Any]:
        """As plain values, with the worst layer in place of all."""
        return {**self.to_dict(), "flipped": max(self.flipped.values(), default=0.0)}

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        return {**asdict(self), "agreement_interval_95": list(self.interval)}

    def __str__(self) -> str:
        accuracies = ""
        if self.accuracy is not None:
            accuracies = f", accuracy {self.accuracy:.2%} (checkpoint {self.checkpoint_accuracy:.2%})"
        worst = max(self.flipped, key=self.flipped.__getitem__, default=None)
        flips = ""
        if worst:
            flips = f"; on {self.num_observed} of them at most {self.flipped[worst]:.1e} of a layer's spikes flipped"
            flips += f" ({worst})" if self.flipped[worst] else ""
        low, high = self.interval
        drawn = f" drawn from {self.num_available}" if self.num_samples < self.num_available else ""
        same = (
            f"same class on {self.agreement:.1%} of {self.num_samples} samples{drawn} "
            f"(95 % interval {low:.1%} to {high:.1%})"
        )
        difference = f"|Δ logit| median {self.median_difference:.1e}, max {self.max_difference:.1e}"
        return f"{same}, {difference}{accuracies}{flips}"


def made_up_samples(model: Network) -> Samples:
    """Seeded frames of no recording, for a checkpoint without data."""
    frames = example_frames(model, NUM_MADE_UP).numpy()
    return Samples("made-up frames", lambda rows: frames[rows], None, len(frames))


def cached_samples(cache: FrameCache, checkpoint: Checkpoint, accept: Collection[str] = ()) -> Samples:
    """The whole test split of a cache, or all of a cache without one.

    Raises:
        ValueError: naming what differs, where the cache and the checkpoint do not belong together.
    """
    check_checkpoint(cache, checkpoint, accept)
    test = cache.indices("test")
    indices, name = (test, "test split") if len(test) else (np.arange(len(cache)), "all samples")
    known = 0 if checkpoint.seen is None else int((~familiar(cache, indices, checkpoint.seen).new).sum())
    learnt = f", {known} of which the model has learnt from" if known else ""
    scale = np.float32(cache.scale)
    return Samples(
        f"{name} of {Path(cache.path).name}{learnt}",
        lambda rows: cache.stored(indices[rows]) * scale,
        cache.labels[indices].astype(np.int64),
        len(indices),
    )


def compare(model: Network, run: Run, samples: Samples, seconds: float | None = None) -> Parity:
    """Run a checkpoint's model, in eval mode on the CPU, and an exported one on the same samples.

    Args:
        model: of the checkpoint.
        run: the exported file.
        samples: what to run them on.
        seconds: what it may take; all samples by default.
    """
    drawn, expected, exported = [], [], []
    with torch.inference_mode():
        for rows, frames in samples.batches(seconds):
            drawn.append(rows)
            expected.append(model(torch.from_numpy(frames)).numpy())
            exported.append(run(frames))
    ours, theirs = np.concatenate(expected), np.concatenate(exported)
    difference = np.abs(ours - theirs)
    parity = Parity(
        samples=samples.source,
        num_samples=len(ours),
        num_available=samples.num_samples,
        agreement=float((ours.argmax(1) == theirs.argmax(1)).mean()),
        median_difference=float(np.median(difference)),
        max_difference=float(np.nanmax(difference, initial=0)),
    )
    if samples.labels is None:
        return parity
    labels = samples.labels[np.concatenate(drawn)]
    accuracies = [float((logits.argmax(1) == labels).mean()) for logits in (theirs, ours)]
    return replace(parity, accuracy=accuracies[0], checkpoint_accuracy=accuracies[1])


def compare_spikes(
    model: Network, observe: Callable[[Frames], Spikes], samples: Iterable[Frames]
) -> tuple[dict[str, float], int]:
    """Share of spikes that differ, by layer, and the number of samples: both models see the same frames."""
    differing: dict[str, list[float]] = {}
    total = 0
    for frames in samples:
        theirs = observe(frames)
        for layer, spikes in layer_spikes(model, frames).items():
            differing.setdefault(layer, []).append(float((spikes != theirs[layer]).mean()) * len(frames))
        total += len(frames)
    return {layer: sum(shares) / total for layer, shares in differing.items()}, total


def layer_spikes(model: nn.Module, frames: Frames) -> Spikes:
    """Spikes of every layer of neurons, ``[T, B, C, …]``, by its name in the network."""
    spikes: Spikes = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda _module, _inputs, output: spikes.update({name: output.numpy()})

    neurons = [(name, each) for name, each in model.named_modules() if isinstance(each, SpikingNeuron | FrozenNeuron)]
    hooks = [neuron.register_forward_hook(keep(name)) for name, neuron in neurons]
    try:
        with torch.inference_mode():
            model(torch.from_numpy(frames))
    finally:
        for hook in hooks:
            hook.remove()
    return spikes
