"""Recordings written in wire formats, the way back of ``readers``: what is read of them is equal, event for event.

A writer has ``NAME``, ``TITLE``, ``SUFFIXES``, ``check`` and ``encode``; see ``Writer``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, cast

from preprocessing.events import Events
from preprocessing.files import exclusive, replace_durably, require_file, writing
from preprocessing.writers import aedat2, aedat4
from preprocessing.writers.bounds import BoundsError as BoundsError
from preprocessing.writers.bounds import Sensor
from preprocessing.writers.columns import Csv, Hdf5, Npz
from preprocessing.writers.evt import Evt2, Evt3


class Writer(Protocol):
    """What a format's module or class offers."""

    NAME: str
    """What it is called in options."""

    TITLE: str
    """What it is called in messages."""

    SUFFIXES: tuple[str, ...]
    """Suffixes of its files, the usual one first."""

    def check(self, events: Events, sensor: Sensor) -> None:
        """Make sure that the format holds events ``[N]`` of a (width, height) sensor as they are.

        Raises:
            BoundsError: it does not; the message says what it holds.
            ValueError: no events, one outside the sensor, or times that decrease.
        """

    def encode(self, events: Events, sensor: Sensor) -> Iterator[bytes | memoryview]:
        """The bytes of a file of events that ``check`` has let pass, in parts."""


_ALL = cast("tuple[Writer, ...]", (aedat2, aedat4, Evt2, Evt3, Hdf5, Npz, Csv))

WRITERS: dict[str, Writer] = {writer.NAME: writer for writer in _ALL}
"""Every format that can be written, by its name."""

_BY_SUFFIX = {suffix: writer for writer in _ALL for suffix in writer.SUFFIXES}  # of .raw the last one, EVT 3.0


def writer_for(path: Path, name: str | None = None) -> Writer:
    """The writer of that name, or else the one for the suffix of ``path``.

    Raises:
        ValueError: there is none, or the suffix is none of the format's, so that readers would take it for another.
    """
    suffix = path.suffix.lower()
    if name is None and suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if name is None:
        known = ", ".join(sorted(_BY_SUFFIX))
        raise ValueError(f"{path}: nothing is written as {suffix or 'a file without suffix'!r}; end it in {known}")
    if name not in WRITERS:
        raise ValueError(f"unknown format {name!r}; choose one of {', '.join(WRITERS)}")
    writer = WRITERS[name]
    if suffix not in writer.SUFFIXES:
        raise ValueError(f"{path}: a file of {writer.TITLE} ends in {' or '.join(writer.SUFFIXES)}; name it so")
    return writer


def write_recording(
    path: Path, events: Events, sensor: Sensor, writer: Writer, moved_on: Callable[[int], object] = lambda _: None
) -> int:
    """Write events ``[N]`` of a (width, height) sensor as a file that is whole or not there; how many bytes it has.

    Args:
        path: the file, which is replaced if it is there.
        events, sensor: of the recording.
        writer: one of ``WRITERS``.
        moved_on: is told of every part how many bytes it had.

    Raises:
        ValueError: as ``Writer.check``, before anything is written; or ``path`` is no place for a file.
        BusyError: another process is writing it.
        WriteError: there is no room, or no such folder; nothing is left of it.
    """
    require_file(path)
    writer.check(events, sensor)
    num_bytes = 0
    partial = path.with_name(f".{path.name}.partial")
    with writing(path), exclusive(partial, f"writing {path}") as file:
        for part in writer.encode(events, sensor):
            num_bytes += len(part)
            file.write(part)
            moved_on(len(part))
        file.flush()
        replace_durably(partial, path)
    return num_bytes
