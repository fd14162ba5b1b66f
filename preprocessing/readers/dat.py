"""DAT, Prophesee's decoded events: text header, a byte for the type and one for the size, then 8-byte records.

A record is two little-endian 32-bit words: the time in µs, which wraps at 2³², then x (14 bits, lowest), y (14 bits)
and polarity (4 bits, 1 = ON). The origin is the top left, as ours. N-CARS and GEN1 come in this format; the header of
N-CARS doesn't give the size of the sensor.

Sources: docs.prophesee.ai, "DAT File Format"; ``dat_tools.py`` of OpenEB.
"""

from __future__ import annotations

import numpy as np

from preprocessing.events import (
    AS_IS,
    EVENT_DTYPE,
    Events,
    Reading,
    Recording,
    RecordingError,
    address_words,
    make_recording,
)
from preprocessing.readers import prophesee
from preprocessing.readers.lengths import check_length
from preprocessing.readers.sensors import agreed, attributed, smallest

SUFFIXES: tuple[str, ...] = (".dat",)
RECORD_BYTES = 8
SENSORS = ((120, 100), (304, 240), (640, 480), (1280, 720))
"""(width, height) of N-CARS, GEN1 (the ATIS), and of the third and fourth generation of sensors."""

_EVENT_TYPES = (0x00, 0x0C)  # 2D, and its successor CD: the same record
_OTHER_TYPES = {0x0E: "external triggers", 0x28: "optical flow"}


def recognises(data: bytes) -> bool:
    """Whether the header has a line that only DAT files have: what they contain, or the version."""
    fields, _ = prophesee.header(data)
    return "Version" in fields or fields.get("Data", "").startswith("file containing")


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode a DAT file; where neither it nor ``sensor`` tells, it is the smallest of ``SENSORS`` that holds all.

    Raises:
        RecordingError: another version or type of event, no events, a cut record, a polarity beyond 1, an event
            outside the sensor, another sensor than the header states, or time running backwards (other than the
            wrap of the clock at 2³² µs).
    """
    start, stated = body(data, source)
    known = agreed(stated, sensor, source)
    events, num_bad = _decode_records(data, start, source, how)
    taken = known or smallest(events, SENSORS, source, how)
    return attributed(make_recording(events, taken, "dat", source, 0, how, num_bad), stated, sensor)


def body(data: bytes, source: str) -> tuple[int, tuple[int, int] | None]:
    """Offset of the first record, and the (width, height) that the header states, if it does.

    Raises:
        RecordingError: not a DAT file of version 2 with events of a sensor in records of eight bytes, whole ones.
    """
    fields, end = prophesee.header(data)
    if not fields:
        raise RecordingError(
            f"{source}: not a DAT file, it starts with {data[:16]!r}; expected lines '% keyword value'"
        )
    if fields.get("Version", "2") != "2":
        raise RecordingError(f"{source}: this is DAT of version {fields['Version']}; only version 2 can be read")
    stated = None
    if "Width" in fields or "Height" in fields:
        stated = prophesee.size(fields.get("Width", ""), fields.get("Height", ""), source)
    start = end + 2
    _check_type(data[end:start], end, source)
    check_length(len(data), start, RECORD_BYTES, source)
    return start, stated


def _check_type(kind: bytes, at: int, source: str) -> None:
    if len(kind) < 2:
        raise RecordingError(f"{source}: ends with its header ({at + len(kind)} bytes), it holds no events")
    if kind[0] not in _EVENT_TYPES:
        name = _OTHER_TYPES.get(kind[0], "another type")
        raise RecordingError(f"{source}: holds {name} (type {kind[0]:#04x} at byte {at}), no events of a sensor")
    if kind[1] != RECORD_BYTES:
        raise RecordingError(f"{source}: records of {kind[1]} bytes (byte {at + 1}); expected {RECORD_BYTES}")


def _decode_records(data: bytes, start: int, source: str, how: Reading) -> tuple[Events, int]:
    """The events from byte ``start`` on, and the number of those whose polarity cannot be, which are dropped."""
    from preprocessing.kernels.prophesee import dat

    words = np.frombuffer(data, "<u4", offset=start)
    events = np.empty(len(words) // 2, EVENT_DTYPE)
    used_bits = dat(words, events["t"], address_words(events))
    if not used_bits >> 29:
        return events, 0
    polarity = words[1::2] >> 28
    bad = polarity > 1
    at, num_bad = int(bad.argmax()), int(np.count_nonzero(bad))
    where = f"event {at} (byte {start + at * RECORD_BYTES})"
    how.allow(num_bad, len(events), f"{source}: {where} has the polarity {polarity[at]}; expected 0 or 1")
    return events[~bad], num_bad
