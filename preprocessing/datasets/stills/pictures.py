"""Pictures: any labelled pictures as static images, without a camera; see ``images`` for those with one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import Listing, option
from preprocessing.datasets.splits import check_fraction, hold_out
from preprocessing.datasets.stills.base import PictureSource, StaticImages, array_sources, file_sources
from preprocessing.datasets.stills.labelled_images import read_labelled_images
from preprocessing.datasets.stills.picture_folders import find_pictures
from preprocessing.frames.pictures import PictureSettings


@dataclass(frozen=True)
class Pictures(StaticImages):
    """Your own labelled images as they are, each a single frame: no events are made of them.

    They lie in a folder as <class>/*.png (or .jpg and others), or as <split>/<class>/*.png with splits train,
    validation and test; or in an .npz file with images [N,H,W] or [N,H,W,3], labels [N] and, if wanted, classes
    and split [N]. Pictures in a folder may differ in size: --size brings them all to one, cut from the middle.
    """

    name: ClassVar[str] = "pictures"
    example: ClassVar[str] = "--root photos --size 64\n  python -m preprocessing.build pictures --root images.npz"
    root: Path = field(metadata=option("folder with one folder of images per class, or an .npz file", Path))
    test_fraction: float = field(
        default=0.1, metadata=option("share of each class's images to hold out where no splits are given", float)
    )
    seed: int = field(default=0, metadata=option("draws another share", int))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction(self.test_fraction)

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            ValueError: pictures in a folder without a size, or an .npz file of another form.
        """
        if not self.root.exists():
            raise FileNotFoundError(f"{self.root.absolute()}: no such folder or .npz file; --root names it")
        left_out: list[LeftOut] = []
        classes, sources, settings = self._of_folder(left_out) if self.root.is_dir() else self._of_file()
        split, notes = hold_out(sources, classes, self.test_fraction, self.seed)
        return Listing(classes, split, left_out=tuple(left_out), notes=notes, pictures=settings)

    def _of_file(self) -> _Found:
        labelled, sources = array_sources(read_labelled_images, self.root)
        return _Found(labelled.classes, sources, self.settings_for(labelled.images))

    def _of_folder(self, left_out: list[LeftOut]) -> _Found:
        if self.size is None:
            raise ValueError(
                f"{self.root}: its pictures may differ in size; say what they are brought to, e.g. --size 32"
            )
        found = list(find_pictures(self.root, left_out))
        classes = tuple(sorted({picture.class_name for picture in found}))
        return _Found(classes, file_sources(found, classes), self.settings(self.size, 3))


class _Found(NamedTuple):
    classes: tuple[str, ...]
    sources: Sequence[PictureSource]
    settings: PictureSettings
