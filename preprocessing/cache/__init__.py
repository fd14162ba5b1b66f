"""The frame cache: the HDF5 file that a build writes and a training reads.

Imports ``files`` alone: what its frames were made of it has as text.
"""

from preprocessing.cache.reader import (
    COUNTS,
    FORMAT,
    SCHEMA,
    SPLITS,
    CacheError,
    FrameCache,
    NotACacheError,
    StoredFrames,
    fingerprint,
    package_version,
)

__all__ = [
    "COUNTS",
    "FORMAT",
    "SCHEMA",
    "SPLITS",
    "CacheError",
    "FrameCache",
    "NotACacheError",
    "StoredFrames",
    "fingerprint",
    "package_version",
]
