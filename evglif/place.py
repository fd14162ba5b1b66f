"""What lies in a folder, and so what the next step is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from shlex import quote

from preprocessing.readers import SUFFIXES

MOST_SEEN, DEEPEST = 20_000, 4
"""Files and folders that are looked at, and how far down: an answer comes at once."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_EXPORTED = (".onnx", ".events")


@dataclass
class Found:
    """Paths in a folder by what they are, the newest of each last."""

    recordings: list[Path] = field(default_factory=list)
    caches: list[Path] = field(default_factory=list)
    started: list[Path] = field(default_factory=list)
    finished: list[Path] = field(default_factory=list)
    exported: list[Path] = field(default_factory=list)


def looked_around(place: Path) -> list[str]:
    """Lines that say what was found and what to type next, in the words of ``python -m``."""
    found = look(place)
    names = {"recording": "", "file": " of frames", "unfinished run": "", "finished run": "", "exported model": ""}
    counts = zip(names.items(), vars(found).values(), strict=True)
    said = ", ".join(_number(len(paths), name) + more for (name, more), paths in counts if paths)
    return [
        f"here: {said or 'nothing to work on yet; handwritten digits come with the package'}",
        f"next: {next_step(found)}",
    ]


def _number(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def next_step(found: Found) -> str:
    """The command that goes on from what is furthest."""
    if found.exported:
        recording = quote(str(found.recordings[-1])) if found.recordings else "RECORDING"
        return f"python -m deploy.infer {quote(str(found.exported[-1]))} {recording}"
    if found.finished:
        checkpoint = next(path for path in map(found.finished[-1].joinpath, ("best.pt", "last.pt")) if path.exists())
        return f"python -m deploy.export {quote(str(checkpoint))} --format onnx"
    if found.started:
        folder, data = found.started[-1], quote(str(found.caches[-1])) if found.caches else "FILE.h5"
        recipe = quote(str(folder / "recipe.yaml"))
        return f"python -m evglif.train --recipe {recipe} --data {data} --out {quote(str(folder))}"
    if found.caches:
        return f"python -m evglif.train --data {quote(str(found.caches[-1]))}"
    if found.recordings:
        return (
            f"python -m preprocessing.build folder --root {quote(str(_root(found.recordings)))} --size 32 --resize area"
        )
    return "python -m preprocessing.build digits --steps 4 --size 16 --resize area"


def _root(recordings: list[Path]) -> Path:
    """The folder whose folders are the classes: <root>/<class>/<recording>, as far as names can tell."""
    parents = {path.parent for path in recordings}
    common = Path(os.path.commonpath([str(parent) for parent in parents]))
    return common.parent if len(parents) == 1 else common


def look(place: Path) -> Found:
    """What lies in a folder and those in it, as far as suffixes and first bytes tell."""
    found = Found()
    for path in islice(_files(place, DEEPEST), MOST_SEEN):
        suffix = path.suffix.lower()
        if path.name == "state.pt":
            done = (path.parent / "results.json").exists()
            (found.finished if done else found.started).append(path.parent)
        elif suffix in _EXPORTED:
            found.exported.append(path)
        elif suffix == ".h5" and _is_cache(path):
            found.caches.append(path)
        elif suffix in SUFFIXES and suffix not in (".txt", ".csv", ".npy", ".npz", ".mat"):
            found.recordings.append(path)
    for paths in vars(found).values():
        paths.sort(key=lambda path: (_changed(path), str(path)))
    return found


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_file():
            yield entry
        elif depth and entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, depth - 1)


def _is_cache(path: Path) -> bool:
    from preprocessing.cache import FrameCache

    try:
        with path.open("rb") as file:
            if file.read(len(_HDF5)) != _HDF5:
                return False
        FrameCache(path).close()
    except (ValueError, OSError):
        return False
    return True


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
