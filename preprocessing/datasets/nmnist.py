"""N-MNIST: the MNIST digits on a screen, seen by a moving ATIS camera (Orchard et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.datasets.base import Dataset, Entry, LeftOut, Listing, Source, entries, find_place, option

DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class NMNIST(Dataset):
    """N-MNIST: 60,000 training and 10,000 test recordings of digits, 34×34 px, about 0.3 s each."""

    name: ClassVar[str] = "nmnist"
    example: ClassVar[str] = "--root data/nmnist"
    root: Path = field(
        default=Path("data/nmnist"),
        metadata=option("folder with Train/ and Test/, or with Train.zip and Test.zip, read in place", Path),
    )

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        places = {split: find_place(self.root, split) for split in ("train", "test")}
        if not any(places.values()):
            raise FileNotFoundError(
                f"{self.root.absolute()}: N-MNIST is not there; expected Train/ and Test/, or Train.zip and Test.zip "
                "as published by its authors (search for N-MNIST, Orchard 2015); --root names another folder"
            )
        sources: list[Source] = []
        left_out: list[LeftOut] = []
        for split, place in places.items():
            if place is None:
                left_out.append(LeftOut(split.title(), f"neither {split.title()}/ nor {split.title()}.zip is there"))
                continue
            for entry in entries(place, left_out):
                if _is_recording(entry):
                    label = int(entry.name.split("/")[-2])
                    sources.append(Source(entry.path, entry.member, label, split, entry.name))
                else:
                    left_out.append(LeftOut(entry.name, "not named <digit>/<number>.bin"))
        return Listing(DIGITS, tuple(sources), sensor=(34, 34), left_out=tuple(left_out))


def _is_recording(entry: Entry) -> bool:
    return entry.name.split("/")[-2] in DIGITS and entry.file_name.lower().endswith(".bin")
