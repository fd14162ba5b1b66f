"""ImageNet (ILSVRC 2012): 1.28 million training and 50,000 validation photographs of a thousand classes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from preprocessing import arguments
from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Listing, option
from preprocessing.datasets.stills.base import StaticImages, file_sources
from preprocessing.datasets.stills.picture_folders import FoundPicture, find_pictures

SPLIT_FOLDERS = {"train": "train", "val": "test"}
"""The labels of ImageNet's own test images are not published, so that everybody tests on its validation images."""


@dataclass(frozen=True)
class ImageNet(StaticImages):
    """ImageNet: 1,281,167 training and 50,000 test images of a thousand classes, in colour, kept as 224×224 px.

    It lies in train/<class>/*.JPEG and val/<class>/*.JPEG, or with all test images in val/ and their classes in a
    file. The shorter side of a picture is brought to 256 px and the middle kept, as in the usual evaluation; random
    crops for training come out of this middle, and not of the whole photograph. Any other pictures in such folders
    will do as well.
    """

    name: ClassVar[str] = "imagenet"
    example: ClassVar[str] = "--root data/ILSVRC/Data/CLS-LOC --val-labels data/LOC_val_solution.csv --workers 16"
    origin: ClassVar[str] = "It is handed out at image-net.org to those who register, and at kaggle.com"
    root: Path = field(default=Path("data/imagenet"), metadata=option("folder with train/ and val/", Path))
    size: tuple[int, int] | None = field(
        default=(224, 224), metadata=option("width and height of a frame, W[xH] in px", arguments.size)
    )
    shorter_side: int | None = field(
        default=256, metadata=option("px to bring the shorter side to before the cut", int)
    )
    val_labels: Path | None = field(
        default=None,
        metadata=option("file with the class of each image that lies in val/ itself: lines of name and class", Path),
    )

    def options(self) -> dict[str, object]:
        """See ``Dataset.options``; the listing holds what the file of labels says."""
        return {}

    def listing(self) -> Listing:
        """See ``Dataset.listing``; sizes of pictures are not looked at.

        Raises:
            FileNotFoundError: there is no train/ with classes, or no file of labels where it is said to be.
            ValueError: that file has no lines of names and classes.
        """
        left_out: list[LeftOut] = []
        found = list(find_pictures(self.root, left_out, SPLIT_FOLDERS)) if self.root.is_dir() else []
        classes = tuple(sorted({picture.class_name for picture in found if picture.split == "train"}))
        if not classes:
            raise self.not_there("train/<class>/*.JPEG and val/<class>/*.JPEG")
        if self.val_labels:
            left_out, flat = _taken(self.root, left_out, read_labels(self.val_labels))
            found += flat
        known = set(classes)
        strange = [p for p in found if p.class_name not in known]
        left_out += [LeftOut(p.name, f"its class {p.class_name} has no training images") for p in strange]
        sources = file_sources((p for p in found if p.class_name in known), classes)
        return Listing(classes, sources, left_out=tuple(left_out), pictures=self.settings((224, 224), 3))


def _taken(root: Path, left_out: list[LeftOut], classes: dict[str, str]) -> tuple[list[LeftOut], list[FoundPicture]]:
    """Those images out of ``left_out`` that lie in val/ itself and whose class is known; the others first."""
    others, taken = [], []
    for problem in left_out:
        path = root / problem.source
        if path.parent.name.lower() == "val" and path.stem in classes:
            taken.append(FoundPicture(path, problem.source, classes[path.stem], "test"))
        else:
            others.append(problem)
    return others, taken


def read_labels(path: Path) -> dict[str, str]:
    """Name of an image without suffix → its class, from lines that begin with both, with a comma or blank between.

    So does LOC_val_solution.csv of Kaggle's edition, with boxes behind the class.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no line has this form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.absolute()}: no such file; --val-labels names the one with the classes of val/")
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = re.finditer(r"^(\S+?)(?:\.jpe?g)?[ \t,]+(n\d{8})\b", text, re.IGNORECASE | re.MULTILINE)
    labels = {line[1]: line[2] for line in lines}
    if not labels:
        raise ValueError(f"{path}: no line begins with an image and its class, as in ILSVRC2012_val_00000001 n01751748")
    return labels
