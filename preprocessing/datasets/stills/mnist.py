"""MNIST and Fashion-MNIST: 70,000 grey pictures of 28×28 px in ten classes, in files of the format idx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from preprocessing.datasets.base import Listing, option
from preprocessing.datasets.stills.base import StaticImages, array_sources
from preprocessing.datasets.stills.idx import read_idx
from preprocessing.datasets.stills.labelled_images import LabelledImages
from preprocessing.download import RemoteFile
from preprocessing.events import RecordingError

DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt or top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
"""The classes of Fashion-MNIST, in the order of their labels."""

PARTS = {"train": "train", "t10k": "test"}
"""How the names of the files begin → the split that they hold."""


def _remote(base: str, digests: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    names = [f"{part}-{what}-ubyte.gz" for part in PARTS for what in ("images-idx3", "labels-idx1")]
    return tuple(RemoteFile(name, base + name, md5=md5) for name, md5 in zip(names, digests, strict=True))


MNIST_FILES = _remote(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)
"""The authors' files at PyTorch's mirror: their own server turns programs away."""

FASHION_FILES = _remote(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)
"""The authors' files."""

_ROOT = "folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-… and t10k-…, with or without .gz"


@dataclass(frozen=True)
class MNIST(StaticImages):
    """MNIST: 60,000 training and 10,000 test images of handwritten digits, grey, 28×28 px."""

    name: ClassVar[str] = "mnist"
    example: ClassVar[str] = "--root data/mnist --download"
    root: Path = field(default=Path("data/mnist"), metadata=option(_ROOT, Path))

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``."""
        return MNIST_FILES

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            RecordingError: a file is not what its name says; it is named.
        """
        return _listing(self, read_mnist)


@dataclass(frozen=True)
class FashionMNIST(StaticImages):
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, grey, 28×28 px."""

    name: ClassVar[str] = "fashion-mnist"
    example: ClassVar[str] = "--root data/fashion-mnist --download"
    root: Path = field(default=Path("data/fashion-mnist"), metadata=option(_ROOT, Path))

    def remote_files(self) -> tuple[RemoteFile, ...]:
        """See ``Dataset.remote_files``."""
        return FASHION_FILES

    def listing(self) -> Listing:
        """See ``Dataset.listing``.

        Raises:
            RecordingError: a file is not what its name says; it is named.
        """
        return _listing(self, read_fashion_mnist)


def _listing(dataset: StaticImages, load: Callable[[Path], LabelledImages]) -> Listing:
    if not all(_place(dataset.root, part, what) for part in PARTS for what in ("images", "labels")):
        raise dataset.not_there("its four idx files")
    labelled, sources = array_sources(load, dataset.root)
    return Listing(labelled.classes, tuple(sources), pictures=dataset.settings_for(labelled.images))


def read_mnist(root: Path) -> LabelledImages:
    """The images of MNIST in a folder, training ones first."""
    return _read(root, DIGITS)


def read_fashion_mnist(root: Path) -> LabelledImages:
    """The images of Fashion-MNIST in a folder, training ones first."""
    return _read(root, GARMENTS)


def _read(root: Path, classes: tuple[str, ...]) -> LabelledImages:
    parts = [_read_part(root, part, len(classes)) for part in PARTS]
    shapes = {images.shape[1:] for images, _ in parts}
    if len(shapes) > 1:
        raise RecordingError(f"{root}: training and test images have different sizes {sorted(shapes)}")
    split = tuple(name for name, (_, labels) in zip(PARTS.values(), parts, strict=True) for _ in range(len(labels)))
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return LabelledImages(images, labels.astype(np.int64), classes, split)


def _read_part(root: Path, part: str, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    images_path, labels_path = (_place(root, part, what) for what in ("images", "labels"))
    assert images_path is not None
    assert labels_path is not None
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise RecordingError(f"{labels_path}: {len(labels)} labels, but {len(images)} images in {images_path.name}")
    if len(labels) and labels.max() >= num_classes:
        raise RecordingError(f"{labels_path}: has the label {labels.max()}, expected 0 to {num_classes - 1}")
    return images, labels


def _place(root: Path, part: str, what: str) -> Path | None:
    """Where a file lies: in the root, or below it where torchvision keeps it."""
    kind = "idx3" if what == "images" else "idx1"
    folders = (root, *(root / name for name in ("raw", "MNIST/raw", "FashionMNIST/raw")))
    names = [f"{part}-{what}{dot}{kind}-ubyte{packed}" for dot in "-." for packed in ("", ".gz")]
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)
