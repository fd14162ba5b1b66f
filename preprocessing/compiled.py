"""Where numba keeps compiled loops: beside their module, else in the user's cache, else in a folder of this run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

from preprocessing.scratch import can_be_made, folder_of_this_run, home
from preprocessing.terminal import tell


def keep_somewhere(module: str) -> None:
    """Make sure that compiled loops can be kept, which numba insists on; to be called before any is declared.

    In a container, the package often cannot be written to and there is no home: then they are kept in a folder of
    this run, which its child processes share, and one line says that they will be compiled again.

    numba compiles loops anew when their own file has changed, and doesn't look at the modules that these call: loops
    that were compiled before any module beside them was changed are forgotten.

    Args:
        module: file of a module that lies beside those with the loops.

    Raises:
        FileNotFoundError: where nothing at all can be written to.
    """
    from numba import config

    _forget_stale(Path(module).parent)
    kept: Any = config
    cache = home("XDG_CACHE_HOME", "~/.cache")
    if kept.CACHE_DIR or can_be_made(Path(module).parent / "__pycache__") or can_be_made(cache / "numba"):
        return
    try:
        folder = folder_of_this_run()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"neither {Path(module).parent} nor {cache} nor a folder for temporary files can be written to, so that "
            "loops cannot be compiled; name a folder in NUMBA_CACHE_DIR or TMPDIR"
        ) from error
    os.environ["NUMBA_CACHE_DIR"] = kept.CACHE_DIR = folder
    tell(
        f"note: neither {Path(module).parent} nor {cache} can be written to, so that loops are compiled anew in every "
        "run; name a folder in NUMBA_CACHE_DIR to keep them"
    )


def _forget_stale(folder: Path) -> None:
    """Remove what numba keeps beside modules and is older than one of them."""
    changed = max((source.stat().st_mtime for source in folder.glob("*.py")), default=0.0)
    if changed > time():  # by a clock ahead of this one: all would be older for as long
        return
    for index in (folder / "__pycache__").glob("*.nbi"):
        with suppress(OSError):  # another process was first, or it is not ours
            if index.stat().st_mtime < changed:
                index.unlink()
