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

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

FORMAT = "evglif frame cache"
SCHEMA = 4
KINDS = ("events", "images")
SPLITS = {"train": 0, "validation": 1, "test": 2}
StoredFrames = NDArray[np.unsignedinteger]
"""Frames as a cache keeps them: uint16 of events, uint8 of images."""

COUNTS = (
    "num_saturated",
    "num_special",
    "num_backward",
    "num_filtered",
    "num_unused",
    "num_dropped",
    "num_resets",
    "num_forward",
)


SENSOR_FROM = ("file", "asked", "guess")
"""Who can say what sensor the recordings are of, the best witness first."""


class CacheError(ValueError):
    """A frame cache that cannot be read; the message says why and what to do."""


class NotACacheError(CacheError):
    """A file that was never a frame cache, so that no build may replace it unasked."""


def canonical(config: Mapping[str, Any]) -> str:
    """The one JSON text of a configuration: sorted keys, no spaces."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def fingerprint(config: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a configuration, in hexadecimal."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


def package_version() -> str:
    """Version of the installed package, "0" where it is used from its folder without being installed."""
    for distribution in ("evglif", "evglif-runtime"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return "0"


class Shard(NamedTuple):
    """A file, itself a frame cache, that holds the frames from sample ``start`` on."""

    path: Path
    start: int
    num_samples: int


class FrameCache:
    """A frame cache, read sample by sample.

    What describes the samples is read at once. The frames lie in the file as one array, which is mapped into
    memory when it is first asked for, by each process for itself: no HDF5 handle stays open to be pickled
    or inherited by a data loader's workers.

    Args:
        path: an HDF5 file written by ``python -m preprocessing.build``.

    Raises:
        FileNotFoundError: there is no such file.
        CacheError: it is not a frame cache, of another schema, or cut short, or one of its shards is missing.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._mapped: tuple[StoredFrames, ...] = ()
        with _open(self.path) as file:
            try:
                self._describe(file)
            except (KeyError, OSError) as error:
                raise CacheError(f"{self.path}: damaged frame cache ({error}); build it anew") from error
        for shard in self.shards:
            if not shard.path.exists():
                raise CacheError(f"{self.path}: its shard {shard.path} is missing; move both together, or build anew")

    def _describe(self, file: h5py.File) -> None:
        attributes, frames = file.attrs, file["frames"]
        self.classes: tuple[str, ...] = tuple(file["classes"].asstr()[:])
        self.config: dict[str, Any] = json.loads(attributes["config"])
        self.fingerprint = str(attributes["fingerprint"])
        self.version = str(attributes["version"])
        self.sensor: tuple[int, int] = _pair(attributes["sensor"])
        self.sensor_from = str(attributes["sensor_from"])
        self.sensor_of = str(attributes["sensor_of"])
        (
            self.num_saturated,
            self.num_special,
            self.num_backward,
            self.num_filtered,
            self.num_unused,
            self.num_dropped,
            self.num_resets,
            self.num_forward,
        ) = (int(attributes[count]) for count in COUNTS)
        self.kind = str(attributes["kind"])
        self.sums: tuple[tuple[int, ...], ...] = _rows(attributes.get("sums", ()))
        self.scale = float(frames.attrs["scale"])
        self.dtype: np.dtype[np.unsignedinteger] = frames.dtype.newbyteorder("=")
        self.shape: tuple[int, int, int, int] = tuple(frames.shape[1:])
        self.labels: NDArray[np.int64] = _frozen(file["labels"][:])
        self.num_events: NDArray[np.int64] = _frozen(file["num_events"][:])
        self.duration_us: NDArray[np.int64] = _frozen(file["duration_us"][:])
        self._split = _frozen(file["split"][:])
        self.left_out: tuple[tuple[str, str], ...] = tuple((s, why) for s, why in file["left_out"].asstr()[:])
        self.warnings: tuple[tuple[str, str], ...] = tuple((s, text) for s, text in file["warnings"].asstr()[:])
        self.shards: tuple[Shard, ...] = _shards(self.path.parent, frames)

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
        """Samples as they are stored, ``[B, T, C, H, W]``: multiply by ``scale`` for the values."""
        batch = np.empty((len(indices), *self.shape), self.dtype)
        for row, index in enumerate(indices):  # a list as index would be ten times slower, in HDF5 a hundred
            batch[row] = self._frames(int(index))
        return batch

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Frames of one sample, ``[T, C, H, W]``: events per bin, OFF in channel 0 and ON in channel 1.

        Of an image brightness from 0 to 1, grey or red, green and blue.
        """
        frames: NDArray[np.float32] = self._frames(index) * np.float32(self.scale)
        return frames

    def source(self, index: int) -> str:
        """Where a sample comes from: ``<recording>`` relative to the root, or ``<recording>@<start>us``."""
        return self.sources[self._checked(index)]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Where each sample comes from."""
        with _open(self.path) as file:
            return tuple(file["source"].asstr()[:])

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} is not in {self.path}, which holds {len(self)}")
        return index % len(self)

    def _frames(self, index: int) -> StoredFrames:
        index = self._checked(index)
        if not self._mapped:
            self._mapped = tuple(_mapped(part, self.fingerprint, self.shape, self.dtype) for part in self._parts)
        part = bisect_right(self._starts, index) - 1
        frames: StoredFrames = self._mapped[part][index - self._starts[part]]
        return frames

    @cached_property
    def _parts(self) -> tuple[Shard, ...]:
        return self.shards or (Shard(self.path, 0, len(self)),)

    @cached_property
    def _starts(self) -> list[int]:
        return [part.start for part in self._parts]

    def close(self) -> None:
        """Let go of the file; reading frames maps it again."""
        self._mapped = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": ()}


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such frame cache; python -m preprocessing.build writes one")
    if not path.is_file() or not h5py.is_hdf5(path):
        raise NotACacheError(f"{path}: not an HDF5 file; expected a frame cache")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise CacheError(f"{path}: cannot be opened, it may be cut short ({error}); build it anew") from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise NotACacheError(f"{path}: an HDF5 file, but not a frame cache")
    schema = int(file.attrs["schema"])
    if schema != SCHEMA:
        file.close()
        raise CacheError(f"{path}: frame cache of schema {schema}, this package reads {SCHEMA}; build it anew")
    return file


def _pair(values: Iterable[Any]) -> tuple[int, int]:
    width, height = (int(value) for value in values)
    return width, height


def _rows(values: Iterable[Iterable[Any]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(value) for value in row) for row in values)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def _shards(folder: Path, frames: h5py.Dataset) -> tuple[Shard, ...]:
    if not frames.is_virtual:
        return ()
    found = []
    for region, name, _, _ in frames.virtual_sources():
        first, last = region.get_select_bounds()
        found.append(Shard(folder / name, first[0], last[0] - first[0] + 1))
    return tuple(sorted(found, key=lambda shard: shard.start))


def _mapped(part: Shard, build: str, shape: tuple[int, ...], dtype: np.dtype[np.unsignedinteger]) -> StoredFrames:
    """The frames of a file, mapped into memory; ``build`` is the fingerprint that it or its shards were made for."""
    try:
        with _open(part.path) as file:
            config, frames = json.loads(file.attrs["config"]), file["frames"]
            offset, found = frames.id.get_offset(), frames.shape
    except (FileNotFoundError, CacheError, KeyError) as error:
        raise CacheError(f"{part.path}: unusable since the cache was opened ({error}); build it anew") from error
    if found != (part.num_samples, *shape) or config.get("build", fingerprint(config)) != build:
        raise CacheError(f"{part.path}: holds the frames of another build; open the cache again, or build it anew")
    return np.asarray(np.memmap(part.path, dtype.newbyteorder("<"), "r", offset, found))
