"""The frame cache: the HDF5 file that a build writes and a training reads.

Imports ``files`` and ``plain`` alone: what its frames were made of it has as text.
"""

from preprocessing.cache.frames import StoredFrames
from preprocessing.cache.reader import FrameCache, package_version
from preprocessing.cache.schema import COUNTS, SPLITS, fingerprint
from preprocessing.cache.stored import FORMAT, SCHEMA, CacheError, NotACacheError

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
