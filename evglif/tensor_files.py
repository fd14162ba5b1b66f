"""Files that are either as they were or whole and new, whatever stops the program."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from preprocessing.files import FULL, replace_durably

UNREADABLE = (pickle.UnpicklingError, BadZipFile, RuntimeError, ValueError, LookupError, EOFError, OSError)
"""What ``torch.load`` raises for files that it did not write, or that are cut short."""


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Give a file new content atomically; it reaches the disk before it takes the old file's place.

    Raises:
        OSError: where it cannot be written. The file is then as it was, and the message of a full disk says so.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
        replace_durably(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        kept = f"; {path} is still the one written before" if path.exists() else ""
        message = f"no room for the {len(content) / 1e6:.1f} MB of {path}{kept}. Make room, then run the command again"
        raise OSError(error.errno, message) from error
    finally:
        temporary.unlink(missing_ok=True)


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
    """Read what ``save_tensors`` wrote, to the CPU; only tensors and plain values are unpickled.

    Args:
        path: the file; it exists.
        kind: what its ``format`` must be, e.g. ``"evglif-checkpoint"``.
        version: what its ``version`` must be.

    Raises:
        ValueError: where it is another kind of file, of another version, or damaged.
    """
    name = kind.removeprefix("evglif-").replace("-", " ")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*pickle protocol.*", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not a {name} written by evglif, or it is damaged") from error
    if not isinstance(content, dict) or content.get("format") != kind:
        raise ValueError(f"{path} is not a {name} written by evglif")
    if content.get("version") != version:
        raise ValueError(f"{path}: {name} version {content.get('version')}, this evglif reads version {version}")
    return content
