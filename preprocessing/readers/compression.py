"""Compressed packets back to bytes, with a bound on how far they may grow."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from preprocessing import limits
from preprocessing.events import RecordingError

MAX_GROWTH = limits.MULTIPLE
"""Bytes that one compressed byte may become. Beyond, an event of 16 bytes would have taken 2 bits: no recording."""

Decompress = Callable[[bytes], bytes]
"""Raises ValueError for bytes that are damaged or would grow beyond ``MAX_GROWTH``."""


def lz4(source: str) -> Decompress:
    """LZ4 frames, one to a call.

    Raises:
        RecordingError: the library is not installed.
    """
    library = _library("lz4.frame", "LZ4", source)

    def decompress(body: bytes) -> bytes:
        frame = library.LZ4FrameDecompressor()
        try:
            content: bytes = frame.decompress(body, max_length=MAX_GROWTH * len(body))
        except RuntimeError as error:
            raise ValueError(f"as LZ4, {error}") from error
        if not frame.eof:
            raise ValueError("as LZ4, it is cut" if frame.needs_input else _too_large(body))
        return content

    return decompress


def zstd(source: str) -> Decompress:
    """Zstandard frames, one to a call.

    Raises:
        RecordingError: the library is not installed.
    """
    library = _library("zstandard", "Zstandard", source)
    decompressor = library.ZstdDecompressor()

    def decompress(body: bytes) -> bytes:
        limit = MAX_GROWTH * len(body)
        try:
            if library.frame_content_size(body) > limit:
                raise ValueError(_too_large(body))
            content: bytes = decompressor.decompress(body, max_output_size=limit)
        except library.ZstdError as error:
            raise ValueError(f"as Zstandard, {error}") from error
        return content

    return decompress


def _library(name: str, what: str, source: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise RecordingError(f"{source}: is compressed with {what}; to read it: pip install 'evglif[aedat4]'") from None


def _too_large(body: bytes) -> str:
    return f"{len(body)} bytes would become more than {MAX_GROWTH} times as many"
