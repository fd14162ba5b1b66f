"""Files that are either whole or not there, and one writer at a time."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path, PureWindowsPath

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""What the system says where there is no room."""


class BusyError(RuntimeError):
    """Another process is writing the same thing."""


class WriteError(OSError):
    """A file that could not be written; the message says which, why, and what to do."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell what goes wrong while ``path`` and what lies beside it are written.

    Raises:
        WriteError: in place of any other error of the system or of HDF5.
    """
    try:
        yield
    except WriteError:
        raise
    except (OSError, RuntimeError) as error:
        told = re.search(r"errno = (\d+)", str(error))  # HDF5's way to say it
        number = getattr(error, "errno", None) or (int(told[1]) if told else 0)
        if isinstance(error, RuntimeError) and not told:
            raise
        reason = os.strerror(number) if number else str(error)
        step = "make room, then run the same command again" if number in FULL else "is its folder there and writable?"
        raise WriteError(f"{getattr(error, 'filename', None) or path}: cannot be written ({reason}): {step}") from error


def write_at(file: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` to an open file, from ``offset`` on."""
    rest = memoryview(data).cast("B")
    while rest:  # a disk that is nearly full takes a part
        num_written = os.pwrite(file, rest, offset)
        rest, offset = rest[num_written:], offset + num_written


def reserve(path: Path, num_bytes: int) -> None:
    """Have the disk keep room for so many bytes behind the end of a file, or raise the error that it is full.

    For HDF5, which cannot end a file in order once a write to it has failed.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        os.posix_fallocate(file, os.fstat(file).st_size, num_bytes)
    finally:
        os.close(file)


def now_ns(file: int) -> int:
    """The time by which the file system of an open file dates changes, in ns; the file is dated so."""
    os.utime(file)
    return os.fstat(file).st_mtime_ns


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


def require_file(path: Path) -> None:
    """Make sure that a file may be put at ``path``: there is one, or nothing yet.

    Raises:
        ValueError: a folder, or a device or a pipe, which would be gone for good.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the file to write")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is a device, pipe or socket, and is not replaced by a file; name another one")


def is_inside(name: str) -> bool:
    """Whether the file ``name``, joined to a folder, lies below that folder on every system."""
    path = PureWindowsPath(name)  # it knows both separators, and drives
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name


def require_room(folder: Path, num_bytes: int, purpose: str) -> None:
    """Check that the disk of ``folder`` can take so many bytes.

    Raises:
        OSError: it cannot.
    """
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise OSError(
            f"{purpose} takes {num_bytes:,} bytes, the disk of {folder} has {free:,} left: "
            f"make room, or choose a folder on another disk"
        )
