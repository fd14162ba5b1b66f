"""Memory that two processes share: files without a name, and one that is kept from one time to the next.

A page that nobody had before costs more than what is written to it: two million events take 12 ms to write to memory
that is mapped, and 20 to 60 more where its 6,000 pages are made one by one. So they are made all at once, and the block
that a process has no more use for is written to again.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref

import numpy as np
from numpy.typing import NDArray

MOST_KEPT = 1 << 27
"""Bytes of a block that is kept, at most: ten million events."""

_SHARED = getattr(mmap, "MAP_SHARED", 0) | getattr(mmap, "MAP_POPULATE", 0)


def new_file(num_bytes: int = 0) -> int:
    """An open file of so many bytes, without a name, in memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("evglif")
    else:
        with tempfile.TemporaryFile(prefix="evglif-") as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.ftruncate(file, num_bytes)
    except OSError:
        os.close(file)
        raise
    return file


def file_of(data: bytes) -> int:
    """An open file, without a name, that holds ``data``."""
    file = new_file()
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
    os.lseek(file, 0, os.SEEK_SET)  # where the other process starts to read, too
    return file


def mapped(file: int, num_bytes: int) -> NDArray[np.uint8]:
    """The first so many bytes of a file, which may be closed then."""
    return np.frombuffer(mmap.mmap(file, num_bytes, flags=_SHARED), np.uint8)


class Block:
    """A file of so many bytes, and its memory; it is closed with the block."""

    def __init__(self, file: int, num_bytes: int) -> None:
        self.file, self.num_bytes = file, num_bytes
        weakref.finalize(self, os.close, file)
        self.memory = mapped(file, num_bytes)


class Blocks:
    """What a process that is given blocks does with them: lend their memory, and keep one that comes back."""

    def __init__(self) -> None:
        self._spare: Block | None = None
        self._may_keep = True
        _all.add(self)

    def take(self) -> Block | None:
        """The block that is kept, if there is one; it is kept no more."""
        spare, self._spare = self._spare, None
        return spare

    def keep(self, block: Block) -> None:
        """Keep a block that is in use nowhere."""
        has_larger = self._spare is not None and self._spare.num_bytes > block.num_bytes
        if self._may_keep and block.num_bytes <= MOST_KEPT and not has_larger:
            self._spare = block

    def lend(self, block: Block, num_bytes: int) -> memoryview:
        """The first so many bytes of a block; with the last array that is made of them it is kept."""
        lent = block.memory[:num_bytes]
        weakref.finalize(lent, self.keep, block)
        return lent.data

    def keep_none(self) -> None:
        """Write to no block a second time: another process sees them, too."""
        self._spare, self._may_keep = None, False


_all: weakref.WeakSet[Blocks] = weakref.WeakSet()


def _share_no_more() -> None:
    for blocks in list(_all):
        blocks.keep_none()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_share_no_more)
