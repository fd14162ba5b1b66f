"""The frames of one file, read where they lie, with an eye on whether it is still the same file.

They are read, not mapped into memory: a mapped file that is cut short ends the process (SIGBUS), and one that is
overwritten in place gives whatever stands there by then. It costs no time (``scripts/bench/loader.py``).
"""

from __future__ import annotations

import os
import weakref
from math import prod

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.schema import fingerprint, read_config
from preprocessing.cache.stored import CacheError, Shard, Stamp, opened, stamp_of
from preprocessing.files import read_at

StoredFrames = NDArray[np.unsignedinteger]
"""Frames as a cache keeps them: uint16 of events, uint8 of images."""


class FrameFile:
    """The frames of a cache without shards, or of one shard, open for reading.

    Args:
        part: the file, and what samples lie in it.
        stamp: of the file when the cache was opened.
        build: the fingerprint that it, or its shards, were made for.
        shape: of a sample.
        dtype: of the frames.

    Attributes:
        close: lets go of the file.

    Raises:
        CacheError: it is gone, damaged, of another build, or has changed since the cache was opened.
    """

    def __init__(
        self, part: Shard, stamp: Stamp, build: str, shape: tuple[int, ...], dtype: np.dtype[np.unsignedinteger]
    ) -> None:
        self.path = part.path
        self.stamp = stamp
        self.num_bytes = prod(shape) * dtype.itemsize
        try:
            with opened(part.path) as file:
                config, found, self.offset = read_config(file), file.frames(), file.offset()
            self._file = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, CacheError) as error:
            raise CacheError(f"{part.path}: unusable since the cache was opened ({error}); build it anew") from error
        self.close = weakref.finalize(self, os.close, self._file)
        if found != ((part.num_samples, *shape), dtype) or config.get("build", fingerprint(config)) != build:
            raise CacheError(f"{part.path}: holds the frames of another build; open the cache again, or build it anew")
        self.check_unchanged()

    def read(self, row: int, target: StoredFrames) -> None:
        """Read a sample into an array of its shape."""
        try:
            read_at(self._file, target.data, self.offset + row * self.num_bytes)
        except EOFError:
            self.check_unchanged()
            raise

    def check_unchanged(self) -> None:
        """Make sure that all that was read until now came from the file that was opened.

        Raises:
            CacheError: somebody has written to it, or cut it short.
        """
        now = stamp_of(os.fstat(self._file))
        if now != self.stamp:
            raise CacheError(
                f"{self.path}: was written to while it is being read ({self.stamp.num_bytes:,} bytes when it was "
                f"opened, {now.num_bytes:,} now): what is read is no longer what was built; build it anew, and begin "
                "again"
            )
