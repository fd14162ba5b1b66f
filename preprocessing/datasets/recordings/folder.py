"""Any recordings, sorted into folders by class, or by split and class."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from preprocessing.cache import SPLITS
from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Cut, Dataset, Listing, Source, option, visible
from preprocessing.datasets.splits import check_fraction, held_out
from preprocessing.events import AS_IS, Reading, Recording
from preprocessing.events.slicing import parse_duration
from preprocessing.readers import SUFFIXES, rosbag


@dataclass(frozen=True)
class Folder(Dataset):
    """Your own recordings: <class>/* or <split>/<class>/* or <split>/<class>.<suffix>.

    In a split's folder, a file is the one recording of the class that it is named after. A bag of ROS 2, which is a
    folder, is a recording, too. All windows of a recording are on the same side of a split.
    """

    name: ClassVar[str] = "folder"
    example: ClassVar[str] = "--root recordings --splits train=session1,test=session2 --window 1.3s"
    root: Path = field(metadata=option("folder with one folder per class, or one per split that holds these", Path))
    splits: str | None = field(
        default=None,
        metadata=option(
            "which folder is which split, e.g. train=session1,test=session2; else folders named train, validation "
            "and test are taken; without those, recordings of each class are held out"
        ),
    )
    window: str | None = field(
        default=None,
        metadata=option("cut recordings into windows of this length, e.g. 1.3s or 50ms; each is a sample"),
    )
    hop: str | None = field(
        default=None, metadata=option("from one window's start to the next one's; by default one window")
    )
    test_fraction: float = field(default=0.1, metadata=option("share of each class's recordings to hold out", float))
    seed: int = field(default=0, metadata=option("draws another share", int))
    sensor: str | None = field(
        default=None,
        metadata=option("width and height of the camera, e.g. 128x128; by default as the recordings tell, or a guess"),
    )

    def __post_init__(self) -> None:
        check_fraction(self.test_fraction)
        if self.hop and not self.window:
            raise ValueError(f"hop {self.hop} was given without a window")
        _ = self._cut, self._sensor, self._mapping

    @property
    def _cut(self) -> Cut | None:
        if not self.window:
            return None
        return Cut(parse_duration(self.window), parse_duration(self.hop or self.window))

    @property
    def _sensor(self) -> tuple[int, int] | None:
        if not self.sensor:
            return None
        match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", self.sensor)
        if not match:
            raise ValueError(f"cannot read the sensor {self.sensor!r}; write width and height, e.g. 128x128")
        return int(match[1]), int(match[2])

    @property
    def _mapping(self) -> dict[str, str]:
        pairs = [pair.partition("=") for pair in self.splits.split(",")] if self.splits else []
        for split, _, folder in pairs:
            if split not in SPLITS or not folder or len(pairs) > len({pair[0] for pair in pairs}):
                raise ValueError(
                    f"cannot read the splits {self.splits!r}; write e.g. train=session1,test=session2 "
                    f"with {', '.join(SPLITS)} on the left, each at most once"
                )
        return {split: folder for split, _, folder in pairs}

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        if not self.root.is_dir():
            raise FileNotFoundError(f"{self.root.absolute()}: no such folder; --root names the one with the classes")
        left_out: list[LeftOut] = []
        split_folders = self._split_folders()
        if split_folders:
            found = [f for split, folder in split_folders.items() for f in self._search(folder, split, left_out)]
            notes: list[str] = []
            if not self.splits:
                others = [path for path in visible(self.root) if path not in split_folders.values()]
                left_out += [LeftOut(path.name, "not the folder of a split") for path in others]
        else:
            found, notes = self._hold_out(list(self._search(self.root, "train", left_out)))
        classes = tuple(sorted({recording.class_name for recording in found}))
        sources = tuple(self._source(recording, classes) for recording in found)
        return Listing(classes, sources, self._sensor, False, self._cut, tuple(left_out), tuple(notes))

    def _source(self, found: _Found, classes: tuple[str, ...]) -> Source:
        kind = BagFolder if found.path.is_dir() else Source
        return kind(found.path, None, classes.index(found.class_name), found.split, self._relative(found.path))

    def _split_folders(self) -> dict[str, Path]:
        if not self.splits:
            named = {path.name.lower(): path for path in visible(self.root) if path.is_dir()}
            return {split: named[split] for split in SPLITS if split in named}
        folders = {split: self.root / name for split, name in self._mapping.items()}
        for split, folder in folders.items():
            if not folder.is_dir():
                raise FileNotFoundError(f"{folder.absolute()}: no such folder, but --splits takes {split} from it")
        return folders

    def _search(self, folder: Path, split: str, left_out: list[LeftOut]) -> Iterator[_Found]:
        for path in visible(folder):
            if folder != self.root and _is_readable(path):
                yield _Found(path, path.name if path.is_dir() else path.stem, split)
            elif path.is_dir() and not _is_readable(path):
                inside = visible(path)
                yield from (_Found(recording, path.name, split) for recording in inside if _is_readable(recording))
                others = [other for other in inside if not _is_readable(other)]
                left_out += [LeftOut(self._relative(other), _why_not(other)) for other in others]
                if len(others) == len(inside):
                    left_out.append(LeftOut(self._relative(path), "a class without recordings"))
            else:
                left_out.append(LeftOut(self._relative(path), _why_not(path)))

    def _hold_out(self, found: list[_Found]) -> tuple[list[_Found], list[str]]:
        by_class: dict[str, list[_Found]] = {}
        for recording in found:
            by_class.setdefault(recording.class_name, []).append(recording)
        test: set[str] = set()
        for recordings in by_class.values():
            test |= held_out((self._relative(f.path) for f in recordings), self.test_fraction, self.seed)
        split = [f._replace(split="test") if self._relative(f.path) in test else f for f in found]
        return split, [
            f"class {name!r} has a single recording, which is used for training: it is not tested"
            for name, recordings in by_class.items()
            if len(recordings) == 1
        ]

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


class _Found(NamedTuple):
    path: Path
    class_name: str
    split: str


@dataclass(frozen=True)
class BagFolder(Source):
    """A bag of ROS 2, which is a folder."""

    def recording(self, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
        """See ``Source.recording``."""
        return rosbag.decode_folder(self.path, sensor, self.name, how)

    opened = recording

    def num_bytes(self) -> int:
        """See ``Source.num_bytes``: of all its files."""
        return sum(path.stat().st_size for path in self._files())

    def changed_ns(self) -> int:
        """See ``Source.changed_ns``: of the file that was written to last."""
        return max((path.stat().st_mtime_ns for path in self._files()), default=0)

    def _files(self) -> list[Path]:
        return [path for path in self.path.iterdir() if path.is_file()]


def _is_readable(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES if path.is_file() else rosbag.is_folder_of_bag(path)


def _why_not(path: Path) -> str:
    if path.is_dir() and not _is_readable(path):
        return "a folder inside a class"
    if _is_readable(path):
        return "not in a class's folder"
    return f"{path.suffix or 'a file without suffix'} is not read; readable are {', '.join(sorted(SUFFIXES))}"
