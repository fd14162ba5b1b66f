"""HDF5 files that anybody may have written, as plain values: groups as dicts, data sets as arrays.

A process apart reads them, within the limits of what a file of that size may become. Nothing outside the file is
followed: links to other places and data in other files are refused by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preprocessing import apart, limits

if TYPE_CHECKING:
    import h5py

DEEPEST = 8
"""How deep groups may lie in one another."""

MOST_OBJECTS = 100_000
"""How many groups and data sets a file may hold, each counted wherever it is named."""

_OF_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, TypeError, EOFError, OverflowError, apart.StoppedError)


def read_tree(path: Path) -> dict[str, Any]:
    """The groups of a file by their names; numbers as arrays of any shape, also of none, text as it is or in lists.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no HDF5, is damaged, names what lies elsewhere, or would take more than it may.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    num_bytes = path.stat().st_size
    try:
        return apart.call(read_file, os.fspath(path.absolute()), num_bytes, bounds=apart.Bounds.of(num_bytes))
    except _OF_DAMAGE as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from error


def read_file(place: str, num_bytes: int) -> dict[str, Any]:
    """What ``read_tree`` gives, of a file of so many bytes; a process apart calls this, as HDF5 may hang."""
    import h5py

    with h5py.File(place, "r", locking=False) as file:
        return _Reader(num_bytes).group(file, DEEPEST)


class _Reader:
    """Reads groups, and counts what they come to."""

    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = num_bytes
        self._num_objects = self._wanted = 0

    def group(self, group: h5py.Group, deepest: int) -> dict[str, Any]:
        import h5py

        if deepest == 0:
            raise ValueError(f"its groups are nested more than {DEEPEST} deep")
        found: dict[str, Any] = {}
        for name in group:
            self._num_objects += 1
            if self._num_objects > MOST_OBJECTS:
                raise ValueError(f"it holds more than {MOST_OBJECTS:,} groups and data sets")
            place = f"{group.name.rstrip('/')}/{name}"
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{place} is a link to another place; copy what it names into the file")
            node = group[name]
            if isinstance(node, h5py.Group):
                found[name] = self.group(node, deepest - 1)
            elif isinstance(node, h5py.Dataset):
                found[name] = self._values(node, place)
            else:
                raise ValueError(f"{place} is neither a group nor a data set")
        return found

    def _values(self, data: h5py.Dataset, place: str) -> Any:
        import h5py

        if data.is_virtual or data.external:
            raise ValueError(f"{place} lies in other files; copy it into this one: h5repack IN OUT")
        text = h5py.check_string_dtype(data.dtype)
        if text is None and data.dtype.kind not in "iufb":
            raise ValueError(f"{place} holds {data.dtype}; expected numbers or text")
        if data.shape is None:
            return None
        self._wanted += data.size * data.dtype.itemsize
        if problem := limits.problem(self._wanted, self._num_bytes):
            raise ValueError(f"{place} and what comes before it {problem}")
        if text is None:
            return np.asarray(data[()])
        read = data.asstr(errors="replace")[()]
        return read.tolist() if isinstance(read, np.ndarray) else str(read)
