"""What data sets of static images share: pictures as sources, and how they become frames."""

from __future__ import annotations

import time
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from preprocessing import arguments
from preprocessing.datasets.base import Dataset, Source, option
from preprocessing.datasets.stills.labelled_images import LabelledImages
from preprocessing.datasets.stills.picture_folders import FoundPicture
from preprocessing.events import RecordingError
from preprocessing.frames.pictures import RESIZINGS, PictureSettings, read_picture

_SECONDS_FROM_MEMORY = 5e-5
_SECONDS_PER_FILE = 1.5e-4
_SECONDS_PER_FILE_BYTE = 5e-8


@dataclass(frozen=True)
class PictureSource(Source):
    """A labelled picture."""

    @abstractmethod
    def picture(self) -> NDArray[np.uint8]:
        """The picture, ``[H, W]`` or ``[H, W, 3]``.

        Raises:
            RecordingError: it cannot be read.
        """

    @abstractmethod
    def seconds(self) -> float:
        """About how long it takes to make its frame, s."""


@dataclass(frozen=True)
class FilePicture(PictureSource):
    """A picture in a file of its own."""

    def picture(self) -> NDArray[np.uint8]:
        """See ``PictureSource.picture``."""
        try:
            return read_picture(self.path)
        except RecordingError as error:
            raise RecordingError(f"{self.name}: {error}") from error

    def seconds(self) -> float:
        """See ``PictureSource.seconds``."""
        return _SECONDS_PER_FILE + _SECONDS_PER_FILE_BYTE * self.num_bytes()


def file_sources(found: Iterable[FoundPicture], classes: Sequence[str]) -> tuple[FilePicture, ...]:
    """The sources of pictures that were found in folders."""
    labels = {name: label for label, name in enumerate(classes)}
    return tuple(FilePicture(p.path, None, labels[p.class_name], p.split, p.name) for p in found)


@dataclass(frozen=True)
class ArrayPicture(PictureSource):
    """A picture in an array with all others of its data set.

    Attributes:
        load: reads that data set from ``path``; each process does so once.
        listed_ns: when it was listed; a process that has read it before that reads it again.
        number: of the picture.
        size: in bytes.
        checksum: CRC-32 of the picture, which tells its content whatever file it came in.
    """

    load: Callable[[Path], LabelledImages] = field(kw_only=True)
    listed_ns: int = field(kw_only=True)
    number: int = field(kw_only=True)
    size: int = field(kw_only=True)
    checksum: int = field(kw_only=True)

    def picture(self) -> NDArray[np.uint8]:
        """See ``PictureSource.picture``."""
        images = load_once(self.load, self.path, self.listed_ns).images
        picture = as_bytes(images[self.number]) if self.number < len(images) else None
        if picture is None or _checksum(picture) != self.checksum:
            raise RecordingError(f"{self.name}: {self.path} has changed since it was listed; build again")
        return picture

    def seconds(self) -> float:
        """See ``PictureSource.seconds``."""
        return _SECONDS_FROM_MEMORY

    def num_bytes(self) -> int:
        """See ``Source.num_bytes``."""
        return self.size

    def identity(self) -> tuple[int, ...]:
        """See ``Source.identity``."""
        return self.size, self.checksum

    def changed_ns(self) -> int:
        """See ``Source.changed_ns``; the content is known."""
        return 0


@lru_cache(maxsize=1)  # all pictures of a build come from here
def load_once(load: Callable[[Path], LabelledImages], path: Path, _listed_ns: int) -> LabelledImages:
    """``load(path)``, kept until another one is asked for, or this one was listed again."""
    return load(path)


def as_bytes(image: NDArray[np.generic]) -> NDArray[np.uint8]:
    """A picture of uint8, or of floats from 0 to 1, as uint8."""
    picture = image if image.dtype == np.uint8 else np.rint(image.astype(np.float64) * 255)
    return np.ascontiguousarray(picture, np.uint8)


def _checksum(picture: NDArray[np.uint8]) -> int:
    return zlib.crc32(picture.data)


def array_sources(load: Callable[[Path], LabelledImages], path: Path) -> tuple[LabelledImages, list[ArrayPicture]]:
    """A data set that is one array, read anew, and its pictures, with an empty split where it has none.

    They are called ``<split>/<number in that split>``, the numbers that everybody uses for CIFAR and MNIST.
    """
    listed_ns = time.time_ns()
    labelled = load_once(load, path, listed_ns)
    split = labelled.split or ("",) * len(labelled.labels)
    seen = dict.fromkeys(split, 0)
    sources = []
    for number, (image, label, part) in enumerate(zip(labelled.images, labelled.labels.tolist(), split, strict=True)):
        picture = as_bytes(image)
        name = f"{part or 'all'}/{seen[part]:06d}"
        seen[part] += 1
        size, checksum = picture.nbytes, _checksum(picture)
        known = partial(ArrayPicture, load=load, listed_ns=listed_ns, number=number, size=size, checksum=checksum)
        sources.append(known(path, None, label, part, name))
    return labelled, sources


@dataclass(frozen=True)
class StaticImages(Dataset):
    """A data set of static images: frames ``[1, C, H, W]`` of uint8, value = stored / 255.

    Attributes:
        size: (width, height) of the frames, px; the data set's own where it is None.
        channels: 1 for grey, 3 for colour; the data set's own where it is None.
        shorter_side, resizing: as in ``PictureSettings``.
    """

    kind: ClassVar[str] = "images"
    size: tuple[int, int] | None = field(
        default=None,
        metadata=option("width and height of a frame, W[xH] in px; by default that of the pictures", arguments.size),
    )
    channels: int | None = field(
        default=None, metadata=option("1 for grey, 3 for red, green and blue; by default as the pictures are", int)
    )
    shorter_side: int | None = field(
        default=None,
        metadata=option("px to bring the shorter side to before the cut; by default what just covers a frame", int),
    )
    resizing: str = field(
        default="bilinear", metadata=option("how pictures are brought to another size", choices=tuple(RESIZINGS))
    )

    def __post_init__(self) -> None:
        _ = self.settings((1, 1), 3)  # says what is wrong with the options, if anything

    def options(self) -> dict[str, Any]:
        """See ``Dataset.options``; what makes the frames stands there for itself."""
        made_of = ("size", "channels", "shorter_side", "resizing")
        return {name: value for name, value in super().options().items() if name not in made_of}

    def settings(self, size: tuple[int, int], channels: int) -> PictureSettings:
        """How the pictures become frames; the arguments hold where the user chose nothing."""
        own = channels if self.channels is None else self.channels
        return PictureSettings(self.size or size, own, self.shorter_side, self.resizing)

    def settings_for(self, images: NDArray[np.generic]) -> PictureSettings:
        """``settings`` for pictures ``[N, H, W]`` or ``[N, H, W, 3]``."""
        height, width = images.shape[1:3]
        return self.settings((width, height), 3 if images.ndim == 4 else 1)
