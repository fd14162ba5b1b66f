"""Batches of frames out of the HDF5 cache."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from evglif.checkpoint import Checkpoint, DataSpec
from evglif.differences import DECISIVE, differences
from evglif.models import NetworkSpec
from evglif.settings.loader import LoaderConfig
from preprocessing.cache import FrameCache

__all__ = [
    "Batch",
    "DeviceFrames",
    "FrameDataset",
    "FrameLoader",
    "HostFrames",
    "LoaderConfig",
    "Rows",
    "check_checkpoint",
    "check_fit",
    "consecutive",
    "data_spec",
    "frame_loader",
    "to_frames",
]

Batch = tuple[Tensor, Tensor]
"""Stored frames ``[B, T, C, H, W]``, integers until they are on the device, and labels int64 ``[B]``."""

Rows = NDArray[np.int64]
"""Positions in a dataset."""

NUM_READ_AT_ONCE = 256
"""Samples on their way to a device that is to hold all of them."""


class FrameDataset(Dataset[Batch]):
    """Samples of a cache, read a batch at a time (``__getitems__``); may be sent to other processes.

    Args:
        cache: the open cache.
        indices: which samples, int64 ``[N]``.
    """

    def __init__(self, cache: FrameCache, indices: Rows) -> None:
        self.cache = cache
        self.indices = indices
        self.labels = torch.from_numpy(cache.labels.astype(np.int64)[indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        frames, labels = self.__getitems__([index])
        return frames[0], labels[0]

    def __getitems__(self, indices: Sequence[int] | Rows) -> Batch:
        """One batch: stored frames ``[B, T, C, H, W]`` and labels ``[B]``."""
        rows = list(indices)
        return torch.from_numpy(self.cache.stored(self.indices[rows])), self.labels[rows]


class FrameLoader:
    """Batches of a dataset in a given order, read ahead by threads; it may be gone through many times.

    Args:
        dataset: where they come from.
        rows: of every batch.
        workers: threads; each keeps one batch ready.
    """

    def __init__(self, dataset: FrameDataset, rows: Sequence[Rows], workers: int) -> None:
        self.dataset = dataset
        self.rows = rows
        self.workers = workers

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Batch]:
        yield from map(self._read, self.rows) if not self.workers else self._ahead()
        self.dataset.cache.check_unchanged()  # before anything that was learnt from these is kept

    def _ahead(self) -> Iterator[Batch]:
        ahead: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(self.workers, "read-ahead") as pool:
            for rows in self.rows:
                ahead.append(pool.submit(self._read, rows))
                if len(ahead) > self.workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _read(self, rows: Rows) -> Batch:
        stored, labels = self.dataset.__getitems__(rows)
        return (stored.pin_memory(), labels) if torch.cuda.is_available() else (stored, labels)


def frame_loader(dataset: FrameDataset, config: LoaderConfig) -> FrameLoader:
    """All samples of a dataset once, in their own order; the last batch may be smaller."""
    return FrameLoader(dataset, consecutive(len(dataset), config.batch_size), config.workers)


def consecutive(num_samples: int, batch_size: int) -> list[Rows]:
    """Rows 0, 1, 2, … cut into batches; the last may be smaller."""
    return [np.arange(start, min(start + batch_size, num_samples)) for start in range(0, num_samples, batch_size)]


class HostFrames:
    """Frames that stay in the file until they are asked for.

    Args:
        dataset: where they are.
        device: where batches go.
        workers: threads that read ahead.
    """

    def __init__(self, dataset: FrameDataset, device: torch.device, workers: int) -> None:
        self.dataset = dataset
        self.device = device
        self.workers = workers

    def batches(self, rows: Sequence[Rows]) -> Iterator[Batch]:
        """Batches of these rows, on the device."""
        for stored, labels in FrameLoader(self.dataset, rows, self.workers):
            if self.device.type == "mps":
                stored = stored.to(torch.int32)  # it knows no unsigned 16-bit integers  # noqa: PLW2901
            yield stored.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)


class DeviceFrames:
    """Frames that all lie on the device, as integers.

    Args:
        dataset: read once.
        device: it must have room for them; whole CIFAR10-DVS is 1.5 GB.
    """

    def __init__(self, dataset: FrameDataset, device: torch.device) -> None:
        self.dtype = torch.from_numpy(dataset.cache.stored([])).dtype
        # torch indexes few unsigned types on GPUs; the signed type of the same size moves the same bytes
        self.signed = torch.int16 if self.dtype == torch.uint16 else torch.int8
        self.frames = torch.empty((len(dataset), *dataset.cache.shape), dtype=self.signed, device=device)
        self.labels = dataset.labels.to(device)
        rows = consecutive(len(dataset), NUM_READ_AT_ONCE)
        for each, (stored, _) in zip(rows, FrameLoader(dataset, rows, workers=1), strict=True):
            self.frames[each[0] : each[-1] + 1] = stored.view(self.signed).to(device)

    def batches(self, rows: Sequence[Rows]) -> Iterator[Batch]:
        """Batches of these rows, on the device."""
        for each in rows:
            where = torch.from_numpy(each).to(self.labels.device)
            yield self.frames.index_select(0, where).view(self.dtype), self.labels.index_select(0, where)


def to_frames(stored: Tensor, scale: float) -> Tensor:
    """Stored integers ``[B, T, C, H, W]`` → events per pixel, or brightness in [0, 1], float32, on the same device."""
    return stored.to(torch.float32) * scale


def data_spec(cache: FrameCache) -> DataSpec:
    """What a checkpoint keeps of the cache it was trained on."""
    return DataSpec(
        cache.classes,
        cache.scale,
        cache.sensor,
        cache.config,
        cache.fingerprint,
        sensor_from=cache.sensor_from,
        sensor_of=cache.sensor_of,
    )


def check_fit(cache: FrameCache, spec: NetworkSpec, classes: tuple[str, ...] | None = None) -> None:
    """Make sure a network and a cache belong together.

    Args:
        cache: the data.
        spec: the network.
        classes: its classes, where their names are known.

    Raises:
        ValueError: naming what differs, with both values.
    """
    still = cache.kind == "images"
    pairs = (
        ("classes", spec.num_classes, len(cache.classes)),
        ("kind of input", "events" if spec.encoder == "frames" else "images", cache.kind),
        ("channels of a frame", spec.in_channels, cache.channels),
        ("time steps T", spec.steps, spec.steps if still else cache.steps),
        ("frame size", "{}×{}".format(*spec.size), "{}×{}".format(*cache.size)),
    )
    for what, of_model, of_data in pairs:
        if of_model != of_data:
            raise ValueError(f"{what}: the model has {of_model}, the data in {cache.path} have {of_data}")
    if classes is not None and classes != cache.classes:
        raise ValueError(f"class names: the model has {classes}, the data in {cache.path} have {cache.classes}")


def check_checkpoint(cache: FrameCache, checkpoint: Checkpoint, accept: Collection[str] = ()) -> list[str]:
    """Make sure a checkpoint and a cache belong together: shapes, class names, and how the frames were made.

    Args:
        cache: the data.
        checkpoint: the model, with what it knows of the data it was trained on.
        accept: names of differences that are meant, of ``DECISIVE``.

    Returns:
        What differs all the same, as warnings for people.

    Raises:
        ValueError: naming what differs, with both values, as ``check_fit``; and for a difference in how frames were
            made after which their numbers mean something else, unless it is accepted.
    """
    check_fit(cache, checkpoint.model.spec, checkpoint.data.classes if checkpoint.data else None)
    changed = checkpoint.changed_code()
    if checkpoint.data is None:
        return changed
    found = differences(data_spec(cache), checkpoint.data)
    refused = [each for each in found if each.name in DECISIVE and each.name not in accept]
    if refused:
        said = "; ".join(map(str, refused))
        names = " ".join(each.name for each in refused)
        raise ValueError(
            f"{cache.path} holds frames that mean something else than those that the model learnt from: {said}. Build "
            f"it as the training data were, or add --accept {names} if this is meant"
        )
    told = [f"{cache.path} was built otherwise than the data that the model learnt from: {each}" for each in found]
    return changed + told
