"""Batches of frames out of the HDF5 cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evglif.checkpoint import Checkpoint, DataSpec
from preprocessing.cache import FrameCache

Batch = tuple[Tensor, Tensor]
"""Stored frames uint16 ``[B, T, 2, H, W]``, integers until they are on the device, and labels int64 ``[B]``."""


@dataclass(frozen=True)
class LoaderConfig:
    """How batches are made.

    Attributes:
        batch_size: samples per step and device.
        workers: loader processes; 0 reads in the training process, which integer reads make quick enough.
        validation: share of the training split that is cut off for validation where the file has no such split.

    Raises:
        ValueError: naming the value that is out of range.
    """

    batch_size: int = 32
    workers: int = 0
    validation: float = 0.15

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.workers < 0:
            raise ValueError(f"batch_size ≥ 1 and workers ≥ 0, got {self.batch_size} and {self.workers}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be a share in [0, 1), got {self.validation}")


class FrameDataset(Dataset[Batch]):
    """Samples of a cache, read a batch at a time (``__getitems__``); safe to send to loader processes.

    Args:
        cache: the open cache.
        indices: which samples, int64 ``[N]``.
    """

    def __init__(self, cache: FrameCache, indices: NDArray[np.int64]) -> None:
        self.cache = cache
        self.indices = indices
        self.labels = torch.from_numpy(cache.labels.astype(np.int64)[indices])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Batch:
        frames, labels = self.__getitems__([index])
        return frames[0], labels[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """One batch: stored frames ``[B, T, 2, H, W]`` uint16 and labels ``[B]``."""
        rows = list(indices)
        return torch.from_numpy(self.cache.stored(self.indices[rows])), self.labels[rows]


def _as_it_is(batch: Batch) -> Batch:
    return batch


def frame_loader(dataset: FrameDataset, config: LoaderConfig, shuffle: bool = False) -> DataLoader[Batch]:
    """A loader of whole batches; shuffling follows torch's global seed.

    A last batch of one sample is kept: batch norm has T·H·W values of it.
    """
    return DataLoader(
        dataset,
        batch_size=config.batch_size,
        shuffle=shuffle,
        num_workers=config.workers,
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # a batch already, not a list of samples
        pin_memory=torch.cuda.is_available(),
        persistent_workers=config.workers > 0,
    )


def to_frames(stored: Tensor, scale: float) -> Tensor:
    """Stored integers ``[B, T, 2, H, W]`` uint16 → frames in events per pixel, float32, on the same device."""
    return stored.to(torch.float32) * scale


def cut_validation(
    labels: NDArray[np.int64], indices: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut a share of every class off the training split (PLIF, supplementary §7).

    Args:
        labels: of the whole cache, ``[N]``.
        indices: the training split.
        share: of each class, rounded down; a class of few samples may give none.
        seed: which samples.

    Returns:
        Indices that stay and indices that were cut off, each sorted.
    """
    generator = np.random.default_rng(seed)
    cut = [
        generator.permutation(members)[: int(len(members) * share)]
        for members in (indices[labels[indices] == label] for label in np.unique(labels[indices]))
    ]
    validation = np.sort(np.concatenate(cut)) if cut else indices[:0]
    return np.setdiff1d(indices, validation), validation


def data_spec(cache: FrameCache) -> DataSpec:
    """What a checkpoint keeps of the cache it was trained on."""
    return DataSpec(cache.classes, cache.scale, cache.sensor, cache.config, cache.fingerprint)


def check_fit(cache: FrameCache, steps: int, size: tuple[int, int], classes: tuple[str, ...] | int) -> None:
    """Make sure a model and a cache belong together.

    Args:
        cache: the data.
        steps: T of the model.
        size: (width, height) the model takes, px.
        classes: the model's classes, or how many there are where the names are not known.

    Raises:
        ValueError: naming what differs, with both values.
    """
    num_classes = classes if isinstance(classes, int) else len(classes)
    pairs = (
        ("classes", num_classes, len(cache.classes)),
        ("time steps T", steps, cache.steps),
        ("frame size", f"{size[0]}×{size[1]}", f"{cache.size[0]}×{cache.size[1]}"),
    )
    for what, of_model, of_data in pairs:
        if of_model != of_data:
            raise ValueError(f"{what}: the model has {of_model}, the data in {cache.path} have {of_data}")
    if not isinstance(classes, int) and classes != cache.classes:
        raise ValueError(f"class names: the model has {classes}, the data in {cache.path} have {cache.classes}")


def check_checkpoint(cache: FrameCache, checkpoint: Checkpoint) -> None:
    """Make sure a checkpoint and a cache belong together, class names too where it knows them; as ``check_fit``."""
    spec = checkpoint.model.spec
    check_fit(cache, spec.steps, spec.size, checkpoint.data.classes if checkpoint.data else spec.num_classes)
