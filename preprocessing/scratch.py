"""A folder of this run, for what libraries insist on keeping where nothing else can be written to, as in containers."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def folder_of_this_run() -> str:
    """An empty folder that child processes share; it is gone at the end.

    Raises:
        FileNotFoundError: where there is no folder for temporary files either.
    """
    folder = tempfile.mkdtemp(prefix="evglif-")
    atexit.register(_remove, folder, os.getpid())
    return folder


def can_be_made(folder: Path) -> bool:
    """Whether a folder can be written to, or made where it is not there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def home(variable: str, otherwise: str) -> Path:
    """The user's folder that a variable names, such as ``XDG_CACHE_HOME``, or its usual place below the home."""
    return Path(os.environ.get(variable) or os.path.expanduser(otherwise))  # noqa: PTH111 - Path raises without a home


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # and not in a child that was forked
        shutil.rmtree(folder, ignore_errors=True)
