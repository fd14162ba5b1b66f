"""Writes frame caches: the frames first, each at its place in the file, then what is known about them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from preprocessing.cache.contents import LeftOut, Outcome, joined
from preprocessing.cache.frames import StoredFrames
from preprocessing.cache.reader import package_version
from preprocessing.cache.schema import COUNTS, SPLITS, FrameLayout, canonical, fingerprint
from preprocessing.cache.schema import frame_layout as frame_layout  # noqa: PLC0414 (also a name of this module)
from preprocessing.cache.stored import FORMAT, SCHEMA
from preprocessing.files import now_ns, replace_durably, reserve, write_at

_HEADER_BYTES = 2048  # what HDF5 writes before the first data set of a file; asserted where it is used


class FrameRows:
    """The frames of a cache in the making: rows of a file, written in any order.

    The rows begin where they do in the finished HDF5 file. Where they are complete and in the order of the
    samples, that file is made of this one in place, and frames are written only once; otherwise they are copied.

    Args:
        path: the file, which may be there already.
        layout: of a row.

    Attributes:
        opened_ns: when it was opened, by the clock of its file system.
    """

    def __init__(self, path: Path, layout: FrameLayout) -> None:
        self.path = path
        self.layout = layout
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        self.opened_ns = now_ns(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def clear(self) -> None:
        """Forget what was written before."""
        os.truncate(self._file, 0)

    def put(self, row: int, frames: Iterable[StoredFrames]) -> int:
        """Write samples, ``[T, C, H, W]`` each, from ``row`` on; returns the CRC-32 of their bytes."""
        checksum = 0
        for place, sample in enumerate(frames, row):
            if (sample.shape, sample.dtype) != self.layout:
                shape, dtype = self.layout
                raise ValueError(f"frames are {sample.dtype} {sample.shape}, expected {dtype} {shape}")
            data = np.ascontiguousarray(sample, self.layout.dtype).data.cast("B")
            write_at(self._file, data, self._offset(place))
            checksum = zlib.crc32(data, checksum)
        return checksum

    def checksum(self, row: int, count: int) -> int:
        """CRC-32 of the bytes of ``count`` rows from ``row`` on, as far as they are there."""
        checksum = 0
        for place in range(row, row + count):
            checksum = zlib.crc32(self._read(place), checksum)
        return checksum

    def assemble(self, order: Sequence[int], partial: Path) -> Path:
        """Make an HDF5 file that holds just the frames of the rows ``order``; returns it: this one or ``partial``."""
        _allocate(partial, len(order), self.layout)
        if any(row != place for place, row in enumerate(order)):
            self._copy(order, partial)
            return partial
        with partial.open("rb") as file:
            write_at(self._file, file.read(_HEADER_BYTES), 0)
        os.truncate(self._file, partial.stat().st_size)
        partial.unlink()
        return self.path

    def _copy(self, order: Sequence[int], partial: Path) -> None:
        with partial.open("r+b", buffering=0) as file:
            for place, row in enumerate(order):
                write_at(file.fileno(), self._read(row), self._offset(place))

    def _read(self, row: int) -> bytes:
        return os.pread(self._file, self.layout.num_bytes, self._offset(row))

    def _offset(self, row: int) -> int:
        return _HEADER_BYTES + row * self.layout.num_bytes


def _allocate(path: Path, num_rows: int, rows: FrameLayout) -> None:
    """Write an HDF5 file with a contiguous data set ``frames`` that nothing is written to yet."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    space = h5py.h5s.create_simple((num_rows, *rows.shape))
    reserve(path, 2 * _HEADER_BYTES)
    with h5py.File(path, "w", locking=False) as file:
        frames = h5py.h5d.create(file.id, b"frames", h5py.h5t.py_create(rows.dtype), space, layout)
        offset = frames.get_offset()
    assert offset == _HEADER_BYTES if num_rows else offset is None, offset


def describe(
    path: Path,
    config: Mapping[str, Any],
    classes: Sequence[str],
    outcome: Outcome,
    left_out: Sequence[tuple[str, str]] = (),
) -> None:
    """Add to a file that has ``frames`` all the rest of a frame cache; ``left_out`` comes before the outcome's own."""
    whole = replace(outcome, left_out=(*(LeftOut(*problem) for problem in left_out), *outcome.left_out))
    with h5py.File("in memory", "w", driver="core", backing_store=False) as trial:
        trial.create_dataset("frames", (0,), "<u2")
        _add_description(trial, config, classes, whole)
        reserve(path, 2 * int(trial.id.get_filesize()))
    with h5py.File(path, "r+", locking=False) as file:
        _add_description(file, config, classes, whole)


def _add_description(file: h5py.File, config: Mapping[str, Any], classes: Sequence[str], outcome: Outcome) -> None:
    text = h5py.string_dtype()
    rows, left_out, warnings = outcome.rows, outcome.left_out, outcome.warnings
    file["frames"].attrs["scale"] = outcome.scale
    file.attrs.update(format=FORMAT, schema=SCHEMA, kind=config.get("kind", "events"), version=package_version())
    file.attrs.update(sensor=outcome.sensor or (0, 0), **({"sums": outcome.sums} if outcome.sums else {}))
    file.attrs.update(sensor_from=outcome.sensor_from, sensor_of=outcome.name)
    file.attrs.update(config=canonical(config), fingerprint=fingerprint(config))
    file.attrs.update({count: getattr(outcome, count) for count in COUNTS})
    file.create_dataset("labels", data=[row.label for row in rows], dtype="<i8")
    file.create_dataset("num_events", data=[row.num_events for row in rows], dtype="<i8")
    file.create_dataset("duration_us", data=[row.duration_us for row in rows], dtype="<i8")
    splits = [SPLITS[row.split] for row in rows]
    file.create_dataset("split", data=splits, dtype=h5py.enum_dtype(SPLITS, basetype="u1"))
    file.create_dataset("source", (len(rows),), text, data=[row.source for row in rows] or None)
    file.create_dataset("classes", data=list(classes), dtype=text)
    file.create_dataset("left_out", (len(left_out), 2), text, data=list(left_out) or None)
    file.create_dataset("warnings", (len(warnings), 2), text, data=list(warnings) or None)


def publish(written: Path, target: Path, begun_ns: int) -> None:
    """Give a finished cache its name, dated to when its recordings began to be read.

    So a recording that is written later is newer than the cache, and the cache is told to be out of date.
    """
    os.utime(written, ns=(begun_ns, begun_ns))
    replace_durably(written, target)


def write_cache(
    path: Path,
    config: Mapping[str, Any],
    classes: Sequence[str],
    parts: Iterable[tuple[Outcome, Iterable[StoredFrames]]],
    *,
    scratch: str,
    left_out: Sequence[tuple[str, str]] = (),
    begun_ns: int | None = None,
) -> None:
    """Write a frame cache in one go; it appears under its name only when it is complete.

    Args:
        path: the HDF5 file to write or replace.
        config: everything that decides the content; needs ``steps`` and ``size`` (width, height), and of images
            ``kind`` and ``channels``.
        classes: names of the classes.
        parts: what came of each recording, and the frames of its samples.
        scratch: a name that no other process uses for its files beside ``path``.
        left_out: what was left out before any recording was read.
        begun_ns: the date of the file; when the writing began by default.
    """
    rows_path, partial = (path.with_name(f".{scratch}.{kind}") for kind in ("rows", "partial"))
    outcomes = []
    num_rows = 0
    try:
        with FrameRows(rows_path, frame_layout(config)) as rows:
            for outcome, frames in parts:
                rows.put(num_rows, frames)
                num_rows += len(outcome.rows)
                outcomes.append(outcome)
            written = rows.assemble(range(num_rows), partial)
        describe(written, config, classes, joined(outcomes), left_out)
        publish(written, path, begun_ns or rows.opened_ns)
    finally:
        rows_path.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
