"""What the versions of AEDAT share: the signature, jAER's text header, and the cameras and their names.

Sources: docs.inivation.com, "AEDAT File Formats"; jAER's chip classes (``eu.seebetter.ini.chips``); libcaer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SIGNATURE = b"#!AER-DAT"
"""The start of every version's first line; the version follows."""

READABLE = "AEDAT-1.0, 2.0, 3.1 and 4.0"

TEXT = rb"[^\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]*"
"""Pattern of a line of text: tab, carriage return, and from the blank on."""


@dataclass(frozen=True)
class Camera:
    """A camera: what its addresses look like in AEDAT-2.0, and its sensor, (width, height) in px."""

    layout: Literal["DVS128", "DAVIS"]
    sensor: tuple[int, int]


DVS128 = Camera("DVS128", (128, 128))
DAVIS240 = Camera("DAVIS", (240, 180))
DAVIS346 = Camera("DAVIS", (346, 260))
DAVIS640 = Camera("DAVIS", (640, 480))

_NAMES = (
    (r"(DVS|Tmpdiff)128", DVS128),  # the same camera; the second is jAER's older name for it
    (r"DAVIS128(Color)?", Camera("DAVIS", (128, 128))),
    (r"DAVIS240[ABC]?|DVS240|SBret10", DAVIS240),
    (r"DAVIS346([ABC]|cBSI|mini|red|blue|Zynq)?(Color)?", DAVIS346),
    (r"DAVIS640(Color)?", DAVIS640),
)
CAMERAS = "DVS128, DAVIS128, DAVIS240, DAVIS346 and DAVIS640"
"""Those of ``camera_named``, for messages."""

SENSORS = tuple(camera.sensor for camera in (DVS128, DAVIS240, DAVIS346, DAVIS640))
"""Sensors to choose from where a file doesn't say, the smallest first."""

_LAST = b"#End Of ASCII Header"
_HEADER = re.compile(rb"(?:(?!%b)#%b(?:\n|\Z))*(?:%b%b(?:\n|\Z))?" % (_LAST, TEXT, _LAST, TEXT))


def camera_named(name: str) -> Camera | None:
    """The camera of that name (jAER's class or libcaer's device), None for one whose events we can't tell."""
    return next((camera for names, camera in _NAMES if re.fullmatch(names, name, re.IGNORECASE)), None)


def end_of_header(data: bytes) -> int:
    """Offset of the first record of jAER's versions (1.0 and 2.0): behind the last ``#`` line of text.

    A record can start with ``#`` (0x23) as well; the control bytes in it tell it from a header line. First records that
    start so and are text throughout, of which 1.0 has some, nothing tells apart.
    """
    header = _HEADER.match(data)
    return header.end() if header else 0
