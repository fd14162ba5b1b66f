"""Batches out of a frame cache: samples a second from the file to a tensor, against a copy of the same bytes.

Ours reads whole batches of integers, in order of an epoch, ahead of the consumer or not, or holds all of them on the
device. The peer is torch's DataLoader with a data set that gives float32 frames sample by sample, as tonic's and
SpikingJelly's data sets do, with and without processes. All must give the same samples. The limit is a copy of the
bytes of a batch within memory. Files are read once before, so that it is memory and not the disk that is measured.

Example:
    .venv/bin/python -m scripts.bench.loader --data data/cifar10dvs.h5 --batch 32
    .venv/bin/python -m scripts.bench.loader            # on a made file of CIFAR10-DVS' shape
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evglif.data import Batch, DeviceFrames, FrameDataset, FrameLoader
from evglif.training.order import Order
from preprocessing.cache import FrameCache
from preprocessing.cache.contents import Outcome, Row
from preprocessing.cache.writer import write_cache
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed

LIMIT = "copy in memory"


class PerSample(Dataset[tuple[Tensor, int]]):
    """The usual data set: float32 frames of one sample."""

    def __init__(self, dataset: FrameDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        cache = self.dataset.cache
        return torch.from_numpy(cache[int(self.dataset.indices[index])]), int(self.dataset.labels[index])


@command("no figures were kept")
def main() -> None:
    parsing = parser(__doc__, repeats=5)
    parsing.add_argument("--data", type=Path, help="a frame cache; default: a made one")
    parsing.add_argument("--batch", type=int, default=32, help="samples; default: 32")
    parsing.add_argument("--samples", type=int, default=512, help="samples of the made file; default: 512")
    options = parsing.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or made(Path(folder) / "made.h5", options.samples)
        with FrameCache(path) as cache:
            measure(FrameDataset(cache, cache.indices("train")), options.batch, options.repeats)


def measure(dataset: FrameDataset, batch: int, repeats: int) -> None:
    rows = [piece.rows for piece in Order(len(dataset), batch, seed=0).epoch(1)]
    contenders = sources(dataset, rows)
    for name in contenders:
        check(dataset, rows, contenders[name], name)
    stored = dataset.cache.stored(dataset.indices[rows[0]])
    target = np.empty_like(stored)
    jobs: dict[str, Callable[[], object]] = {name: partial(consume, source) for name, source in contenders.items()}
    jobs[LIMIT] = partial(copied, stored, target, rows)
    medians = in_turns({name: partial(timed, job) for name, job in jobs.items()}, repeats)
    num_bytes = stored.nbytes // len(stored)
    print(f"{len(dataset)} samples of {num_bytes / 1e3:.0f} kB, batches of {batch}")
    print(f"{'':<34}{'samples/s':>10}{'GB/s':>8}{'of the copy':>13}")
    for name, seconds in medians.items():
        rate = len(dataset) / seconds
        print(f"{name:<34}{rate:>10,.0f}{rate * num_bytes / 1e9:>8.2f}{medians[LIMIT] / seconds:>13.1%}")
    print(f"{machine('torch', 'h5py')}, median of {repeats}")


def sources(dataset: FrameDataset, rows: list[np.ndarray]) -> dict[str, Callable[[], Iterable[Batch]]]:
    resident = DeviceFrames(dataset, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    per_sample, lists = PerSample(dataset), [each.tolist() for each in rows]
    return {
        "ours, read when asked for": lambda: FrameLoader(dataset, rows, workers=0),
        "ours, one thread ahead": lambda: FrameLoader(dataset, rows, workers=1),
        "ours, two threads ahead": lambda: FrameLoader(dataset, rows, workers=2),
        "ours, --data-on-device": lambda: resident.batches(rows),
        "DataLoader, per sample": lambda: DataLoader(per_sample, batch_sampler=lists),
        "DataLoader, per sample, 2 processes": lambda: DataLoader(per_sample, batch_sampler=lists, num_workers=2),
    }


def copied(stored: np.ndarray, target: np.ndarray, rows: list[np.ndarray]) -> None:
    for each in rows:
        np.copyto(target[: len(each)], stored[: len(each)])


def consume(source: Callable[[], Iterable[Batch]]) -> None:
    for _ in source():
        pass
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def check(dataset: FrameDataset, rows: list[np.ndarray], source: Callable[[], Iterable[Batch]], name: str) -> None:
    """All give the same samples in the same order."""
    for each, (frames, labels) in zip(rows, source(), strict=True):
        expected, of_them = dataset.__getitems__(each)
        values = frames if frames.is_floating_point() else frames.float() * dataset.cache.scale
        assert torch.allclose(values.cpu(), expected.float() * dataset.cache.scale), name
        assert torch.equal(labels.cpu(), of_them), name


def made(path: Path, num_samples: int) -> Path:
    """Random frames of CIFAR10-DVS' shape, in a file written by the cache's own writer."""
    config = {"steps": 16, "size": [48, 48]}
    rows = tuple(Row(label % 10, "train", f"made/{label}", 0, 0) for label in range(num_samples))
    generator = np.random.default_rng(0)
    frames = (generator.integers(0, 300, (16, 2, 48, 48), np.uint16) for _ in rows)
    outcome = Outcome("made", rows, sensor=(128, 128), scale=1 / 36)
    write_cache(path, config, [str(label) for label in range(10)], [(outcome, frames)], scratch="made")
    return path


if __name__ == "__main__":
    sys.exit(main())
