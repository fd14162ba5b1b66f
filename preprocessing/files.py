"""Files that are either whole or not there, and one writer at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path


class BusyError(RuntimeError):
    """Another process is writing the same thing."""


@contextmanager
def exclusive(path: Path, purpose: str) -> Iterator[BufferedRandom]:
    """Open ``path`` empty for this process alone; it is gone at the end, whatever happened.

    The system drops the lock when its holder dies, so what a killed process left is taken over. A process
    id in the name would not do: ids are used again, and mean nothing to other machines that share the folder.

    Args:
        path: the file to hold; its folder is made.
        purpose: what its holder does, for the message, e.g. ``"building data/digits.h5"``.

    Raises:
        BusyError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path, purpose) as file:
        try:
            file.truncate(0)
            yield file
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, purpose: str) -> BufferedRandom:
    import fcntl  # POSIX only, so that a cache can still be read elsewhere

    while True:
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise BusyError(f"another process is {purpose}: wait until it ends, or stop it") from None
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()  # the former holder removed the name between our opening and our locking


def replace_durably(written: Path, target: Path) -> None:
    """Give the complete file ``written`` its final name, and see both safely to the disk."""
    with written.open("rb") as file:
        os.fsync(file.fileno())
    written.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_whole(target: Path, data: bytes) -> None:
    """Write ``data`` under ``target`` so that nobody ever sees a part of it."""
    partial = target.with_name(f".{target.name}.partial")
    partial.write_bytes(data)
    partial.replace(target)
