"""CIFAR10-DVS: 10,000 CIFAR-10 images moved on a screen before a DVS128 (Li et al. 2017).

There are two editions: the authors' AEDAT-2.0 files, and their conversion to AEDAT4 that tonic distributes. Both
hold the same names in archives of the same names. With x and y as our readers give them, an upright picture has

    original: row = x,       column = y
    aedat4:   row = 127 − x, column = 127 − y

The first is how SpikingJelly's frames lie. The second was found on one recording: of all airplanes of CIFAR-10 in eight
orientations, one matches a published picture of its frames best in this one. It means that this edition holds the bits
of the original's addresses as they are; and with these, the first is what events-tfds draws, up to a mirror.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Entry, Listing, Source, entries, find_place, option
from preprocessing.datasets.splits import held_out
from preprocessing.download import RemoteFile

_FIGSHARE = "https://ndownloader.figshare.com/files"  # figshare.com/ndownloader itself turns programs away

REMOTE_FILES = {
    name: RemoteFile(f"{name}.zip", f"{_FIGSHARE}/{number}", md5=md5)
    for name, number, md5 in (
        ("airplane", 7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
        ("automobile", 7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
        ("bird", 7712794, "a9c207c91c55b9dc2002dc21c684d785"),
        ("cat", 7712812, "52c63c677c2b15fa5146a8daf4d56687"),
        ("deer", 7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
        ("dog", 7712818, "f379ebdf6703d16e0a690782e62639c3"),
        ("frog", 7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
        ("horse", 7712851, "e7cbbf77bec584ffbf913f00e682782a"),
        ("ship", 7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
        ("truck", 7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
    )
}
"""The classes in the order of their labels, and the archive of the original edition that holds each."""

AEDAT4_FILE = RemoteFile("CIFAR10DVS.zip", f"{_FIGSHARE}/38023437", md5="ce3a4a0682dc0943703bd8f749a7701c", unpack=True)
"""Holds the ten archives of the other edition."""

CLASSES = tuple(REMOTE_FILES)
EDITIONS = ("original", "aedat4")
AEDAT4_NOTE = (
    "these are the AEDAT4 files that tonic distributes, made of the original ones with the viewer DV: they hold the "
    "picture turned by 180° against the original's, as a published picture of one recording tells, and frames are "
    "turned back unless --orientation is sensor; whether the polarity was kept is not known"
)
ORIENTATIONS = ("reference", "upright", "sensor")
RECORDINGS_PER_CLASS = 1000
TRAIN_PERCENT = 90


@dataclass(frozen=True)
class CIFAR10DVS(Dataset):
    """CIFAR10-DVS: ten classes of 1000 recordings, 128×128 px, about 1.3 s and 205,000 events each."""

    name: ClassVar[str] = "cifar10dvs"
    example: ClassVar[str] = "--root data/cifar10dvs --split reference"
    origin: ClassVar[str] = (
        "Its AEDAT4 edition, with --edition aedat4, is an archive of ten archives; by hand, unpack the outer one there"
    )
    root: Path = field(
        default=Path("data/cifar10dvs"),
        metadata=option("folder with the ten archives <class>.zip, read in place, or with <class>/ unpacked", Path),
    )
    split: str = field(
        default="reference",
        metadata=option(
            "reference: the first 900 of each class in the order of file names train, as in the published results "
            "of SEW ResNet and GLIF; numeric: those numbered 0 to 899, as in the text of PLIF; random:SEED: 900 "
            "drawn per class; of an incomplete class, nine in ten"
        ),
    )
    orientation: str = field(
        default="reference",
        metadata=option(
            "reference: as the published frames of the original edition lie, which exchange x and y; upright: as the "
            "pictures of CIFAR-10 do. Both are the same: of the other edition, which is turned by 180°, frames are "
            "turned back. sensor: as the files have x and y",
            choices=ORIENTATIONS,
        ),
    )
    edition: str | None = field(
        default=None,
        metadata=option(
            "original, the authors' .aedat, or aedat4, the conversion that tonic distributes; by default the one that "
            "is there. Names and splits are the same",
            choices=EDITIONS,
        ),
    )

    def __post_init__(self) -> None:
        if not re.fullmatch(r"reference|numeric|random:\d+", self.split):
            raise ValueError(f"unknown split {self.split!r}; choose reference, numeric or random:SEED, e.g. random:0")
        if self.edition not in (None, *EDITIONS):
            raise ValueError(f"unknown edition {self.edition!r}; choose original or aedat4")
        if self.orientation not in ORIENTATIONS:
            raise ValueError(f"unknown orientation {self.orientation!r}; choose reference, upright or sensor")

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``; the original edition unless the other is chosen."""
        return (AEDAT4_FILE,) if self.edition == "aedat4" else tuple(REMOTE_FILES.values())

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            FileNotFoundError: none of the ten classes is there.
            ValueError: both editions are there, and none was chosen.
        """
        places = {name: find_place(self.root, name) for name in CLASSES}
        if not any(places.values()):
            raise self.not_there("its ten class archives (8.4 GB) or folders")
        left_out: list[LeftOut] = []
        found: list[_Recording] = []
        for name, place in places.items():
            if place is None:
                left_out.append(LeftOut(name, f"class missing: neither {name}.zip nor {name}/ is there"))
            else:
                found += _recordings(name, place, left_out)
        edition = self._chosen(found)
        others = [recording for recording in found if recording.edition != edition]
        left_out += [
            LeftOut(other.entry.name, f"of the edition {other.edition}; built is {edition}") for other in others
        ]
        by_class = {name: [r for r in found if (r.class_name, r.edition) == (name, edition)] for name in CLASSES}
        sources = tuple(source for name in CLASSES for source in self._sources(by_class[name]))
        notes = [
            f"{place.name}: {len(by_class[name])} recordings instead of {RECORDINGS_PER_CLASS}"
            for name, place in places.items()
            if place and len(by_class[name]) != RECORDINGS_PER_CLASS
        ]
        if edition == "aedat4":
            notes.append(AEDAT4_NOTE)
        transpose = self.orientation != "sensor"
        return Listing(
            CLASSES,
            sources,
            (128, 128),
            transpose,
            left_out=tuple(left_out),
            notes=tuple(notes),
            half_turn=transpose and edition == "aedat4",
            found={"edition": edition},
        )

    def _chosen(self, found: list[_Recording]) -> str:
        there = {recording.edition: recording for recording in found}
        if len(there) > 1 and not self.edition:
            names = " and ".join(f"{edition} ({r.entry.name})" for edition, r in sorted(there.items(), reverse=True))
            raise ValueError(f"{self.root.absolute()}: both editions are there, {names}; choose one with --edition")
        return self.edition or next(iter(there), "original")

    def _sources(self, recordings: list[_Recording]) -> list[Source]:
        test = self._test_numbers(recordings)
        return [
            Source(
                recording.entry.path,
                recording.entry.member,
                CLASSES.index(recording.class_name),
                "test" if recording.number in test else "train",
                recording.entry.name,
            )
            for recording in recordings
        ]

    def _test_numbers(self, recordings: list[_Recording]) -> frozenset[int]:
        numbers = {recording.original_name: recording.number for recording in recordings}
        if self.split.startswith("random:"):
            drawn = held_out(numbers, 1 - TRAIN_PERCENT / 100, int(self.split.removeprefix("random:")))
            return frozenset(numbers[name] for name in drawn)
        order = sorted(numbers.values()) if self.split == "numeric" else [numbers[name] for name in sorted(numbers)]
        return frozenset(order[max(1, len(order) * TRAIN_PERCENT // 100) :])


class _Recording(NamedTuple):
    entry: Entry
    class_name: str
    number: int
    edition: str

    @property
    def original_name(self) -> str:
        """Its name in the original edition: splits go by these, and are the same for both."""
        return f"cifar10_{self.class_name}_{self.number}.aedat"


def _recordings(name: str, place: Path, left_out: list[LeftOut]) -> Iterator[_Recording]:
    for entry in entries(place, left_out):
        match = re.fullmatch(rf"cifar10_{name}_(\d+)\.(aedat4?)", entry.file_name)
        if match:
            edition = "aedat4" if match[2] == "aedat4" else "original"
            yield _Recording(entry, name, int(match[1]), edition)
        else:
            left_out.append(LeftOut(entry.name, f"not named cifar10_{name}_<n>.aedat or .aedat4"))
