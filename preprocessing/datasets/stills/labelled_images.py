"""Labelled images in one .npz file of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache import SPLITS
from preprocessing.datasets.stills.plain_npz import read_arrays


class Row(NamedTuple):
    """Where one image lies: the file, and its number there."""

    path: Path
    number: int

    def __str__(self) -> str:
        return f"{self.number} of {self.path}"


@dataclass(frozen=True)
class LabelledImages:
    """Images and what is known about them.

    Attributes:
        images: ``[N, H, W]`` or ``[N, H, W, 3]``, uint8, or floats from 0 to 1.
        labels: indices of their classes ``[N]``.
        classes: names of the classes.
        split: "train", "validation" or "test" of each, or nothing.
    """

    images: NDArray[np.generic]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    split: tuple[str, ...]


def read_labelled_images(path: Path) -> LabelledImages:
    """Read an .npz file with ``images`` and ``labels`` and, if it has them, ``classes`` and ``split``.

    Labels are names of classes, or numbers: indices into ``classes`` where it has them.

    Raises:
        ValueError: it cannot be read, an array is missing, or one is not of that form.
    """
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1)  # every row comes from here, and unpacking the file takes longer than all of them
def _read(path: Path, _changed: int, _size: int) -> LabelledImages:
    try:
        arrays = read_arrays(path, ("images", "labels", "classes", "split"))
    except ValueError as error:
        raise ValueError(f"{path}: cannot be read as an .npz file of plain arrays ({error})") from error
    if not {"images", "labels"} <= arrays.keys():
        raise ValueError(f"{path}: expected arrays images and labels, found {', '.join(arrays) or 'neither'}")
    images = arrays["images"]
    _check_images(path, images)
    for name in ("labels", "split"):
        if name in arrays and arrays[name].shape != images.shape[:1]:
            raise ValueError(f"{path}: {len(images)} images, but {name} has the shape {list(arrays[name].shape)}")
    classes, labels = _classes(path, arrays["labels"], arrays.get("classes"))
    split = tuple(map(str, arrays["split"].tolist())) if "split" in arrays else ()
    if not set(split) <= SPLITS.keys():
        raise ValueError(f"{path}: split has {sorted(set(split) - SPLITS.keys())}; expected {', '.join(SPLITS)}")
    return LabelledImages(images, labels, classes, split)


def _check_images(path: Path, images: NDArray[np.generic]) -> None:
    if images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)) or images.size == 0:
        raise ValueError(f"{path}: images have the shape [N, H, W] or [N, H, W, 3], got {list(images.shape)}")
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating) or not (images.min() >= 0 and images.max() <= 1):
        numbers = images.dtype.kind in "iuf"
        held = f"{images.dtype} from {images.min():g} to {images.max():g}" if numbers else str(images.dtype)
        raise ValueError(f"{path}: images are uint8 (0 to 255) or float (0 to 1), got {held}")


def _classes(
    path: Path, labels: NDArray[np.generic], classes: NDArray[np.generic] | None
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, and the labels as indices into them."""
    if labels.dtype.kind not in "iuU" or labels.dtype == np.uint64:
        raise ValueError(f"{path}: labels are names, or whole numbers, got {labels.dtype}")
    if classes is not None and (classes.ndim != 1 or classes.dtype.kind not in "iuU"):
        raise ValueError(f"{path}: classes are names, one after the other, got {classes.dtype} {list(classes.shape)}")
    values, indices = np.unique(labels, return_inverse=True)
    names = [str(name) for name in (values if classes is None else classes)]
    if classes is not None and np.issubdtype(labels.dtype, np.integer):
        if not 0 <= values[0] <= values[-1] < len(names):
            raise ValueError(f"{path}: labels from {values[0]} to {values[-1]}, but {len(names)} classes")
        indices = labels.astype(np.int64)
    elif classes is not None:
        unknown = {str(value) for value in values} - set(names)
        if unknown:
            raise ValueError(f"{path}: labels {sorted(unknown)} are not among the classes {names}")
        indices = np.array([names.index(str(value)) for value in values], np.int64)[indices]
    unsafe = [name for name in names if not name or name.startswith(".") or "/" in name or "\\" in name]
    if unsafe or len(set(names)) < len(names):
        raise ValueError(f"{path}: classes name folders: different ones, without / or a leading dot; got {names}")
    return tuple(names), indices.astype(np.int64)
