"""N-Caltech101: the images of Caltech101 on a screen, seen by a moving ATIS camera (Orchard et al. 2015)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Entry, Listing, Source, entries, find_place, option
from preprocessing.datasets.splits import check_fraction, held_out
from preprocessing.download import RemoteFile

REMOTE_FILE = RemoteFile(
    "Caltech101.zip",
    "https://data.mendeley.com/public-files/datasets/cy6cvx3ryv/files/36b5c52a-b49d-4853-addb-a836a8883e49/file_downloaded",
    md5="66201824eabb0239c7ab992480b50ba3",
)
"""The authors' archive, as it is deposited with Mendeley Data."""

BACKGROUND = "BACKGROUND_Google"
OBJECTS = tuple(
    """
    Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver binocular bonsai brain
    brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier cougar_body
    cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill dolphin dragonfly electric_guitar
    elephant emu euphonium ewer ferry flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill
    headphone hedgehog helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop llama lobster lotus
    mandolin mayfly menorah metronome minaret nautilus octopus okapi pagoda panda pigeon pizza platypus pyramid
    revolver rhino rooster saxophone schooner scissors scorpion sea_horse snoopy soccer_ball stapler starfish
    stegosaurus stop_sign strawberry sunflower tick trilobite umbrella watch water_lilly wheelchair wild_cat
    windsor_chair wrench yin_yang
    """.split()  # noqa: SIM905 (as a list of strings it takes a hundred lines)
)
"""The classes with an object, in the order of their labels; a hundred, as Caltech101's Faces are not among them."""

BACKGROUNDS = ("class", "without")
NUM_RECORDINGS = 8709


@dataclass(frozen=True)
class NCALTECH101(Dataset):
    """N-Caltech101: 8709 recordings of 100 kinds of objects and of none, up to 240×180 px, about 0.3 s each.

    The images differ in size: each covers its own part of the sensor, from the top left. There is no official
    split into training and test.
    """

    name: ClassVar[str] = "ncaltech101"
    example: ClassVar[str] = "--root data/ncaltech101 --size 60x45"
    root: Path = field(
        default=Path("data/ncaltech101"),
        metadata=option("folder with Caltech101/, or with Caltech101.zip, read in place", Path),
    )
    background: str = field(
        default="class",
        metadata=option(
            f"{BACKGROUND} is a class, as in most published results (101 classes), or is left out (100)",
            choices=BACKGROUNDS,
        ),
    )
    test_fraction: float = field(default=0.1, metadata=option("share of each class to hold out for testing", float))
    seed: int = field(default=0, metadata=option("draws another share", int))

    def __post_init__(self) -> None:
        check_fraction(self.test_fraction)
        if self.background not in BACKGROUNDS:
            raise ValueError(f"unknown background {self.background!r}; choose class or without")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that are built, in the order of their labels."""
        return (BACKGROUND, *OBJECTS) if self.background == "class" else OBJECTS

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``."""
        return (REMOTE_FILE,)

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        place = find_place(self.root, "caltech101")
        if place is None:
            raise self.not_there("Caltech101/ with a folder for each class, or Caltech101.zip")
        left_out: list[LeftOut] = []
        by_class = self._recordings(place, left_out)
        left_out += [
            LeftOut(name, "no recordings of this class are there") for name in self.classes if not by_class[name]
        ]
        sources: list[Source] = []
        for label, name in enumerate(self.classes):
            test = held_out((f"{name}/{entry.file_name}" for entry in by_class[name]), self.test_fraction, self.seed)
            for entry in by_class[name]:
                split = "test" if f"{name}/{entry.file_name}" in test else "train"
                sources.append(Source(entry.path, entry.member, label, split, entry.name))
        notes = self._notes(len(sources), len(by_class[BACKGROUND]))
        return Listing(self.classes, tuple(sources), (240, 180), left_out=tuple(left_out), notes=notes)

    def _recordings(self, place: Path, left_out: list[LeftOut]) -> dict[str, list[Entry]]:
        by_class: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries(place, left_out):
            name = entry.name.split("/")[-2]
            if name in (BACKGROUND, *OBJECTS) and entry.file_name.lower().endswith(".bin"):
                by_class[name].append(entry)
            else:
                left_out.append(LeftOut(entry.name, "not named <class>/<image>.bin, with a class of N-Caltech101"))
        return by_class

    def _notes(self, num_taken: int, num_background: int) -> tuple[str, ...]:
        share = f"{self.test_fraction:.0%} of each class are held out for testing, drawn with seed {self.seed}"
        notes = [f"N-Caltech101 has no official split: {share}"]
        num_found = num_taken
        if self.background == "without":
            num_found += num_background
            notes.append(f"{BACKGROUND} is left out, {num_background} recordings")
        if num_found != NUM_RECORDINGS:
            notes.append(f"{num_found} recordings are there instead of {NUM_RECORDINGS}")
        return tuple(notes)
