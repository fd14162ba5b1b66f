"""Files that are either as they were or whole and new, whatever stops the program."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from evglif.tensor_archive import read_archive
from preprocessing.files import FULL, replace_durably
from preprocessing.plain import brief


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Give a file new content atomically; it reaches the disk before it takes the old file's place.

    Raises:
        OSError: where it cannot be written. The file is then as it was, and the message of a full disk says so.
    """
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes | memoryview]) -> None:
    """The same for several files: none is replaced before all are written; then they are, in their order.

    Raises:
        OSError: where one cannot be written. All are then as they were.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in contents}
    try:
        for path, content in contents.items():
            _write(temporary[path], path, content)
        for path in contents:
            replace_durably(temporary[path], path)
    finally:
        for each in temporary.values():
            each.unlink(missing_ok=True)


def _write(temporary: Path, path: Path, content: bytes | memoryview) -> None:
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in FULL:
            raise
        kept = f"; {path} is still the one written before" if path.exists() else ""
        message = f"no room for the {len(content) / 1e6:.1f} MB of {path}{kept}. Make room, then run the command again"
        raise OSError(error.errno, message) from error


def remove_leftovers(path: Path) -> None:
    """Remove what a killed ``replace_file`` of a file left beside it."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values with ``torch.save``; raises as ``replace_file``."""
    written = io.BytesIO()  # torch.save into a file on a full disk ends in its archive writer's errors, not the disk's
    torch.save(content, written)
    replace_file(path, written.getbuffer())


def load_tensors(path: Path, kind: str, version: int) -> dict[str, Any]:
    """Read what ``save_tensors`` wrote, to the CPU; see ``tensor_archive`` for what it may hold.

    Args:
        path: the file; it exists.
        kind: what its ``format`` must be, e.g. ``"evglif-checkpoint"``.
        version: what its ``version`` must be.

    Raises:
        ValueError: where it is another kind of file, of another version, or damaged.
    """
    name = kind.removeprefix("evglif-").replace("-", " ")
    try:
        content = read_archive(path)
    except Exception as error:  # a damaged archive ends in whatever its last bytes met
        raise ValueError(f"{path} is not a {name} written by evglif, or it is damaged ({error})") from error
    if not isinstance(content, dict) or content.get("format") != kind:
        raise ValueError(f"{path} is not a {name} written by evglif")
    found = content.get("version")
    if found != version:
        raise ValueError(f"{path}: {name} version {brief(found)}, this evglif reads version {version}")
    return content
