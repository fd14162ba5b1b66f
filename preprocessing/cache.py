"""The frame cache: one HDF5 file with every frame of a data set and all that is known about them.

===============  ==========================  ==============================================================
``frames``       ``[N, T, 2, H, W]`` uint16  contiguous; attribute ``scale``: value = stored × scale
``labels``       ``[N]`` int64               index into ``classes``
``split``        ``[N]`` enum                train, validation or test
``classes``      ``[K]`` string              names of the classes
``source``       ``[N]`` string              recording, relative to the root; ``@<start>us`` where it was cut
``num_events``   ``[N]`` int64               events behind the frames
``duration_us``  ``[N]`` int64               from the first to the last of them, µs
``left_out``     ``[M, 2]`` string           what the build left out, and why
===============  ==========================  ==============================================================

Attributes of the file: ``format``, ``schema``, ``version`` (of the package), ``config`` (JSON: all that
decided the content), ``fingerprint`` (SHA-256 of it), ``sensor`` (width, height), ``num_saturated`` (bins
clipped at 65535), ``num_special`` (records that are no events of the sensor). The same input gives the same
bytes: no dates, no absolute paths.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.files import BusyError, exclusive, replace_durably

FORMAT = "evglif frame cache"
SCHEMA = 1
SPLITS = {"train": 0, "validation": 1, "test": 2}

_BLOCK_BYTES = 1 << 26


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
    try:
        return version("evglif")
    except PackageNotFoundError:
        return "0"


class FrameCache:
    """A frame cache, read sample by sample.

    What describes the samples is read at once. The frames lie in the file as one array, which is mapped into
    memory when it is first asked for, by each process for itself: no HDF5 handle stays open to be pickled
    or inherited by a data loader's workers.

    Args:
        path: an HDF5 file written by ``python -m preprocessing.build``.

    Raises:
        FileNotFoundError: there is no such file.
        CacheError: it is not a frame cache, of another schema, or cut short.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._mapped: NDArray[np.uint16] | None = None
        with _open(self.path) as file:
            try:
                self._describe(file)
            except (KeyError, OSError) as error:
                raise CacheError(f"{self.path}: damaged frame cache ({error}); build it anew") from error

    def _describe(self, file: h5py.File) -> None:
        attributes, frames = file.attrs, file["frames"]
        self.classes: tuple[str, ...] = tuple(file["classes"].asstr()[:])
        self.config: dict[str, Any] = json.loads(attributes["config"])
        self.fingerprint = str(attributes["fingerprint"])
        self.version = str(attributes["version"])
        self.sensor: tuple[int, int] = _pair(attributes["sensor"])
        self.num_saturated = int(attributes["num_saturated"])
        self.num_special = int(attributes["num_special"])
        self.scale = float(frames.attrs["scale"])
        self.shape: tuple[int, int, int, int] = tuple(frames.shape[1:])
        self.labels: NDArray[np.int64] = _frozen(file["labels"][:])
        self.num_events: NDArray[np.int64] = _frozen(file["num_events"][:])
        self.duration_us: NDArray[np.int64] = _frozen(file["duration_us"][:])
        self._split = _frozen(file["split"][:])
        self.left_out: tuple[tuple[str, str], ...] = tuple((s, why) for s, why in file["left_out"].asstr()[:])

    @property
    def steps(self) -> int:
        """Time steps T of a sample."""
        return self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame, px."""
        return self.shape[3], self.shape[2]

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, split: str) -> NDArray[np.int64]:
        """Positions of the samples of ``split`` ("train", "validation" or "test"), rising."""
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown: choose one of {', '.join(SPLITS)}")
        return np.flatnonzero(self._split == SPLITS[split]).astype(np.int64)

    def stored(self, indices: Sequence[int] | NDArray[np.integer]) -> NDArray[np.uint16]:
        """Samples as they are stored, ``[B, T, 2, H, W]``: multiply by ``scale`` for the values."""
        frames = self._frames()
        batch = np.empty((len(indices), *self.shape), np.uint16)
        for row, index in enumerate(indices):  # a list as index would be ten times slower, in HDF5 a hundred
            batch[row] = frames[self._checked(int(index))]
        return batch

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Frames of one sample, ``[T, 2, H, W]``: events per bin, OFF in channel 0 and ON in channel 1."""
        stored = self._frames()[self._checked(index)]
        frames: NDArray[np.float32] = stored * np.float32(self.scale)
        return frames

    def source(self, index: int) -> str:
        """Where a sample comes from: ``<recording>`` relative to the root, or ``<recording>@<start>us``."""
        return self._sources[self._checked(index)]

    @cached_property
    def _sources(self) -> tuple[str, ...]:
        with _open(self.path) as file:
            return tuple(file["source"].asstr()[:])

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} is not in {self.path}, which holds {len(self)}")
        return index

    def _frames(self) -> NDArray[np.uint16]:
        if self._mapped is None:
            with _open(self.path) as file:
                offset, shape = file["frames"].id.get_offset(), file["frames"].shape
            self._mapped = np.asarray(np.memmap(self.path, "<u2", "r", offset, shape))
        return self._mapped

    def close(self) -> None:
        """Let go of the file; reading frames maps it again."""
        self._mapped = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}


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


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def remove_leftovers(path: Path) -> None:
    """Remove what a killed writer of ``path`` left beside it; one that lives is not disturbed."""
    if _spool(path).exists():
        with suppress(BusyError), CacheWriter(path, {"steps": 0, "size": (0, 0)}):
            pass


def _spool(path: Path) -> Path:
    return path.with_name(f".{path.name}.spool")


class CacheWriter:
    """Writes a frame cache that appears under its name only when it is complete.

    The number of samples is not known beforehand, so frames are spooled beside the target and put together by
    ``commit``. Leaving the context without it, for whatever reason, leaves what was there before.

    Args:
        path: the HDF5 file to write or replace.
        config: everything that decides the content; needs ``steps`` and ``size`` (width, height).

    Raises:
        BusyError: another process is writing the same file.
    """

    def __init__(self, path: str | os.PathLike[str], config: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.config = dict(config)
        width, height = config["size"]
        self.shape = (int(config["steps"]), 2, int(height), int(width))
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._rows: list[tuple[int, int, str, int, int]] = []
        self._num_saturated = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._spool = self._stack.enter_context(exclusive(_spool(self.path), f"building {self.path}"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._partial.unlink(missing_ok=True)
        self._stack.__exit__(kind, error, trace)

    @property
    def num_samples(self) -> int:
        """Samples added so far."""
        return len(self._rows)

    def append(
        self,
        frames: NDArray[np.uint16],
        *,
        label: int,
        split: str,
        source: str,
        num_events: int,
        duration_us: int,
        num_saturated: int = 0,
    ) -> None:
        """Add one sample, ``[T, 2, H, W]`` uint16, as ``Rasterizer.stored`` gives it."""
        if frames.shape != self.shape or frames.dtype != np.uint16:
            raise ValueError(f"{source}: frames are {frames.dtype} {frames.shape}, expected uint16 {self.shape}")
        self._spool.write(np.ascontiguousarray(frames, "<u2").data)
        self._rows.append((label, SPLITS[split], source, num_events, duration_us))
        self._num_saturated += num_saturated

    def commit(
        self,
        *,
        classes: Sequence[str],
        sensor: tuple[int, int],
        scale: float,
        num_special: int = 0,
        left_out: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Put the file together and give it its name.

        Raises:
            ValueError: no sample was added.
        """
        if not self._rows:
            raise ValueError(f"{self.path}: no samples to write")
        with h5py.File(self._partial, "w") as file:
            file.attrs.update(format=FORMAT, schema=SCHEMA, version=package_version(), sensor=sensor)
            file.attrs.update(config=canonical(self.config), fingerprint=fingerprint(self.config))
            file.attrs.update(num_saturated=self._num_saturated, num_special=num_special)
            self._write_frames(file, scale)
            labels, splits, sources, num_events, durations = zip(*self._rows, strict=True)
            text = h5py.string_dtype()
            for name, values in ("labels", labels), ("num_events", num_events), ("duration_us", durations):
                file.create_dataset(name, data=values, dtype="<i8")
            file.create_dataset("split", data=splits, dtype=h5py.enum_dtype(SPLITS, basetype="u1"))
            file.create_dataset("source", data=sources, dtype=text)
            file.create_dataset("classes", data=list(classes), dtype=text)
            file.create_dataset("left_out", (len(left_out), 2), text, data=list(left_out) or None)
        replace_durably(self._partial, self.path)

    def _write_frames(self, file: h5py.File, scale: float) -> None:
        frames = file.create_dataset("frames", (len(self._rows), *self.shape), "<u2")
        frames.attrs["scale"] = scale
        num_values = int(np.prod(self.shape))
        block = np.empty((max(1, _BLOCK_BYTES // (2 * num_values)), *self.shape), "<u2")
        self._spool.seek(0)
        for start in range(0, len(self._rows), len(block)):
            part = block[: len(self._rows) - start]
            self._spool.readinto(part.data)
            frames[start : start + len(part)] = part
