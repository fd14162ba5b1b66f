"""Event Stream, version 2: binary header, then bytes that hold the time since the event before.

Header: "Event Stream", three bytes of version, one of type, and for DVS and ATIS streams the width and the height,
16 bits each, little-endian. An event is five bytes: time since the one before in µs and flags, then x and y, 16 bits
each. In between, a byte with all bits of its time set adds such times (overflow) or, with flags 0, nothing (reset).
Polarity 1 = ON; y runs upwards from the bottom left. The clock starts at 0. Threshold crossings of an ATIS, which
measure its light, are no events.

Source: github.com/neuromorphic-paris/event_stream, version 2.0 of the specification.
"""

from __future__ import annotations

import numpy as np

from preprocessing.events import AS_IS, EVENT_DTYPE, Reading, Recording, RecordingError, address_words, make_recording
from preprocessing.readers.sensors import agreed

SIGNATURE = b"Event Stream"
SUFFIXES: tuple[str, ...] = (".es",)

_HEADER_BYTES = 20
_TYPES = ("generic", "DVS", "ATIS", "display", "color")
_NUM_FLAGS = {"DVS": 1, "ATIS": 2}
_EVENT_BYTES = 5


def recognises(data: bytes) -> bool:
    """Whether the file starts with "Event Stream"."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the events of a DVS or ATIS stream; threshold crossings are dropped and counted.

    Raises:
        RecordingError: another version or type of stream, no events, a cut event, an event outside the sensor, or
            another sensor than the header states.
    """
    num_flags = _NUM_FLAGS[_stream_type(data, source)]
    stated = int.from_bytes(data[16:18], "little"), int.from_bytes(data[18:20], "little")
    agreed(stated, sensor, source)

    from preprocessing.kernels.eventstream import polarity_events

    bytes_after_header = np.frombuffer(data, np.uint8, offset=_HEADER_BYTES)
    events = np.empty(0, EVENT_DTYPE)
    num_events, num_special, end = polarity_events(
        bytes_after_header, num_flags, stated[1], events["t"], address_words(events)
    )
    if end < len(bytes_after_header):
        raise RecordingError(
            f"{source}: cut in the middle of an event: {len(bytes_after_header) - end} of {_EVENT_BYTES} bytes at byte "
            f"{_HEADER_BYTES + end}, after {num_events + num_special} events"
        )
    events = np.empty(num_events, EVENT_DTYPE)
    polarity_events(bytes_after_header, num_flags, stated[1], events["t"], address_words(events))
    return make_recording(events, stated, "eventstream", source, num_special, how)


def _stream_type(data: bytes, source: str) -> str:
    """Name of the stream's type, one of those that can be read; checks the header."""
    if not recognises(data):
        raise RecordingError(f"{source}: not an Event Stream, it starts with {data[:16]!r}")
    if len(data) < _HEADER_BYTES:
        raise RecordingError(f"{source}: cut in its header: {len(data)} of {_HEADER_BYTES} bytes; it holds no events")
    if data[12] != 2:
        version = ".".join(str(number) for number in data[12:15])
        raise RecordingError(f"{source}: this is Event Stream {version}; only version 2 can be read")
    name = _TYPES[data[15]] if data[15] < len(_TYPES) else f"type {data[15]}"
    if name not in _NUM_FLAGS:
        raise RecordingError(f"{source}: a stream of {name} events; only DVS and ATIS streams can be read")
    return name
