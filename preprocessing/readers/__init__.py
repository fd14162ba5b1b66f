"""Recordings in their wire formats, one module each; the format is told by signature, then by suffix.

A reader module has ``SUFFIXES``, ``recognises(data)``, ``decode(data, source, sensor, how) -> Recording`` and, where we
write the format, ``encode``.
"""

from __future__ import annotations

from collections.abc import KeysView
from os import PathLike
from pathlib import Path
from typing import Protocol

from preprocessing.events import AS_IS, Reading, Recording, RecordingError
from preprocessing.readers import (
    aedat1,
    aedat2,
    aedat4,
    aedat31,
    atis,
    dat,
    eventstream,
    evt,
    hdf5,
    matlab,
    numpy_files,
    rosbag,
    text,
)


class Reader(Protocol):
    """What a module of this package offers."""

    SUFFIXES: tuple[str, ...]
    """Suffixes (lower case, with the dot) that files of the format have."""

    def recognises(self, data: bytes) -> bool:
        """Whether the bytes of a file say that they are of this format; False where the format has no signature."""

    def decode(
        self, data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS
    ) -> Recording:
        """See ``decode_recording``."""


_READERS: list[Reader] = [
    aedat1,
    aedat31,
    aedat4,
    aedat2,  # whatever else starts as AEDAT does
    dat,
    eventstream,
    evt,
    hdf5,
    matlab,
    numpy_files,
    rosbag,
    atis,
    text,
]

_LONGEST_SIGNATURE = 1024
_IN_PLACE = frozenset((*hdf5.SUFFIXES, *rosbag.SUFFIXES, *matlab.SUFFIXES))  # MATLAB's version 7.3 is HDF5

_BY_SUFFIX: dict[str, Reader] = {suffix: reader for reader in reversed(_READERS) for suffix in reader.SUFFIXES}

SUFFIXES: KeysView[str] = _BY_SUFFIX.keys()
"""Suffixes (lower case, with the dot) of the files that can be read."""


def register_reader(reader: Reader) -> None:
    """Add a format of one's own: a module or object as ``Reader`` says, asked before those of this package.

    Its suffixes are read by it, also those that another format has.
    """
    _READERS.insert(0, reader)
    _BY_SUFFIX.update(dict.fromkeys(reader.SUFFIXES, reader))


def read_recording(path: str | PathLike[str], sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Read one recording from a file, or from the folder that a ROS 2 bag is.

    Args:
        path: the file or folder.
        sensor: (width, height) in px, for formats that don't say it; without it the reader finds it.
        how: the unit of the times, for formats that don't say it, and how many events may be bad,
            e.g. ``Reading(time_unit="ns", drop_bad=0)``.

    Raises:
        FileNotFoundError: ``path`` is neither.
        RecordingError: the file cannot be used; the message names it and the byte or event at fault.
    """
    path = Path(path)
    if rosbag.is_folder_of_bag(path):
        return rosbag.decode_folder(path, sensor, how=how)
    if not path.is_file():
        problem = "a folder; name a file in it" if path.is_dir() else "no such file"
        raise FileNotFoundError(f"{path}: {problem}; expected a recording ({', '.join(sorted(SUFFIXES))})")
    in_place = decode_in_place(path, str(path), sensor, how)
    return in_place or decode_recording(path.read_bytes(), str(path), sensor, how)


def decode_in_place(
    path: Path, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS
) -> Recording | None:
    """Decode a file whose format is read where it lies, under the name ``source``; None for all others.

    Those under other suffixes than their own are read as all others, which takes a copy of them.

    Raises:
        RecordingError: as ``read_recording``.
        OSError: the file cannot be opened.
    """
    if path.suffix.lower() not in _IN_PLACE or not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_LONGEST_SIGNATURE)
    if hdf5.recognises(head):
        return hdf5.decode_file(path, source, sensor, how)
    return rosbag.decode_file(path, source, sensor, how) if rosbag.recognises(head) else None


def decode_recording(
    data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS
) -> Recording:
    """Decode the bytes of one recording, e.g. of an archive's member.

    Args:
        data: the whole file.
        source: its name; the suffix tells the format where the bytes don't, and errors begin with it.
        sensor, how: as in ``read_recording``.

    Raises:
        RecordingError: as ``read_recording``.
    """
    return reader_of(data, source).decode(data, source, sensor, how)


def reader_of(data: bytes, source: str) -> Reader:
    """The module that reads these bytes: the one that recognises them, else the one for the suffix of ``source``.

    Raises:
        RecordingError: there is none, or no bytes.
    """
    if not data:
        raise RecordingError(f"{source}: the file is empty (0 bytes)")
    for reader in _READERS:
        if reader.recognises(data):
            return reader
    suffix = Path(source).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise RecordingError(
            f"{source}: no reader for {suffix or 'a file without suffix'!r}; readable are {', '.join(sorted(SUFFIXES))}"
        )
    return _BY_SUFFIX[suffix]
