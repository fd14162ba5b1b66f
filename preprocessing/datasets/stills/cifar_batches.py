"""The files of CIFAR: batches of pictures 3×32×32 in pickles or in records of bytes, in a folder or a .tar.gz."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.datasets.stills.labelled_images import LabelledImages
from preprocessing.datasets.stills.plain_pickle import PlainArray, load_plain
from preprocessing.events import RecordingError

SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Edition:
    """A form in which CIFAR is published.

    Attributes:
        folder: that its archive unpacks to.
        archive: name of the archive.
        train: files of the training split.
        test: file of the test split.
        labels: the key of the labels in a pickle, or their place among the bytes before a picture.
        num_labels: how many bytes these are.
    """

    folder: str
    archive: str
    train: tuple[str, ...]
    test: str
    labels: str | int
    num_labels: int = 1

    @property
    def files(self) -> tuple[str, ...]:
        """All files, training ones first."""
        return (*self.train, self.test)


class Found(NamedTuple):
    """An edition, and its folder or archive."""

    edition: Edition
    place: Path


def find_edition(root: Path, editions: Sequence[Edition]) -> Found | None:
    """The first edition that lies in ``root``: as its folder, as what that holds, or as its archive."""
    for edition in editions:
        for place in (root / edition.folder, root):
            if any((place / name).is_file() for name in edition.files):
                return Found(edition, place)
    archives = (Found(edition, root / edition.archive) for edition in editions)
    return next((found for found in archives if found.place.is_file()), None)


def read_edition(root: Path, editions: Sequence[Edition], classes: tuple[str, ...]) -> LabelledImages:
    """The images ``[N, 32, 32, 3]`` of the first edition in ``root``, training ones first.

    Raises:
        FileNotFoundError: there is none.
        RecordingError: a file is missing, cut short, no such file, or has a label out of range; it is named.
    """
    found = find_edition(root, editions)
    if found is None:
        raise FileNotFoundError(
            f"{root}: none of {', '.join(edition.archive for edition in editions)} is there any more"
        )
    edition, place = found
    contents = _contents(place, edition)
    batches = [_decoded(f"{place}/{name}", contents[name], edition, len(classes)) for name in edition.files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    num_test = len(batches[-1][1])
    split = ("train",) * (len(labels) - num_test) + ("test",) * num_test
    return LabelledImages(images.transpose(0, 2, 3, 1), labels, classes, split)


def _contents(place: Path, edition: Edition) -> dict[str, bytes]:
    """The bytes of each file."""
    try:
        if place.is_dir():
            contents = {name: (place / name).read_bytes() for name in edition.files if (place / name).is_file()}
        else:
            contents = dict(_members(place, {f"{edition.folder}/{name}": name for name in edition.files}))
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = str(error).partition(":\n")[0]  # tarfile goes on with a line for each kind of archive it tried
        raise RecordingError(f"{place}: cannot be read ({reason}); remove it and fetch it again") from error
    missing = [name for name in edition.files if name not in contents]
    if missing:
        raise RecordingError(f"{place}: {', '.join(missing)} is missing; remove it and fetch it again")
    return contents


def _members(archive: Path, wanted: dict[str, str]) -> list[tuple[str, bytes]]:
    found = []
    num_packed, num_unpacked = archive.stat().st_size, 0
    with tarfile.open(archive) as opened:
        for info in opened:
            num_unpacked += info.size
            if problem := limits.problem(num_unpacked, num_packed):
                raise RecordingError(f"{archive}: {info.name} {problem}")
            file = opened.extractfile(info) if info.name in wanted and info.isreg() else None
            if file is not None:
                found.append((wanted[info.name], file.read()))
    return found


Batch = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Pictures ``[N, 3, 32, 32]`` and labels ``[N]``."""


def _decoded(name: str, data: bytes, edition: Edition, num_classes: int) -> Batch:
    if isinstance(edition.labels, str):
        images, labels = _from_pickle(name, data, edition.labels)
    else:
        images, labels = _from_records(name, data, edition.labels, edition.num_labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise RecordingError(
            f"{name}: has labels from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}; fetch it again"
        )
    return images.reshape(-1, *SHAPE), labels


def _from_records(name: str, data: bytes, place: int, num_labels: int) -> Batch:
    size = num_labels + _PIXELS
    if not data or len(data) % size:
        raise RecordingError(
            f"{name}: has {len(data)} bytes, expected records of {size}; it is cut short or something else"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    return records[:, num_labels:], records[:, place].astype(np.int64)


def _from_pickle(name: str, data: bytes, key: str) -> Batch:
    try:
        content = load_plain(data)
    except ValueError as error:
        raise RecordingError(f"{name}: is not a batch of CIFAR: {error}; fetch it again") from error
    batch = content if isinstance(content, dict) else {}
    images, labels = (batch.get(k.encode(), batch.get(k)) for k in ("data", key))
    if not isinstance(images, PlainArray) or not isinstance(labels, list):
        raise RecordingError(f"{name}: is not a batch of CIFAR: expected data and {key}, got {_shown(content)}")
    shape, dtype = images.values.shape, images.values.dtype
    if shape != (len(labels), _PIXELS) or dtype != np.uint8 or not all(type(label) is int for label in labels):
        raise RecordingError(
            f"{name}: expected a whole number and {_PIXELS} bytes for each image, got {len(labels)} labels and "
            f"{dtype} {list(shape)}; fetch it again"
        )
    return images.values, np.array(labels, np.int64)


def _shown(content: object) -> str:
    return ", ".join(sorted(map(str, content))) if isinstance(content, dict) else type(content).__name__
