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
from preprocessing.datasets.stills.picture_folders import FoundPicture, find_pictures
from preprocessing.events import RecordingError
from preprocessing.frames.pictures import PictureSettings, picture_form


@dataclass(frozen=True)
class Pictures(StaticImages):
    """Your own labelled images as they are, each a single frame: no events are made of them.

    They lie in a folder as <class>/*.png (or .jpg and others), or as <split>/<class>/*.png with splits train,
    validation and test; or in an .npz file with images [N,H,W] or [N,H,W,3], labels [N] and, if wanted, classes
    and split [N]. Pictures in a folder that differ in size need --size, which brings them all to one, cut from the
    middle.
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
            ValueError: pictures in a folder that differ in size, without one given, or an .npz file of another form.
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
        found = list(find_pictures(self.root, left_out))
        classes = tuple(sorted({picture.class_name for picture in found}))
        size, channels = self.size, self.channels
        if size is None or channels is None:
            size, channels = self._form_of(found)
        return _Found(classes, file_sources(found, classes), self.settings(size, channels))

    def _form_of(self, found: Sequence[FoundPicture]) -> tuple[tuple[int, int], int]:
        """The size that all pictures have, and 1 channel where all are grey, else 3; a size that is given holds."""
        first: dict[tuple[int, int], str] = {}
        most_channels, problem = 1, ""
        for picture in found:
            try:
                size, channels = picture_form(picture.path)
            except RecordingError as error:
                problem = problem or f"{picture.name}: {error}"
                continue
            first.setdefault(self.size or size, picture.name)
            most_channels = max(most_channels, channels)
        if not first:
            raise ValueError(f"{self.root}: none of its {len(found)} pictures can be read ({problem})")
        if len(first) > 1:
            some = ", ".join("{}×{} ({})".format(*size, name) for size, name in list(first.items())[:3])
            raise ValueError(
                f"{self.root}: its pictures differ in size, {some}; say what they are brought to, e.g. --size 32"
            )
        return next(iter(first)), most_channels


class _Found(NamedTuple):
    classes: tuple[str, ...]
    sources: Sequence[PictureSource]
    settings: PictureSettings
