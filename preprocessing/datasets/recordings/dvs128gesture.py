"""DVS128 Gesture: 29 people making gestures before a DVS128 under different light (Amir et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Listing, Source, Trial, find_place, option

CLASSES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
)
"""The gestures in the order of their labels; the data set's own numbers begin at 1."""

HEADER = "class,startTime_usec,endTime_usec"
NUM_TRIALS = {"train": 1176, "test": 288}


@dataclass(frozen=True)
class DVS128Gesture(Dataset):
    """DVS128 Gesture: 1176 training and 288 test trials of 11 gestures, 128×128 px, about 6 s each.

    A recording holds all gestures of a person; the label file beside it says from when to when each of them is
    made, in the recording's own times. The arm roll is made forwards and backwards, as two trials. The split is
    the official one, by person: 23 to train on, 6 to test on.
    """

    name: ClassVar[str] = "dvs128gesture"
    example: ClassVar[str] = "--root data/dvs128gesture --size 64"
    origin: ClassVar[str] = (
        "IBM gives it out at https://ibm.ent.box.com/s/3hiq58ww1pbbjrinh367ykfdf60xsfm8, for people with a browser: "
        "fetch DvsGesture.tar.gz (MD5 8a5c71fb11e24e5ca5b11866ca6c00a1) and unpack it there with "
        "tar -xzf DvsGesture.tar.gz"
    )
    root: Path = field(
        default=Path("data/dvs128gesture"),
        metadata=option("folder with DvsGesture/, which is unpacked from DvsGesture.tar.gz", Path),
    )

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            FileNotFoundError: there is nothing of this data set under the root.
            ValueError: a broken line in a label file, or a recording in both lists.
        """
        folder = self._folder()
        left_out: list[LeftOut] = []
        taken: dict[str, str] = {}
        for split in NUM_TRIALS:
            for name in _names(folder / f"trials_to_{split}.txt", left_out):
                if name in taken:
                    raise ValueError(f"{folder / name}: listed twice, in trials_to_{taken[name]}.txt and for {split}")
                taken[name] = split
        found = (_source(folder, name, split, left_out) for name, split in taken.items())
        sources = tuple(source for source in found if source)
        others = sorted(path.name for path in folder.glob("*.aedat") if path.name not in taken)
        left_out += [LeftOut(name, "in neither trials_to_train.txt nor trials_to_test.txt") for name in others]
        return Listing(CLASSES, sources, (128, 128), left_out=tuple(left_out), notes=_notes(sources))

    def _folder(self) -> Path:
        for folder in (find_place(self.root, "dvsgesture"), self.root):
            if folder and any((folder / f"trials_to_{split}.txt").is_file() for split in NUM_TRIALS):
                return folder
        raise self.not_there("DvsGesture/ with trials_to_train.txt, user01_lab.aedat, user01_lab_labels.csv and others")


def read_labels(path: Path) -> tuple[Trial, ...]:
    """The trials of a recording, from its label file: lines of class (from 1), start and end in µs.

    Trials may overlap, and come in any order.

    Raises:
        ValueError: another header, a line that is no trial, or none at all; the message gives its number.
    """
    header, *lines = path.read_text(encoding="utf-8-sig").splitlines() or [""]
    if header.replace(" ", "") != HEADER:
        raise ValueError(f"{path}: line 1: expected {HEADER}, got {header!r}")
    trials = tuple(_trial(f"{path}: line {n}", line) for n, line in enumerate(lines, start=2) if line.strip())
    if not trials:
        raise ValueError(f"{path}: no trials after the header")
    return trials


def _trial(where: str, line: str) -> Trial:
    numbers = [cell.strip() for cell in line.split(",")]
    if len(numbers) != 3 or not all(number.isascii() and number.isdigit() for number in numbers):
        raise ValueError(f"{where}: expected three whole numbers ({HEADER}), got {line!r}")
    number, start_us, stop_us = map(int, numbers)
    if not 1 <= number <= len(CLASSES):
        raise ValueError(f"{where}: class {number} is not one of 1 to {len(CLASSES)}")
    if start_us >= stop_us:
        raise ValueError(f"{where}: the trial ends at {stop_us} µs, not after its start at {start_us} µs")
    return Trial(number - 1, start_us, stop_us)


def _names(listed: Path, left_out: list[LeftOut]) -> list[str]:
    if not listed.is_file():
        left_out.append(LeftOut(listed.name, "not there; the recordings it lists are not built"))
        return []
    return [line.strip() for line in listed.read_text().splitlines() if line.strip()]


def _source(folder: Path, name: str, split: str, left_out: list[LeftOut]) -> Source | None:
    path = folder / name
    labels = path.with_name(f"{path.stem}_labels.csv")
    for needed in (path, labels):
        if not needed.is_file():
            left_out.append(LeftOut(name, f"{needed.name} is not there, but trials_to_{split}.txt asks for it"))
            return None
    trials = read_labels(labels)
    return Source(path, None, trials[0].label, split, name, trials)


def _notes(sources: tuple[Source, ...]) -> tuple[str, ...]:
    counts = {split: sum(len(s.trials) for s in sources if s.split == split) for split in NUM_TRIALS}
    return tuple(
        f"{counts[split]} {split} trials are there instead of {num}"
        for split, num in NUM_TRIALS.items()
        if counts[split] != num
    )
