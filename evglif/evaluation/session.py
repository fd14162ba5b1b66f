"""An evaluation of checkpoints on a split of a cache, from the files to the report."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from evglif.checkpoint import Checkpoint
from evglif.data import FrameDataset, check_checkpoint, frame_loader, to_frames
from evglif.evaluation.comparison import compare
from evglif.evaluation.figures import Evaluation
from evglif.evaluation.firing import count_spikes
from evglif.evaluation.learnt import neuron_values, value_rows, values_table
from evglif.evaluation.report import write_comparison, write_evaluation, write_json
from evglif.evaluation.tables import comparison_text, evaluation_text
from evglif.evaluation.tally import Tally
from evglif.models import Network
from evglif.pretrained import read_weights
from evglif.provenance import doubts, familiar, rows_of_split
from evglif.settings import LoaderConfig
from evglif.threads import choose_threads, use_threads
from preprocessing.cache import FrameCache
from preprocessing.progress import progress
from preprocessing.terminal import shown, tell


def evaluate_model(model: Network, dataset: FrameDataset, config: LoaderConfig, device: str = "cpu") -> Evaluation:
    """Classify all samples of a dataset, in one pass.

    A random encoder draws from a seed of its own here: the same samples in the same batches give the same figures,
    and the caller's random numbers stay as they are.

    Args:
        model: moved to ``device`` and put into eval mode.
        dataset: samples of a cache that fits the model.
        config: batch size and loader processes.
        device: e.g. ``"cpu"`` or ``"cuda"``.

    Raises:
        ValueError: for a dataset without samples, or logits that are not finite; the first such sample is named.
    """
    if len(dataset) == 0:
        raise ValueError(f"nothing to evaluate: the split holds no samples in {dataset.cache.path}")
    model = model.to(device).eval()
    tally = Tally(dataset, model.spec.num_classes)
    pace = _Pace()
    batches = frame_loader(dataset, config)
    with torch.inference_mode(), torch.random.fork_rng(_generators(device)), count_spikes(model) as firing:
        torch.manual_seed(0)
        for stored, labels in progress(batches, len(batches), "evaluate", "batches"):
            frames = to_frames(stored.to(device), dataset.cache.scale)
            tally.add(model(frames, per_step=True), labels.to(device))
            pace.add(len(labels))
        layers = firing.layers()
    return replace(tally.result(), layers=layers, samples_per_second=pace.samples_per_second)


class _Pace:
    """How fast batches go by, the first not counted: it compiles and warms up."""

    def __init__(self) -> None:
        self.started = self.now = math.nan
        self.num_samples = 0

    def add(self, num_samples: int) -> None:
        """A batch is done."""
        self.now = time.perf_counter()
        if math.isnan(self.started):
            self.started = self.now
        else:
            self.num_samples += num_samples

    @property
    def samples_per_second(self) -> float:
        """NaN before the second batch."""
        return self.num_samples / (self.now - self.started) if self.num_samples else math.nan


def _generators(device: str) -> list[torch.device]:
    """The GPU whose random numbers an evaluation may use, if any; the CPU's are always kept."""
    return [torch.device(device)] if torch.device(device).type == "cuda" else []


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    cache: FrameCache,
    split: str = "test",
    config: LoaderConfig | None = None,
    device: str | None = None,
    accept: Collection[str] = (),
) -> Evaluation:
    """Evaluate a checkpoint on a split of a cache.

    Args:
        checkpoint: of a model that fits the cache.
        cache: the data.
        split: ``"train"``, ``"validation"`` or ``"test"``; as ``provenance.rows_of_split``.
        config: batch size and loader processes.
        device: None for a GPU where there is one.
        accept: differences between these data and those of the training that are meant, as in ``check_checkpoint``.

    Returns:
        The figures; ``familiar`` says which samples the model has learnt from, where the checkpoint knows.

    Raises:
        ValueError: for a checkpoint that does not fit (``check_checkpoint``), an empty split (those with samples are
            named), or logits that are not finite.
    """
    check_checkpoint(cache, checkpoint, accept)
    indices = rows_of_split(cache, split, checkpoint.seen)
    evaluation = evaluate_model(
        checkpoint.model, FrameDataset(cache, indices), config or LoaderConfig(), device or best_device()
    )
    known = familiar(cache, indices, checkpoint.seen) if checkpoint.seen and split != "train" else None
    return replace(evaluation, familiar=known)


def best_device() -> str:
    """``"cuda"`` where there is one, else ``"cpu"``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def names_of(paths: Sequence[Path]) -> list[str]:
    """Names for checkpoints: as much of the end of each path as tells them apart, ``glif/best``, ``plif/best``.

    Raises:
        ValueError: for a checkpoint that is given twice.
    """
    parts = [path.resolve().with_suffix("").parts for path in paths]
    for depth in range(1, max(len(path) for path in parts) + 1):
        names = ["/".join(path[-depth:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise ValueError(f"a checkpoint cannot be compared with itself, got {', '.join(map(str, paths))}")


def run(options: argparse.Namespace) -> int:
    """What the command does, given its options."""
    _prepare(options)
    paths = [options.checkpoint, *options.compare]
    checkpoints = {name: read_weights(path) for name, path in zip(names_of(paths), paths, strict=True)}
    if options.data:
        with FrameCache(options.data) as cache:
            _evaluate(checkpoints, cache, options)
    if options.values:
        for name, checkpoint in checkpoints.items():
            print(f"\n{shown(name)}: values of the neurons\n")
            print(values_table(value_rows(neuron_values(checkpoint.model))))
    return 0


def _prepare(options: argparse.Namespace) -> None:
    """Find out before the evaluation, and not after it, that something cannot be used."""
    if not options.data and (not options.values or options.out or options.json):
        raise ValueError("give --data FILE.h5 to evaluate on; without it only --values can be printed")
    if options.device:
        try:
            torch.empty(0, device=options.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"the device {options.device!r} cannot be used here: {reason}") from error
    if options.out:
        if options.out.exists() and not options.out.is_dir():
            raise ValueError(f"--out {options.out} is a file; give a folder")
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out):
            pass
    if options.json and not options.json.parent.is_dir():
        raise FileNotFoundError(f"--json {options.json}: there is no folder {options.json.parent}; make it first")


def _evaluate(checkpoints: dict[str, Checkpoint], cache: FrameCache, options: argparse.Namespace) -> None:
    config = LoaderConfig(batch_size=options.batch_size)
    evaluations = {}
    for name, checkpoint in checkpoints.items():
        threads = choose_threads(checkpoint.model, options.batch_size, options.threads)
        with use_threads(threads.number if (options.device or best_device()) == "cpu" else options.threads):
            arguments = checkpoint, cache, options.split, config, options.device, options.accept
            evaluations[name] = evaluate_checkpoint(*arguments)
    for name, evaluation in evaluations.items():
        told = check_checkpoint(cache, checkpoints[name], options.accept)
        for warning in told + (evaluation.familiar.warnings() if evaluation.familiar else []):
            tell(f"WARNING: {name}: {warning}")
        for doubt in doubts(checkpoints[name].origins):
            tell(f"WARNING: {name}: {doubt}")
    if options.compare:
        _report_several(checkpoints, evaluations, cache, options)
    else:
        (name,) = checkpoints
        _report_one(name, checkpoints[name], evaluations[name], cache, options)


def _report_one(
    name: str, checkpoint: Checkpoint, evaluation: Evaluation, cache: FrameCache, options: argparse.Namespace
) -> None:
    print(evaluation_text(evaluation, cache.classes, f"{name} on {cache.path}, {options.split}"))
    if options.out:
        write_evaluation(options.out, checkpoint, evaluation, cache, options.split, options.pictures)
    if options.json:
        write_json(options.json, evaluation.to_dict())
    _say_where(options)


def _report_several(
    checkpoints: dict[str, Checkpoint],
    evaluations: dict[str, Evaluation],
    cache: FrameCache,
    options: argparse.Namespace,
) -> None:
    first, *others = evaluations
    comparisons = {name: compare(evaluations[first], evaluations[name]) for name in others}
    print(f"{shown(cache.path)}, {options.split}: {evaluations[first].num_samples} samples\n")
    print(comparison_text(evaluations, comparisons))
    if options.out:
        for name, checkpoint in checkpoints.items():
            folder = options.out / name.replace("/", "-")
            write_evaluation(folder, checkpoint, evaluations[name], cache, options.split, options.pictures)
        title = f"{cache.path.stem}, {options.split}"
        write_comparison(options.out, evaluations, comparisons, title, options.pictures)
    if options.json:
        figures = {name: evaluation.to_dict() for name, evaluation in evaluations.items()}
        against = {name: comparison.to_dict() for name, comparison in comparisons.items()}
        write_json(options.json, {"models": figures, "comparisons": against})
    _say_where(options)


def _say_where(options: argparse.Namespace) -> None:
    written = [str(path) for path in (options.out, options.json) if path]
    if written:
        print(f"\nwritten to {shown(' and '.join(written))}")
