"""Event recordings to frames: readers, slicing, rasterizing, and the HDF5 file that holds the result.

Importing it needs only NumPy: numba is imported when a compiled loop is first run, h5py with ``FrameCache``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import preprocessing.starting  # noqa: F401 - before what takes long to import, see there
from preprocessing.events import EVENT_DTYPE, Recording, RecordingError
from preprocessing.frames.rasterize import rasterize
from preprocessing.readers import read_recording

if TYPE_CHECKING:
    from preprocessing.cache import FrameCache

__all__ = ["EVENT_DTYPE", "FrameCache", "Recording", "RecordingError", "rasterize", "read_recording"]


def __getattr__(name: str) -> object:
    if name == "FrameCache":
        from preprocessing.cache import FrameCache

        return FrameCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
