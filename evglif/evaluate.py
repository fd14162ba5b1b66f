"""Evaluate a checkpoint on a split of a cache: ``python -m evglif.evaluate CHECKPOINT --data FILE.h5``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.data import FrameDataset, LoaderConfig, check_checkpoint, frame_loader, to_frames
from evglif.models import Model
from evglif.neurons import SpikingNeuron
from preprocessing.cache import FrameCache


@dataclass(frozen=True)
class Evaluation:
    """What a model does on a set of samples.

    Attributes:
        confusion: counts ``[K, K]``, row = true class, column = predicted class.
        firing_rates: layer → mean spikes per neuron and time step, over all samples.
        spikes: mean number of spikes per sample, all layers together.
    """

    confusion: NDArray[np.int64]
    firing_rates: dict[str, float] = field(default_factory=dict)
    spikes: float = 0.0

    @property
    def num_samples(self) -> int:
        """How many samples were classified."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of samples classified right."""
        return float(np.trace(self.confusion) / self.num_samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        summary = {"accuracy": self.accuracy, "num_samples": self.num_samples, **asdict(self)}
        return {**summary, "confusion": self.confusion.tolist()}


class FiringRates:
    """Counts the spikes of every neuron layer while a model runs."""

    def __init__(self) -> None:
        self.spikes: dict[str, float] = {}
        self.sites: dict[str, int] = {}

    def count(self, layer: str, spikes: Tensor) -> None:
        """Add the spikes ``[T, B, C, …]`` of one call of a layer."""
        self.spikes[layer] = self.spikes.get(layer, 0.0) + spikes.sum(dtype=torch.float64).item()
        self.sites[layer] = self.sites.get(layer, 0) + spikes.numel()

    def rates(self) -> dict[str, float]:
        """Layer → mean spikes per neuron and time step."""
        return {layer: total / self.sites[layer] for layer, total in self.spikes.items()}


@contextmanager
def firing_rates(model: nn.Module) -> Iterator[FiringRates]:
    """Count spikes of ``model`` inside the ``with`` block."""
    rates = FiringRates()
    hooks = [
        module.register_forward_hook(lambda _, __, spikes, layer=name: rates.count(layer, spikes))
        for name, module in model.named_modules()
        if isinstance(module, SpikingNeuron)
    ]
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()


def evaluate_model(model: Model, dataset: FrameDataset, config: LoaderConfig, device: str = "cpu") -> Evaluation:
    """Classify all samples of a dataset.

    Args:
        model: moved to ``device`` and put into eval mode.
        dataset: samples of a cache that fits the model.
        config: batch size and loader processes.
        device: e.g. ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: for a dataset without samples.
    """
    if len(dataset) == 0:
        raise ValueError(f"nothing to evaluate: the split holds no samples in {dataset.cache.path}")
    model = model.to(device).eval()
    num_classes = model.spec.num_classes
    pairs = torch.zeros(num_classes * num_classes, dtype=torch.int64)
    with torch.inference_mode(), firing_rates(model) as rates:
        loader = frame_loader(dataset, config)
        for stored, labels in tqdm(loader, desc="evaluate", leave=False, delay=2, disable=None):
            predicted = model(to_frames(stored.to(device), dataset.cache.scale)).argmax(1).cpu()
            pairs += torch.bincount(labels * num_classes + predicted, minlength=len(pairs))
    confusion = pairs.view(num_classes, num_classes).numpy()
    return Evaluation(confusion, rates.rates(), sum(rates.spikes.values()) / len(dataset))


def evaluate_checkpoint(
    checkpoint: Checkpoint, cache: FrameCache, split: str = "test", config: LoaderConfig | None = None
) -> Evaluation:
    """Evaluate a checkpoint on a split of a cache it fits; raises ``ValueError`` as ``check_checkpoint``."""
    check_checkpoint(cache, checkpoint)
    dataset = FrameDataset(cache, cache.indices(split))
    return evaluate_model(checkpoint.model, dataset, config or LoaderConfig(), best_device())


def best_device() -> str:
    """``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def confusion_table(evaluation: Evaluation, classes: tuple[str, ...]) -> str:
    """The confusion matrix as text: a row per true class, its recall at the end."""
    width = max(6, *(len(name) for name in classes))
    cells = max(5, *(len(name[:8]) for name in classes)) + 1
    lines = [" " * width + "".join(f"{name[:8]:>{cells}}" for name in classes) + "   recall"]
    for name, row in zip(classes, evaluation.confusion, strict=True):
        recall = f"{row[classes.index(name)] / row.sum():9.1%}" if row.sum() else "        –"
        lines.append(f"{name:<{width}}" + "".join(f"{count:>{cells}}" for count in row) + recall)
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    parser = argparse.ArgumentParser(
        prog="python -m evglif.evaluate",
        description="Evaluate a checkpoint on a split of a cache: accuracy, confusion matrix, firing rates.",
        epilog="example: python -m evglif.evaluate runs/digits/best.pt --data data/digits.h5",
    )
    parser.add_argument("checkpoint", type=Path, help="written by python -m evglif.train")
    parser.add_argument("--data", type=Path, required=True, help="cache written by python -m preprocessing.build")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="default: test")
    parser.add_argument("--batch-size", type=int, default=32, help="samples per forward pass; default: 32")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    options = parser.parse_args(arguments)
    try:
        checkpoint = read_checkpoint(options.checkpoint)
        with FrameCache(options.data) as cache:
            config = LoaderConfig(batch_size=options.batch_size)
            result = evaluate_checkpoint(checkpoint, cache, options.split, config)
            print_evaluation(result, cache.classes, options.split)
        if options.json:
            options.json.write_text(json.dumps(result.to_dict(), indent=1))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def print_evaluation(result: Evaluation, classes: tuple[str, ...], split: str) -> None:
    """Print accuracy, confusion matrix and firing rates."""
    print(f"{split}: {result.accuracy:.2%} of {result.num_samples} samples\n")
    print(confusion_table(result, classes))
    print(f"\n{result.spikes:,.0f} spikes a sample; mean spikes per neuron and step:")
    for layer, rate in result.firing_rates.items():
        print(f"  {layer:<36}{rate:.4f}")


if __name__ == "__main__":
    sys.exit(main())
