"""CIFAR10-DVS: 10,000 CIFAR-10 images moved on a screen before a DVS128 (Li et al. 2017)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.datasets.base import Dataset, Entry, LeftOut, Listing, Source, entries, find_place, option
from preprocessing.datasets.splits import held_out

ARTICLE_FILES = {
    "airplane": 7712788,
    "automobile": 7712791,
    "bird": 7712794,
    "cat": 7712812,
    "deer": 7712815,
    "dog": 7712818,
    "frog": 7712842,
    "horse": 7712851,
    "ship": 7712836,
    "truck": 7712839,
}
"""The classes in the order of their labels, and the figshare file that holds each as ``<class>.zip``."""

CLASSES = tuple(ARTICLE_FILES)
ORIENTATIONS = ("reference", "sensor")
RECORDINGS_PER_CLASS = 1000
TRAIN_PERCENT = 90


@dataclass(frozen=True)
class CIFAR10DVS(Dataset):
    """CIFAR10-DVS: ten classes of 1000 recordings, 128×128 px, about 1.3 s and 205,000 events each."""

    name: ClassVar[str] = "cifar10dvs"
    example: ClassVar[str] = "--root data/cifar10dvs --split reference"
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
            "reference exchanges x and y, as the published frames do; sensor leaves them as the camera saw them",
            choices=ORIENTATIONS,
        ),
    )

    def __post_init__(self) -> None:
        if not re.fullmatch(r"reference|numeric|random:\d+", self.split):
            raise ValueError(f"unknown split {self.split!r}; choose reference, numeric or random:SEED, e.g. random:0")
        if self.orientation not in ORIENTATIONS:
            raise ValueError(f"unknown orientation {self.orientation!r}; choose reference or sensor")

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        places = {name: find_place(self.root, name) for name in CLASSES}
        if not any(places.values()):
            raise FileNotFoundError(self._where_to_get_it())
        sources: list[Source] = []
        left_out: list[LeftOut] = []
        notes: list[str] = []
        for name, place in places.items():
            if place is None:
                left_out.append(LeftOut(name, f"class missing: neither {name}.zip nor {name}/ is there"))
                continue
            recordings = self._recordings(name, place, left_out)
            sources += recordings
            if len(recordings) != RECORDINGS_PER_CLASS:
                notes.append(f"{place.name}: {len(recordings)} recordings instead of {RECORDINGS_PER_CLASS}")
        transpose = self.orientation == "reference"
        return Listing(CLASSES, tuple(sources), (128, 128), transpose, left_out=tuple(left_out), notes=tuple(notes))

    def _recordings(self, name: str, place: Path, left_out: list[LeftOut]) -> list[Source]:
        found = []
        for entry in entries(place, left_out):
            if re.fullmatch(rf"cifar10_{name}_\d+\.aedat", entry.file_name):
                found.append(entry)
            else:
                left_out.append(LeftOut(entry.name, _why_not(entry, name)))
        test = self._test_names(found)
        return [
            Source(entry.path, entry.member, CLASSES.index(name), _split(entry, test), entry.name) for entry in found
        ]

    def _test_names(self, found: list[Entry]) -> frozenset[str]:
        names = [entry.file_name for entry in found]
        if self.split.startswith("random:"):
            return held_out(names, 1 - TRAIN_PERCENT / 100, int(self.split.removeprefix("random:")))
        order: Callable[[str], str | int] = _number if self.split == "numeric" else str
        num_train = max(1, len(names) * TRAIN_PERCENT // 100)
        return frozenset(sorted(names, key=order)[num_train:])

    def _where_to_get_it(self) -> str:
        urls = (f"  {name}.zip  https://ndownloader.figshare.com/files/{n}" for name, n in ARTICLE_FILES.items())
        return (
            f"{self.root.absolute()}: CIFAR10-DVS is not there; expected its ten class archives or folders. "
            "Put these ten files (8.4 GB) there under these names, or name another folder with --root:\n"
            + "\n".join(urls)
        )


def _number(file_name: str) -> int:
    return int(file_name.removesuffix(".aedat").rpartition("_")[2])


def _split(entry: Entry, test: frozenset[str]) -> str:
    return "test" if entry.file_name in test else "train"


def _why_not(entry: Entry, name: str) -> str:
    if entry.file_name.endswith(".aedat4"):
        return "AEDAT-4 is not read yet; the original archives hold .aedat"
    return f"not named cifar10_{name}_<n>.aedat"
