"""The frames of one file, mapped into memory, with an eye on whether it is still the same file.

Whoever reads mapped memory of a file that was cut short is ended by the system (SIGBUS), and of one that was
overwritten in place gets whatever stands there by then. So size and date of the file are looked at before samples are
taken, unless they were a moment ago, and once more at the end of a pass. A look is a call of the system, for which half
a sample could be read: to read each sample by such a call instead would take half as long again.
"""

from __future__ import annotations

import os
import weakref

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.schema import fingerprint, read_config
from preprocessing.cache.stored import CacheError, Shard, Stamp, opened, stamp_of

StoredFrames = NDArray[np.unsignedinteger]
"""Frames as a cache keeps them: uint16 of events, uint8 of images."""

TRUSTED_NS = 10_000_000
"""How long files are taken for unchanged after they were looked at."""


class FrameFile:
    """The frames of a cache without shards, or of one shard, open for reading.

    Args:
        part: the file, and what samples lie in it.
        stamp: of the file when the cache was opened.
        build: the fingerprint that it, or its shards, were made for.
        shape: of a sample.
        dtype: of the frames.

    Attributes:
        frames: ``[N, T, C, H, W]``, in memory that the file may take away: ``check_unchanged`` before it is used.
        close: lets go of the file.

    Raises:
        CacheError: it is gone, damaged, of another build, or has changed since the cache was opened.
    """

    def __init__(
        self, part: Shard, stamp: Stamp, build: str, shape: tuple[int, ...], dtype: np.dtype[np.unsignedinteger]
    ) -> None:
        self.path = part.path
        self.stamp = stamp
        try:
            with opened(part.path) as file:
                config, found, offset = read_config(file), file.frames(), file.offset()
            self._file = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, CacheError) as error:
            raise CacheError(f"{part.path}: unusable since the cache was opened ({error}); build it anew") from error
        self.close = weakref.finalize(self, os.close, self._file)
        if found != ((part.num_samples, *shape), dtype) or config.get("build", fingerprint(config)) != build:
            raise CacheError(f"{part.path}: holds the frames of another build; open the cache again, or build it anew")
        self.check_unchanged()
        self.frames: StoredFrames = np.asarray(np.memmap(part.path, dtype, "r", offset, found[0]))

    def check_unchanged(self) -> None:
        """Make sure that all that was read until now came from the file that was opened.

        Raises:
            CacheError: somebody has written to it, or cut it short.
        """
        now = stamp_of(os.fstat(self._file))
        if now != self.stamp:
            raise CacheError(
                f"{self.path}: was written to while it is being read ({self.stamp.num_bytes:,} bytes when it was "
                f"opened, {now.num_bytes:,} now): what is read is no longer what was built; build it anew, then run "
                "the command again"
            )
