"""N-MNIST: the MNIST digits on a screen, seen by a moving ATIS camera (Orchard et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Dataset, Entry, Listing, Source, entries, find_place, option
from preprocessing.download import RemoteFile

DIGITS = tuple("0123456789")
REMOTE_FILES = tuple(
    RemoteFile(name, f"https://data.mendeley.com/public-files/datasets/468j46mzdv/files/{key}/file_downloaded", md5=md5)
    for name, key, md5 in (
        ("Train.zip", "39c25547-014b-4137-a934-9d29fa53c7a0", "20959b8e626244a1b502305a9e6e2031"),
        ("Test.zip", "05a4d654-7e03-4c15-bdfa-9bb2bcbea494", "69ca8762b2fe404d9b9bad1103e97832"),
    )
)
"""The authors' archives, as they are deposited with Mendeley Data."""


@dataclass(frozen=True)
class NMNIST(Dataset):
    """N-MNIST: 60,000 training and 10,000 test recordings of digits, 34×34 px, about 0.3 s each."""

    name: ClassVar[str] = "nmnist"
    example: ClassVar[str] = "--root data/nmnist --size 34"
    root: Path = field(
        default=Path("data/nmnist"),
        metadata=option("folder with Train/ and Test/, or with Train.zip and Test.zip, read in place", Path),
    )

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``."""
        return REMOTE_FILES

    def listing(self) -> Listing:
        """See ``Dataset.listing``."""
        places = {split: find_place(self.root, split) for split in ("train", "test")}
        if not any(places.values()):
            raise self.not_there("Train/ and Test/, or Train.zip and Test.zip")
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
