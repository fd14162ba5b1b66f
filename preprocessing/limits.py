"""How much a file may become: a stated multiple of what it holds, whatever it announces or would unpack to.

A file of N bytes may unpack to ``MULTIPLE`` · N + ``FLOOR`` bytes, and give as many bytes of events or pixels. Damage
and bombs announce thousands of times as much; the densest recordings of cameras, packed by the best of the usual
compressions, come to a third of it. What one sample, or all samples of a recording, become as frames is asked for by
options and not by a file: ``FRAMES`` bytes, or what the recording may become where that is more.

Whoever wants more asks for it, once for all of them: ``EVGLIF_MEMORY=8GB`` allows 8 GB of each, and time in proportion.
"""

from __future__ import annotations

import os
import re
import zipfile

MULTIPLE = 64
"""Bytes that each byte of a file may become."""

FLOOR = 1 << 26
"""Bytes that a file may become whatever its size."""

FRAMES = 1 << 31
"""Bytes that the frames of a recording may take whatever its size."""

VARIABLE = "EVGLIF_MEMORY"
"""The environment variable that allows more: bytes, as 8000000000, 8GB or 500 MB."""

_SECONDS = 10.0  # of a processor, whatever the size
_SECONDS_PER_BYTE = 3e-8  # that a file may become: five times as slow as zlib unpacks
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def allowed(num_bytes: int) -> int:
    """How many bytes a file of so many may become.

    Raises:
        ValueError: the environment asks for more in words that cannot be read.
    """
    return max(MULTIPLE * num_bytes + FLOOR, _asked())


def allowed_frames(num_bytes: int = 0) -> int:
    """How many bytes the frames of a recording of so many bytes may take."""
    return max(FRAMES, allowed(num_bytes))


def allowed_seconds(num_bytes: int) -> float:
    """How long a processor may be busy with a file of so many bytes, s."""
    return _SECONDS + _SECONDS_PER_BYTE * allowed(num_bytes)


def problem(wanted: int, num_bytes: int) -> str:
    """What is wrong with a file of ``num_bytes`` that would become ``wanted`` bytes, and what to do; "" if nothing."""
    most = allowed(num_bytes)
    if wanted <= most:
        return ""
    return (
        f"would take {_text(wanted)}, and is {_text(num_bytes)} itself: more than {_text(most)}, which is "
        f"{MULTIPLE} times that and {_text(FLOOR)}, only on request; {advice(wanted)}"
    )


def frames_problem(wanted: int, num_bytes: int = 0) -> str:
    """The same of frames of ``wanted`` bytes, made of a recording of ``num_bytes`` where that is known."""
    most = allowed_frames(num_bytes)
    if wanted <= most:
        return ""
    return f"would take {_text(wanted)}: more than {_text(most)} only on request; {advice(wanted)}"


def member_problem(info: zipfile.ZipInfo) -> str:
    """What is wrong with a member of a zip archive, by its own size there; "" if nothing.

    Of other methods than deflate, Python unpacks a block at once, however large that becomes.
    """
    if info.compress_type not in _ZIP_METHODS:
        return f"is packed by method {info.compress_type} of zip; expected deflate: pack it again"
    return problem(info.file_size, info.compress_size)


def advice(wanted: int) -> str:
    """How to ask for so many bytes."""
    return f"if that is meant, set {VARIABLE}={_up(wanted)} and run again"


def _asked() -> int:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return 0
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)i?b?\s*", text, re.IGNORECASE | re.ASCII)
    if match is None:
        raise ValueError(f"{VARIABLE} is {text!r}; expected a number of bytes such as 8GB or 500MB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _text(num_bytes: int) -> str:
    value, unit = _scaled(num_bytes)
    return f"{value:.3g} {unit}"


def _up(num_bytes: int) -> str:
    """The same, rounded up, as the variable takes it."""
    value, unit = _scaled(num_bytes)
    return f"{int(value) + 1}{unit}"


def _scaled(num_bytes: int) -> tuple[float, str]:
    for unit in ("TB", "GB", "MB", "kB"):
        size = _UNITS[unit[0].lower()]
        if num_bytes >= size:
            return num_bytes / size, unit
    return num_bytes, "bytes"
