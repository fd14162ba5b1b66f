"""Where numba keeps compiled loops: beside their module, else in the user's cache, else in a folder of this run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from preprocessing.terminal import tell


def keep_somewhere(module: str) -> None:
    """Make sure that compiled loops can be kept, which numba insists on; to be called before any is declared.

    In a container, the package often cannot be written to and there is no home: then they are kept in a folder of
    this run, which its child processes share, and one line says that they will be compiled again.

    Args:
        module: file of a module that lies beside those with the loops.
    """
    from numba import config

    kept: Any = config
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    if kept.CACHE_DIR or _can_be_made(Path(module).parent / "__pycache__") or _can_be_made(home / "numba"):
        return
    folder = tempfile.mkdtemp(prefix="evglif-compiled-")
    atexit.register(_remove, folder, os.getpid())
    os.environ["NUMBA_CACHE_DIR"] = kept.CACHE_DIR = folder
    tell(
        f"note: neither {Path(module).parent} nor {home} can be written to, so that loops are compiled anew in every "
        "run; name a folder in NUMBA_CACHE_DIR to keep them"
    )


def _can_be_made(folder: Path) -> bool:
    """Whether a folder can be written to, or made where it is not there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # and not in a child that was forked
        shutil.rmtree(folder, ignore_errors=True)
