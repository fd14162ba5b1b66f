"""What a data set is: a root with recordings, each with its class and split, in one order for all."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from preprocessing import limits
from preprocessing.cache.contents import LeftOut
from preprocessing.events import AS_IS, Reading, Recording, RecordingError
from preprocessing.files import is_inside
from preprocessing.readers import decode_in_place, decode_recording
from preprocessing.readers.raw import RawRecording, open_raw
from preprocessing.terminal import as_text

if TYPE_CHECKING:
    from preprocessing.download import RemoteFile
    from preprocessing.frames.pictures import PictureSettings

# RuntimeError is what zipfile raises for encrypted members and unknown compressions
_UNREADABLE = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError)


class Trial(NamedTuple):
    """A part of a recording that is a sample of its own: the events with ``start_us`` ≤ t < ``stop_us``.

    Times are the recording's own, in µs.
    """

    label: int
    start_us: int
    stop_us: int


@dataclass(frozen=True)
class Source:
    """Where one recording lies, and what is known about it.

    Attributes:
        path: the recording, or the zip archive that holds it.
        member: its name in the archive.
        label: index of its class; where it has trials, of the first one's.
        split: "train", "validation" or "test".
        name: how the build calls it: its path relative to the root, through the archive where there is one.
        trials: parts to take out of it, each with its own class; none where the whole recording is one sample.
    """

    path: Path
    member: str | None
    label: int
    split: str
    name: str
    trials: tuple[Trial, ...] = ()

    def read(self) -> bytes:
        """All bytes of the recording; a member is read in place, without unpacking its archive.

        Raises:
            RecordingError: the file or member cannot be read.
        """
        try:
            if self.member is None:
                return self.path.read_bytes()
            archive = _archive(self.path)
            if problem := limits.member_problem(archive.getinfo(self.member)):
                raise RecordingError(f"{self.name}: {problem}")
            return archive.read(self.member)
        except _UNREADABLE as error:
            raise RecordingError(f"{self.name}: cannot be read ({error})") from error

    def recording(self, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
        """The recording, decoded; a data set whose recordings are no files brings a source with its own way.

        Args:
            sensor: (width, height) in px, for formats that don't say it.
            how: as in ``readers.read_recording``.

        Raises:
            RecordingError: it cannot be read or used.
        """
        return self._in_place(sensor, how) or decode_recording(self.read(), self.name, sensor, how)

    def opened(self, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording | RawRecording:
        """The recording as it lies in the file where it needs no decoding, else decoded; as ``recording``."""
        if in_place := self._in_place(sensor, how):
            return in_place
        data = self.read()
        return open_raw(data, self.name, sensor) or decode_recording(data, self.name, sensor, how)

    def _in_place(self, sensor: tuple[int, int] | None, how: Reading) -> Recording | None:
        """The recording, of a format that is read where it lies; None for others."""
        if self.member is not None:
            return None
        try:
            return decode_in_place(self.path, self.name, sensor, how)
        except OSError as error:
            raise RecordingError(f"{self.name}: cannot be read ({error})") from error

    def num_bytes(self) -> int:
        """Size of the recording in bytes, unpacked."""
        if self.member is None:
            return self.path.stat().st_size
        return _archive(self.path).getinfo(self.member).file_size

    def identity(self) -> tuple[int, ...]:
        """What tells its content without reading it: the size in bytes; in an archive the CRC-32, too."""
        if self.member is None:
            return (self.num_bytes(),)
        return self.num_bytes(), _archive(self.path).getinfo(self.member).CRC

    def changed_ns(self) -> int:
        """When the file was last written to, in ns; 0 for what is no file of its own."""
        return self.path.stat().st_mtime_ns if self.member is None and self.path.is_file() else 0


@dataclass(frozen=True)
class Cut:
    """Windows that are cut out of each recording, both in µs."""

    window_us: int
    hop_us: int


@dataclass(frozen=True)
class Listing:
    """What a data set's root holds.

    Of static images ``pictures`` says how they become frames; ``sensor`` to ``cut`` are of recordings.

    Attributes:
        classes: names of the classes; a source's label is an index into them.
        sources: the recordings, in the order in which they are built.
        sensor: (width, height) in px, or None where the recordings tell it.
        transpose: exchange x and y.
        half_turn: turn the events by 180° first.
        cut: windows to cut recordings into, or None to take each as one sample.
        left_out: what lies there and isn't used.
        notes: what a user should know about the data as they are.
        pictures: how the sources, which are pictures, become frames.
        found: options that were left open, by name, and what the files there say of them.
    """

    classes: tuple[str, ...]
    sources: tuple[Source, ...]
    sensor: tuple[int, int] | None = None
    transpose: bool = False
    cut: Cut | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    pictures: PictureSettings | None = None
    half_turn: bool = False
    found: Mapping[str, Any] = field(default_factory=dict)

    def as_text(self) -> Listing:
        """The same with names that are all text, so that a file can hold them and a terminal show them."""
        return replace(
            self,
            classes=tuple(map(as_text, self.classes)),
            sources=tuple(_named(source, as_text(source.name)) for source in self.sources),
            left_out=tuple(LeftOut(as_text(source), as_text(reason)) for source, reason in self.left_out),
            notes=tuple(map(as_text, self.notes)),
        )


def _named(source: Source, name: str) -> Source:
    return source if source.name == name else replace(source, name=name)


def option(text: str, kind: Callable[[str], Any] = str, choices: Sequence[str] | None = None) -> dict[str, Any]:
    """Metadata of a data set's field that its command offers as an option, explained by ``text``.

    A ``default`` in it is that of the command alone, for a field that has none.
    """
    return {"help": text, "type": kind, "choices": choices}


@dataclass(frozen=True)
class Dataset(ABC):
    """A data set and its options; the fields of a subclass, described by ``option``, are the options of its command.

    Attributes:
        name: of its command.
        example: options of its command, as its help shows them.
        origin: where to get it by hand; empty where there is nothing to get.
        kind: of its samples, one of ``cache.KINDS``.
        root: the folder that holds it.
    """

    name: ClassVar[str]
    example: ClassVar[str]
    origin: ClassVar[str] = ""
    kind: ClassVar[str] = "events"
    root: Path

    def options(self) -> dict[str, Any]:
        """What was chosen, for the cache's configuration: all but the place on this machine's disk."""
        return {key: value for key, value in asdict(self).items() if key != "root"}

    @abstractmethod
    def listing(self) -> Listing:
        """Find the recordings, without reading them.

        Raises:
            FileNotFoundError: there is nothing of this data set under the root.
        """

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """What ``--download`` fetches into the root; none where a program cannot, and ``origin`` says who can."""
        return ()

    def not_there(self, expected: str) -> FileNotFoundError:
        """The error of a data set that isn't in its root: what was expected there, and how to come by it."""
        lines = [f"{self.root.absolute()}: nothing of this data set is there; expected {expected}"]
        remote = self.remote_files()
        if remote:
            lines.append("--download fetches it, --root names another folder; by hand, put there under these names:")
            lines += [f"  {file.name}  {file.url}" for file in remote]
        else:
            lines.append("--root names another folder")
        return FileNotFoundError("\n".join([*lines, self.origin]).rstrip())

    def prepare(self, sources: Sequence[Source], workers: int | None) -> None:  # noqa: B027 (most have nothing to do)
        """Make those recordings that are not there yet, where a data set makes its own."""


class Entry(NamedTuple):
    """A file in a folder, or in a zip archive in its place; ``name`` is its path relative to the root."""

    path: Path
    member: str | None
    name: str

    @property
    def file_name(self) -> str:
        """Last part of the name."""
        return self.name.rpartition("/")[2]


def visible(folder: Path) -> list[Path]:
    """What a folder holds, by name, without hidden entries."""
    return sorted((path for path in folder.iterdir() if not _hidden(path.name)), key=lambda path: path.name)


def find_place(root: Path, name: str) -> Path | None:
    """The archive ``<name>.zip`` or else the folder ``<name>`` in ``root``, in any case; None without either."""
    places = {path.name.lower(): path for path in visible(root)} if root.is_dir() else {}
    return places.get(f"{name}.zip", places.get(name))


def entries(place: Path, left_out: list[LeftOut]) -> list[Entry]:
    """All files below a folder or in a zip archive, by name, without hidden ones.

    An archive that cannot be read is added to ``left_out``, and gives none; so are members that lead out of it, and
    those that another of their name follows.
    """
    if place.is_dir():
        found = [Entry(path, None, path.relative_to(place).as_posix()) for path in place.rglob("*") if path.is_file()]
    else:
        try:
            names = _archive(place).namelist()
        except _UNREADABLE as error:
            left_out.append(LeftOut(place.name, f"cannot be read as a zip archive ({error})"))
            return []
        found = [Entry(place, name, name) for name in _usable(names, place, left_out)]
    shown = sorted((e for e in found if not any(map(_hidden, e.name.split("/")))), key=lambda entry: entry.name)
    return [entry._replace(name=f"{place.name}/{entry.name}") for entry in shown]


def _usable(names: Sequence[str], place: Path, left_out: list[LeftOut]) -> Iterator[str]:
    """The names of an archive's files that are inside of it, each once."""
    for name, number in Counter(name for name in names if not name.endswith("/")).items():
        if not is_inside(name):
            left_out.append(LeftOut(f"{place.name}/{name}", "leads out of the archive"))
            continue
        if number > 1:
            more = f"is in the archive {number} times; the last one is used, and {number - 1} left out"
            left_out.append(LeftOut(f"{place.name}/{name}", more))
        yield name


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _archive(path: Path) -> zipfile.ZipFile:
    status = path.stat()
    return _opened(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2)  # reading an archive's table for each of its members would take longer than the members
def _opened(path: Path, _changed: int, _size: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)
