"""N-Cars: cars and other things on the road, recorded from a car with an ATIS camera (Sironi et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Listing, Source, entries, find_place, option

CLASSES = ("background", "cars")
ARCHIVE = "prophesee_dataset_n_cars"
NUM_RECORDINGS = {"train": 15_422, "test": 8607}


@dataclass(frozen=True)
class NCars(Dataset):
    """N-Cars: 15,422 training and 8607 test recordings of 0.1 s with a car or without, cut to at most 120×100 px.

    The recordings differ in size: each covers its own part of these 120×100 px, from the top left.
    """

    name: ClassVar[str] = "ncars"
    example: ClassVar[str] = "--root data/ncars --size 60x50"
    origin: ClassVar[str] = (
        "Prophesee gives it out at https://www.prophesee.ai/dataset-n-cars/, against an agreement to its terms: "
        "unpack Prophesee_Dataset_n_cars.zip there; the archives inside are read in place"
    )
    root: Path = field(
        default=Path("data/ncars"),
        metadata=option(
            "folder with n-cars_train.zip and n-cars_test.zip, read in place, or with n-cars_train/ and n-cars_test/",
            Path,
        ),
    )

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        unpacked = find_place(self.root, ARCHIVE)
        root = unpacked if unpacked and unpacked.is_dir() else self.root
        places = {split: find_place(root, f"n-cars_{split}") for split in NUM_RECORDINGS}
        if not any(places.values()):
            raise self.not_there("n-cars_train.zip and n-cars_test.zip, or the folders n-cars_train/ and n-cars_test/")
        sources: list[Source] = []
        left_out: list[LeftOut] = []
        notes: list[str] = []
        for split, place in places.items():
            if place is None:
                left_out.append(LeftOut(f"n-cars_{split}", f"neither n-cars_{split}/ nor n-cars_{split}.zip is there"))
                continue
            found = _recordings(place, split, left_out)
            if len(found) != NUM_RECORDINGS[split]:
                notes.append(f"{place.name}: {len(found)} recordings instead of {NUM_RECORDINGS[split]}")
            sources += found
        return Listing(CLASSES, tuple(sources), (120, 100), left_out=tuple(left_out), notes=tuple(notes))


def _recordings(place: Path, split: str, left_out: list[LeftOut]) -> list[Source]:
    found = []
    for entry in entries(place, left_out):
        folder = entry.name.split("/")[-2]
        if folder in CLASSES and entry.file_name.lower().endswith(".dat"):
            found.append(Source(entry.path, entry.member, CLASSES.index(folder), split, entry.name))
        else:
            left_out.append(LeftOut(entry.name, "not named cars/<name>.dat or background/<name>.dat"))
    return found
