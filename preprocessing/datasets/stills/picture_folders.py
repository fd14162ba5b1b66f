"""Pictures sorted into folders by class, or by split and class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from preprocessing.cache import SPLITS
from preprocessing.cache.contents import LeftOut
from preprocessing.datasets.base import visible

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SPLIT_FOLDERS = {**{split: split for split in SPLITS}, "val": "validation"}


class FoundPicture(NamedTuple):
    """An image file; ``name`` is its path relative to the folder, ``split`` empty where none is given."""

    path: Path
    name: str
    class_name: str
    split: str


def find_pictures(
    root: Path, left_out: list[LeftOut], split_folders: dict[str, str] = SPLIT_FOLDERS
) -> Iterator[FoundPicture]:
    """The pictures of a folder, ``<class>/*`` or ``<split>/<class>/*``, by split and name; all else is left out.

    Args:
        root: the folder.
        left_out: what is not used is added here.
        split_folders: name of a folder in lower case → the split that it holds.
    """
    folders = {split_folders[path.name.lower()]: path for path in visible(root) if _names_split(path, split_folders)}
    if folders:
        left_out += [LeftOut(p.name, "not the folder of a split") for p in visible(root) if p not in folders.values()]
    for split, folder in sorted(folders.items(), key=lambda item: SPLITS[item[0]]) or [("", root)]:
        for path in _class_files(folder, root, left_out):
            yield FoundPicture(path, path.relative_to(root).as_posix(), path.parent.name, split)


def _names_split(path: Path, split_folders: dict[str, str]) -> bool:
    return path.is_dir() and path.name.lower() in split_folders


def _class_files(folder: Path, root: Path, left_out: list[LeftOut]) -> Iterator[Path]:
    """The image files ``<class>/*`` of a folder; all else is left out."""
    for path in visible(folder):
        inside = visible(path) if path.is_dir() else []
        readable = [file for file in inside if file.suffix.lower() in SUFFIXES and file.is_file()]
        yield from readable
        used = set(readable)
        for other in [file for file in inside if file not in used] or ([] if readable else [path]):
            left_out.append(LeftOut(other.relative_to(root).as_posix(), _why_not(other, inside)))


def _why_not(path: Path, inside: Sequence[Path]) -> str:
    if path.is_dir():
        return "a folder inside a class" if path in inside else "a class without images"
    if path.suffix.lower() in SUFFIXES:
        return "not in a class's folder"
    return f"{path.suffix or 'a file without suffix'} is no image; images are {', '.join(sorted(SUFFIXES))}"
