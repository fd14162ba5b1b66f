"""An HDF5 file that should be a frame cache, read part by part: nothing of another kind, place or size than ours.

HDF5 can say much that no cache of ours does: that the bytes lie in another file, in compressed chunks, in the header,
nowhere yet; or that ten thousand texts are the same megabyte. What memory a part takes is known here before it is read,
and is no more than a stated multiple of what the file holds.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import h5py
import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.heaps import check_attributes, check_heaps
from preprocessing.files import is_inside
from preprocessing.plain import brief

FORMAT = "evglif frame cache"
SCHEMA = 4
AGAIN = "build it anew"
_TEXT = np.dtype([("length", "<u4"), ("heap", "<u8"), ("place", "<u4")])
"""How HDF5 refers to a text of any length; the texts themselves lie in heaps of the file."""

FRAMES_OF = {"<u2": h5py.h5t.STD_U16LE, "|u1": h5py.h5t.STD_U8LE}


class CacheError(ValueError):
    """A frame cache that cannot be read; the message says why and what to do."""


class NotACacheError(CacheError):
    """A file that was never a frame cache, so that no build may replace it unasked."""


class Shard(NamedTuple):
    """A file, itself a frame cache, that holds the frames from sample ``start`` on."""

    path: Path
    start: int
    num_samples: int


class Stamp(NamedTuple):
    """What tells that a file is still what it was: its size, and when it was last written to, ns."""

    num_bytes: int
    changed_ns: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_size, status.st_mtime_ns)


@contextmanager
def opened(path: Path) -> Iterator[Stored]:
    """Open a frame cache of this schema, to read parts of it.

    Raises:
        FileNotFoundError: there is no such file.
        CacheError: it is none, of another schema, or damaged, whatever the parts that are read meet.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such frame cache; python -m preprocessing.build writes one")
    if not path.is_file() or not h5py.is_hdf5(path):
        what = "a folder" if path.is_dir() else "not an HDF5 file"
        raise NotACacheError(f"{path}: {what}; expected a frame cache, as python -m preprocessing.build writes one")
    try:
        file = h5py.File(path, "r")
    except Exception as error:
        raise CacheError(f"{path}: cannot be opened, it may be cut short ({error}); {AGAIN}") from error
    try:
        with file:
            stored = Stored(path, file)
            stored.check_heaps()
            stored.check_format()
            yield stored
    except CacheError:
        raise
    except Exception as error:  # a damaged file ends in whatever HDF5 or NumPy make of what they met
        raise CacheError(f"{path}: damaged frame cache ({error}); {AGAIN}") from error


class Stored:
    """The parts of an open file.

    Args:
        path: of the file.
        file: the same, open.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        self.attributes = file.attrs
        self._known: dict[str, h5py.Dataset] = {}
        self.stamp = stamp_of(path.stat())
        self.num_bytes = self.stamp.num_bytes

    def refuse(self, name: str, found: object, expected: str) -> NoReturn:
        """Raise the error that a part is not as it must be."""
        raise CacheError(f"{self.path}: {name} is {found}; expected {expected}: {AGAIN}")

    def check_heaps(self) -> None:
        """Make sure that HDF5 comes to an end with the texts of the file."""
        begin = end = self.num_bytes
        if isinstance(self.file.get("frames", getlink=True), h5py.HardLink):
            frames = self._data("frames").id
            begin = frames.get_offset() or self.num_bytes
            end = begin + frames.get_storage_size()
        with self.path.open("rb") as file:
            check_heaps(file, self.num_bytes, (begin, end))
            check_attributes(file, int(h5py.h5o.get_info(self.file.id).addr), self.num_bytes)

    def check_format(self) -> None:
        """Make sure that it is a frame cache of the schema that is read here."""
        try:
            name = self.attribute("format")
        except Exception as error:
            raise NotACacheError(f"{self.path}: an HDF5 file, but not a frame cache") from error
        if name != FORMAT:
            raise NotACacheError(f"{self.path}: an HDF5 file, but not a frame cache")
        schema = self.attribute("schema")
        if schema != SCHEMA:
            raise CacheError(
                f"{self.path}: frame cache of schema {brief(schema)}, this package reads {SCHEMA}; {AGAIN}"
            )

    def attribute(self, name: str, of: str = "/") -> Any:
        """An attribute as a plain value: a number or a text, or nested lists of numbers."""
        place = self.attributes if of == "/" else self._data(of).attrs
        kept = place.get_id(name)
        texts = h5py.check_string_dtype(kept.dtype)
        usual = texts.length is None and kept.shape == () if texts else kept.dtype.kind in "iuf"
        if not usual or kept.shape is None or len(kept.shape) > 2 or kept.get_storage_size() > self.num_bytes:
            self.refuse(name, f"{kept.dtype} {kept.shape}", "a text, or numbers")
        value = place[name]
        return value.tolist() if isinstance(value, np.generic | np.ndarray) else value

    def numbers(self, name: str, length: int) -> NDArray[np.int64]:
        """A data set of whole numbers ``[length]``."""
        data = self._in_place(name, (length,))
        if data.dtype.kind not in "iu" or data.dtype == np.uint64:
            self.refuse(name, data.dtype, "whole numbers")
        values: NDArray[np.int64] = data[:].astype(np.int64)
        return values

    def enumerated(self, name: str, length: int, meanings: dict[str, int]) -> NDArray[np.int64]:
        """A data set ``[length]`` of one of these."""
        found = h5py.check_enum_dtype(self._in_place(name, (length,)).dtype)
        if found != meanings:
            self.refuse(name, f"of {brief(found)}", f"numbers that mean {meanings}")
        values = self.numbers(name, length)
        unknown = values[~np.isin(values, list(meanings.values()))]
        if len(unknown):
            self.refuse(f"{name}, of {len(unknown)} samples,", unknown[0], f"one of {meanings}")
        return values

    def texts(self, name: str, *shape: int | None) -> list[Any]:
        """A data set of texts, as nested lists; a length of None is any."""
        kind = h5py.check_string_dtype(self._data(name).dtype)
        if kind is None or kind.length is not None:
            self.refuse(name, self._data(name).dtype, "texts of any length")
        data = self._in_place(name, shape, of_texts=True)
        if data.size == 0:
            return []
        held = int(np.fromfile(self.path, _TEXT, data.size, offset=data.id.get_offset())["length"].sum(dtype=np.uint64))
        if held > self.num_bytes:
            self.refuse(name, f"{held:,} bytes of text", f"no more than the {self.num_bytes:,} of the file")
        nested: list[Any] = data.asstr()[:].tolist()
        return nested

    def length(self, name: str) -> int:
        """How many rows a data set has."""
        shape = self._data(name).shape
        if not shape:
            self.refuse(name, "a single value", "one for each sample")
        return int(shape[0])

    def frames(self) -> tuple[tuple[int, ...], np.dtype[np.unsignedinteger]]:
        """Shape and type of the frames, which lie in the file as they are, or in shards."""
        data = self._data("frames")
        kinds = [np.dtype(name) for name, kind in FRAMES_OF.items() if data.id.get_type().equal(kind)]
        if not kinds:
            self.refuse("frames", f"of {data.dtype.str} in HDF5", "little-endian uint16 or uint8")
        if data.ndim != 5 or 0 in data.shape[1:]:
            self.refuse("frames", f"of shape {data.shape}", "[N, T, C, H, W]")
        if not data.is_virtual:
            self._in_place("frames", data.shape)
        return data.shape, kinds[0]

    def offset(self) -> int:
        """Where in the file the frames begin."""
        return int(self._in_place("frames", self._data("frames").shape).id.get_offset() or 0)

    def shards(self) -> tuple[Shard, ...]:
        """The files that the frames lie in, in their order; none where they lie in this one."""
        data = self._data("frames")
        if not data.is_virtual:
            return ()
        found = sorted((self._shard(source, data.shape) for source in data.virtual_sources()), key=lambda s: s.start)
        ends = [0, *(shard.start + shard.num_samples for shard in found)]
        if [shard.start for shard in found] != ends[:-1] or ends[-1] != len(data):
            self.refuse("frames", "put together with gaps, or twice the same", "each sample once, in its shard")
        return tuple(found)

    def _shard(self, source: Any, shape: tuple[int, ...]) -> Shard:
        if not is_inside(source.file_name) or source.dset_name != "frames":
            self.refuse("frames", f"{source.dset_name} of {source.file_name}", "frames of files beside this one")
        first, last = source.vspace.get_select_bounds()
        count = last[0] - first[0] + 1
        whole = first[1:] == (0, 0, 0, 0) and last[1:] == tuple(side - 1 for side in shape[1:])
        num_values = count * math.prod(shape[1:])
        there = source.src_space
        same = there.get_select_type() == h5py.h5s.SEL_ALL or (
            there.get_select_npoints() == num_values and not any(there.get_select_bounds()[0])
        )
        if not (whole and same) or source.vspace.get_select_npoints() != num_values:
            self.refuse("frames", f"parts of those of {source.file_name}", "whole samples")
        return Shard(self.path.parent / source.file_name, int(first[0]), int(count))

    def _data(self, name: str) -> h5py.Dataset:
        if name in self._known:
            return self._known[name]
        link = self.file.get(name, getlink=True)
        if link is None:
            self.refuse(name, "missing", "a data set")
        if not isinstance(link, h5py.HardLink) or self.file.get(name, getclass=True) is not h5py.Dataset:
            self.refuse(name, "a group, or a link to elsewhere", "a data set of this file")
        self._known[name] = self.file[name]
        return self._known[name]

    def _in_place(self, name: str, shape: tuple[int | None, ...], of_texts: bool = False) -> h5py.Dataset:
        """A data set of this shape whose values lie in the file, in one piece and as they are."""
        data = self._data(name)
        found = data.shape
        if (
            found is None
            or len(found) != len(shape)
            or any(n not in (m, None) for m, n in zip(found, shape, strict=True))
        ):
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            self.refuse(name, f"of shape {found}", f"[{wanted}]")
        layout = data.id.get_create_plist()
        if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_external_count():
            self.refuse(name, "stored in chunks, in the header or in another file", "values in one piece in this file")
        num_bytes = data.size * (_TEXT.itemsize if of_texts else data.id.get_type().get_size())
        place = data.id.get_offset()
        there = data.id.get_storage_size() if place is not None else 0
        if num_bytes and (there != num_bytes or place is None or place + num_bytes > self.num_bytes):
            self.refuse(name, f"{num_bytes:,} bytes, of which {there:,} were written", "all of them in the file")
        return data
