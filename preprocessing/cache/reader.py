"""The frame cache: one HDF5 file with every frame of a data set and all that is known about them.

===============  ==========================  ==============================================================
``frames``       ``[N, T, C, H, W]``         contiguous, or a virtual data set over shards that are; attribute
                                             ``scale``: value = stored × scale. Of events uint16 and C = 2, of
                                             images uint8, T = 1 and C = 1 (grey) or 3 (red, green, blue)
``labels``       ``[N]`` int64               index into ``classes``
``split``        ``[N]`` enum                train, validation or test
``classes``      ``[K]`` string              names of the classes
``source``       ``[N]`` string              recording, relative to the root; ``@<start>us`` where it was cut
``num_events``   ``[N]`` int64               events behind the frames; 0 of images
``duration_us``  ``[N]`` int64               from the first to the last of them, µs; 0 of images
``left_out``     ``[M, 2]`` string           what the build left out, and why
``warnings``     ``[M, 2]`` string           recordings that are used, and what is doubtful about them
===============  ==========================  ==============================================================

Attributes of the file: ``format``, ``schema``, ``kind`` (events or images), ``version`` (of the package),
``config`` (JSON: all that decided the content), ``fingerprint`` (SHA-256 of it), ``sensor`` (width, height; of
images that of the frames), ``sensor_from`` (who says it: file, asked or guess) and ``sensor_of`` (the recording that
it was taken from), ``sums`` ``[2, C]`` (of images: the sum of all stored values of the training split, and
of their squares, from which ``mean`` and ``std`` come), ``num_saturated`` (bins clipped at 65535), ``num_special``
(records that are no events of the sensor), ``num_backward`` (places where times were put in order),
``num_filtered`` (events that the filters dropped), ``num_unused`` (events behind the last slice), ``num_dropped`` (bad
events: outside the sensor, late, damaged), ``num_resets`` and ``num_forward`` (places where a clock was set back, and
where one jumped forward). The same input gives the same bytes: no dates, no absolute paths.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from pathlib import Path
from time import monotonic_ns
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.frames import TRUSTED_NS, FrameFile, StoredFrames
from preprocessing.cache.schema import COUNTS, SPLITS, read_description
from preprocessing.cache.stored import CacheError, Shard, Stamp, opened, stamp_of


def package_version() -> str:
    """Version of the installed package, "0" where it is used from its folder without being installed."""
    for distribution in ("evglif", "evglif-runtime"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return "0"


class FrameCache:
    """A frame cache, read sample by sample.

    What describes the samples is read at once, and checked. The frames lie in the file as one array, which is mapped
    into memory when it is first asked for, by each process for itself: no HDF5 handle stays open to be pickled or
    inherited by a data loader's workers. A file that is written to meanwhile is noticed.

    Args:
        path: an HDF5 file written by ``python -m preprocessing.build``.

    Raises:
        FileNotFoundError: there is no such file.
        CacheError: it is not a frame cache, of another schema, cut short, or holds what no build writes; or one of its
            shards is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with opened(self.path) as file:
            told, stamp = read_description(file), file.stamp
        attributes = told.attributes
        self.classes = told.classes
        self.config = told.config
        self.fingerprint = attributes.fingerprint
        self.version = attributes.version
        self.sensor = attributes.sensor
        self.sensor_from = attributes.sensor_from
        self.sensor_of = attributes.sensor_of
        (
            self.num_saturated,
            self.num_special,
            self.num_backward,
            self.num_filtered,
            self.num_unused,
            self.num_dropped,
            self.num_resets,
            self.num_forward,
        ) = (int(getattr(attributes, count)) for count in COUNTS)
        self.kind = attributes.kind
        self.sums = attributes.sums
        self.scale = float(attributes.scale)
        self.dtype = told.dtype
        self.shape = told.shape
        self.labels = _frozen(told.labels)
        self.num_events = _frozen(told.num_events)
        self.duration_us = _frozen(told.duration_us)
        self._split = _frozen(told.split)
        self.left_out = told.left_out
        self.warnings = told.warnings
        self.shards = told.shards
        self._parts = self.shards or (Shard(self.path, 0, len(self)),)
        self._stamps = [_stamp(self.path, shard) for shard in self.shards] or [stamp]
        self._files: tuple[FrameFile, ...] = ()
        self._mapped: tuple[StoredFrames, ...] = ()
        self._trusted_until_ns = 0

    @property
    def steps(self) -> int:
        """Time steps T of a sample."""
        return self.shape[0]

    @property
    def channels(self) -> int:
        """Channels C of a frame: 2 of events (OFF, ON), 1 or 3 of images."""
        return self.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame, px."""
        return self.shape[3], self.shape[2]

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the values of the training split, per channel; empty for events, or without training images."""
        num = self._num_training_pixels
        return tuple(total / num * self.scale for total in self.sums[0]) if num else ()

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of the values of the training split from ``mean``, per channel; empty as that is."""
        num = self._num_training_pixels
        pairs = zip(*self.sums, strict=True) if num else ()
        # whole numbers up to the root: the difference of two almost equal ones would lose digits as floats
        return tuple((num * squares - total**2) ** 0.5 / num * self.scale for total, squares in pairs)

    @property
    def _num_training_pixels(self) -> int:
        steps, _, height, width = self.shape
        return int((self._split == SPLITS["train"]).sum()) * steps * height * width if self.kind == "images" else 0

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Split of each sample."""
        names = {number: name for name, number in SPLITS.items()}
        return tuple(names[number] for number in self._split.tolist())

    def indices(self, split: str) -> NDArray[np.int64]:
        """Positions of the samples of ``split`` ("train", "validation" or "test"), rising."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
        return np.flatnonzero(self._split == SPLITS[split]).astype(np.int64)

    def stored(self, indices: Sequence[int] | NDArray[np.integer]) -> StoredFrames:
        """Samples as they are stored, ``[B, T, C, H, W]``: multiply by ``scale`` for the values.

        Raises:
            CacheError: the file has changed since it was opened.
        """
        batch = np.empty((len(indices), *self.shape), self.dtype)
        if monotonic_ns() >= self._trusted_until_ns:
            self._look(indices)
        for row, index in enumerate(indices):  # a list as index would be ten times slower, in HDF5 a hundred
            batch[row] = self._frames(int(index))
        return batch

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Frames of one sample, ``[T, C, H, W]``: events per bin, OFF in channel 0 and ON in channel 1.

        Of an image brightness from 0 to 1, grey or red, green and blue.
        """
        if monotonic_ns() >= self._trusted_until_ns:
            self._look([index])
        frames: NDArray[np.float32] = self._frames(index) * np.float32(self.scale)
        return frames

    def source(self, index: int) -> str:
        """Where a sample comes from: ``<recording>`` relative to the root, or ``<recording>@<start>us``."""
        return self.sources[self._checked(index)]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Where each sample comes from."""
        with opened(self.path) as file:
            return tuple(file.texts("source", len(self)))

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} is not in {self.path}, which holds {len(self)}")
        return index % len(self)

    def check_unchanged(self) -> None:
        """Make sure that all that was read until now is what was built.

        Raises:
            CacheError: a file has been written to, or cut short, since the cache was opened.
        """
        for file in self._files:
            file.check_unchanged()

    def _look(self, indices: Sequence[int] | NDArray[np.integer]) -> None:
        """Open the files, and see that those in which these samples lie are as they were."""
        touched = {bisect_right(self._starts, self._checked(int(index))) - 1 for index in indices}
        if not touched:
            return
        if not self._files:
            what = self.fingerprint, self.shape, self.dtype
            self._files = tuple(map(FrameFile, self._parts, self._stamps, *map(repeat, what)))
            self._mapped = tuple(file.frames for file in self._files)
        for part in touched:
            self._files[part].check_unchanged()
        self._trusted_until_ns = monotonic_ns() + TRUSTED_NS

    def _frames(self, index: int) -> StoredFrames:
        index = self._checked(index)
        part = bisect_right(self._starts, index) - 1
        frames: StoredFrames = self._mapped[part][index - self._starts[part]]
        return frames

    @cached_property
    def _starts(self) -> list[int]:
        return [part.start for part in self._parts]

    def close(self) -> None:
        """Let go of the file; reading frames opens it again."""
        for file in self._files:
            file.close()
        self._files, self._mapped, self._trusted_until_ns = (), (), 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": (), "_mapped": (), "_trusted_until_ns": 0}


def _stamp(path: Path, shard: Shard) -> Stamp:
    try:
        return stamp_of(shard.path.stat())
    except OSError as error:
        raise CacheError(f"{path}: its shard {shard.path} is missing; move both together, or build anew") from error


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array
