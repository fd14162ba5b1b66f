"""AEDAT-3.1, the format of cAER (DVS128 Gesture is in it): text header, then packets of events, little-endian.

A packet's header is 28 bytes: kind of events and source (16 bits each), then 32-bit words: bytes per event, where
in an event its time stands, how often the time has overflown 2³¹ µs, events that there is room for (all of it is in
the file), number of events, number of valid ones. A polarity event (kind 1) is two words: bit 0 valid, bit 1
polarity (1 = ON), y (15 bits), x (15 bits); and the time in µs. The origin is the top left, as ours.

Events of other kinds, of a second camera, and those marked as invalid are dropped and counted.

Sources: docs.inivation.com, "AEDAT 3.1"; libcaer's ``events/common.h`` and ``events/polarity.h``.
"""

from __future__ import annotations

import re
import struct

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import (
    AS_IS,
    EVENT_DTYPE,
    Events,
    Reading,
    Recording,
    RecordingError,
    check_events,
    make_recording,
)
from preprocessing.readers import aedat
from preprocessing.readers.sensors import agreed, attributed, smallest

SIGNATURE = aedat.SIGNATURE + b"3.1"
SUFFIXES: tuple[str, ...] = (".aedat",)

_END = b"#!END-HEADER"
_HEADER = re.compile(rb"(?:(?!%b)#%b\n)*%b\r?\n" % (_END, aedat.TEXT, _END))
_SOURCE = re.compile(rb"^#-?Source (\d{1,5}): *([^\r\n]*)", re.MULTILINE)  # with a minus: of the file that this copies
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")  # not of the standard: ours, for sensors without a name
_PACKET = struct.Struct("<hhiiiiii")
_PACKET_EVENTS = 1 << 13
_DEVICES = {(128, 128): "DVS128", (240, 180): "DAVIS240C", (346, 260): "DAVIS346B", (640, 480): "DAVIS640"}


def recognises(data: bytes) -> bool:
    """Whether the file says that it is AEDAT-3.1."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the bytes of an AEDAT-3.1 file.

    The sensor is that of the camera in the header, else ``sensor``, else the smallest of ``aedat.SENSORS`` that
    holds all events.

    Raises:
        RecordingError: a damaged header or packet, a cut packet, no events, an event outside the sensor, or time
            running backwards.
    """
    from preprocessing.kernels.aedat31 import measure, polarity

    start = _end_of_header(data, source)
    packets = np.frombuffer(data, np.uint8)
    end, num_events, num_other, camera = measure(packets, start)
    if end != len(data):
        raise RecordingError(f"{source}: {_what_is_wrong(data, end)}; {num_events} events came before")
    stated = _sensor(data[:start], camera)
    known = agreed(stated, sensor, source)
    events = np.empty(num_events, EVENT_DTYPE)
    num_valid = polarity(packets, start, camera, events["t"], events["x"], events["y"], events["p"])
    num_special = num_other + num_events - num_valid
    if num_valid == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} of other kinds or invalid")
    events = events[:num_valid]
    taken = known or smallest(events, aedat.SENSORS, source, how)
    return attributed(make_recording(events, taken, "aedat31", source, num_special, how), stated, sensor)


def encode(events: Events, sensor: tuple[int, int]) -> bytes:
    """Write events ``[N]`` of a (width, height) sensor as an AEDAT-3.1 file.

    Raises:
        ValueError: an event outside the sensor, a sensor beyond 2¹⁵ px, or times that decrease or leave [0, 2⁶²) µs.
    """
    check_events(events, sensor, "cannot write AEDAT-3.1")
    if max(sensor) > 1 << 15:
        raise ValueError(f"AEDAT-3.1 holds sensors up to 32768 px, got {sensor[0]}×{sensor[1]}")
    if events["t"][0] < 0 or events["t"][-1] >= 1 << 62:
        first, last = int(events["t"][0]), int(events["t"][-1])
        raise ValueError(f"AEDAT-3.1 holds times in [0, 2**62) µs, got {first} to {last}; shift them first")
    words = np.empty((len(events), 2), "<u4")
    words[:, 0] = (
        events["x"].astype(np.uint32) << 17
        | events["y"].astype(np.uint32) << 2
        | events["p"].astype(np.uint32) << 1
        | 1
    )
    words[:, 1] = events["t"] & 0x7FFFFFFF
    overflow = events["t"] >> 31
    cuts = np.union1d(np.flatnonzero(np.diff(overflow)) + 1, np.arange(0, len(events), _PACKET_EVENTS))
    packets = [_packet(words[a:b], int(overflow[a])) for a, b in zip(cuts, [*cuts[1:], len(events)], strict=True)]
    return _header(sensor) + b"".join(packets)


def _packet(words: NDArray[np.uint32], overflow: int) -> bytes:
    count = len(words)
    return _PACKET.pack(1, 1, 8, 4, overflow, count, count, count) + words.tobytes()


def _header(sensor: tuple[int, int]) -> bytes:
    lines = (
        "!AER-DAT3.1",
        "Format: RAW",
        f"Source 1: {_DEVICES.get(sensor, f'{sensor[0]}x{sensor[1]}')}",
        "Start-Time: 1970-01-01 00:00:00 (TZ+0000)",
        "!END-HEADER",
    )
    return "".join(f"#{line}\r\n" for line in lines).encode()


def _end_of_header(data: bytes, source: str) -> int:
    """Offset of the first packet."""
    header = _HEADER.match(data)
    if header is None:
        raise RecordingError(
            f"{source}: the header has no end; expected lines that start with '#' up to {_END.decode()}"
        )
    return header.end()


def _sensor(header: bytes, source_id: int) -> tuple[int, int] | None:
    """The sensor of the camera with that number, else of the first camera that the header names."""
    lines = [(int(number), name.decode("utf-8", "replace").strip()) for number, name in _SOURCE.findall(header)]
    for _, name in sorted(lines, key=lambda line: line[0] != source_id):
        camera = aedat.camera_named(name)
        if camera:
            return camera.sensor
        size = _SIZE.fullmatch(name)
        if size:
            return int(size[1]), int(size[2])
    return None


def _what_is_wrong(data: bytes, at: int) -> str:
    """Why there can be no packet at byte ``at``."""
    left = len(data) - at
    if left < _PACKET.size:
        return f"the packet at byte {at} is cut: {left} of {_PACKET.size} bytes of its header"
    kind, _, size, _, overflow, capacity, number, _ = _PACKET.unpack_from(data, at)
    body = capacity * size
    if capacity >= number >= 0 and size > 0 and body > left - _PACKET.size and (kind != 1 or size == 8):
        return f"the packet at byte {at} is cut or damaged: it announces {body} bytes, {left - _PACKET.size} are there"
    return (
        f"the packet at byte {at} is damaged: it says kind {kind}, {number} events of {size} bytes in "
        f"room for {capacity}, {overflow} overflows of the time"
    )
