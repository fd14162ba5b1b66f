"""Messages of ROS that hold events, as they are serialised.

ROS 1 writes fields one behind the other, little-endian; ROS 2 writes CDR: four bytes that tell the byte order, then
fields at multiples of their size from there on. Both prefix texts and arrays with their length (uint32).

Sources: wiki.ros.org, "ROS/Connection Header" and "msg"; OMG, "DDS-XTypes 1.3", section 7.4; the ``.msg`` files of
github.com/uzh-rpg/rpg_dvs_ros, prophesee-ai/prophesee_ros_wrapper and ros-event-camera/event_camera_msgs, whose README
describes the encodings of its packets.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from preprocessing.events import EVENT_DTYPE, Events, RecordingError, make_events
from preprocessing.readers.sensors import Sensor

_ARRAY_MD5 = "5e8beee5a6c107e504c2e78903c224b8"
_PACKET = "event_camera_msgs/msg/EventPacket"
MD5_OF = {
    "dvs_msgs/msg/EventArray": _ARRAY_MD5,
    "prophesee_event_msgs/msg/EventArray": _ARRAY_MD5,
    _PACKET: "8a6101b351a64529ac77bd8b71074e52",
}
"""Types of messages that hold events, and how ROS 1 calls the version of the definition that is read here."""

_CDR_ORDERS = {b"\x00\x00": ">", b"\x00\x01": "<"}
_ROS1_EVENT, _CDR_EVENT = 13, 16  # bytes from one event to the next; in both, the last one ends behind 13
_MAX_PADDING = 7  # bytes that ROS 2 may leave behind a message


class Message(NamedTuple):
    """What a message says: the sensor (None where it says 0×0), events, and words of EVT 3.0."""

    sensor: Sensor | None
    events: Events
    evt3: bytes = b""


def decode(data: bytes, kind: str, cdr: bool, what: str) -> Message:
    """Decode a message of type ``kind`` (a key of ``MD5_OF``), of ROS 2 if ``cdr``; ``what`` names it in errors.

    Raises:
        RecordingError: it is cut or damaged, or its encoding is not read here.
    """
    try:
        fields = _Fields(data, cdr)
        sensor = _header(fields)
        return (_packet if kind == _PACKET else _array)(fields, sensor)
    except (struct.error, ValueError) as error:
        raise RecordingError(f"{what} cannot be read: {error}") from error


class _Fields:
    """Takes a message apart, field by field."""

    def __init__(self, data: bytes, cdr: bool) -> None:
        self.data, self.cdr = data, cdr
        self.at = 4 if cdr else 0
        if cdr and data[:2] not in _CDR_ORDERS:
            raise ValueError(f"serialised as {data[:2].hex()}, expected CDR: 0000 or 0001")
        self.order = _CDR_ORDERS[data[:2]] if cdr else "<"

    def number(self, kind: str) -> int:
        """The next number, of a type as in ``struct``."""
        size = struct.calcsize(kind)
        if self.cdr:
            self.at += (4 - self.at) % size
        (value,) = struct.unpack_from(self.order + kind, self.data, self.at)
        self.at += size
        return int(value)

    def text(self) -> bytes:
        """The next text or array of bytes."""
        length = self.number("I")
        if length > len(self.data) - self.at:
            raise ValueError(f"announces {length} bytes, but holds {len(self.data) - self.at}")
        self.at += length
        return self.data[self.at - length : self.at]


def _header(fields: _Fields) -> Sensor | None:
    """What all types begin with: a header, which is passed over, then height and width."""
    for kind in "II" if fields.cdr else "III":  # a number in ROS 1, and the time
        fields.number(kind)
    fields.text()
    height, width = fields.number("I"), fields.number("I")
    if max(width, height) > 1 << 16:
        raise ValueError(f"states a sensor of {width}×{height}")
    return (width, height) if width and height else None


def _array(fields: _Fields, sensor: Sensor | None) -> Message:
    """Events one by one: x, y, time in s and ns, polarity."""
    num_events = fields.number("I")
    there = len(fields.data) - fields.at
    step = _CDR_EVENT if fields.cdr else _ROS1_EVENT
    needed = step * (num_events - 1) + _ROS1_EVENT if num_events else 0
    if not needed <= there <= needed + (_MAX_PADDING if fields.cdr else 0):
        raise ValueError(f"announces {num_events} events, but holds {there} bytes of them")
    events = np.empty(num_events, EVENT_DTYPE)
    if num_events == 0:
        return Message(sensor, events)
    records = _records(fields, num_events)
    if records["ns"].max() >= 1_000_000_000 or records["p"].max() > 1:
        raise ValueError("holds a time with more than 10^9 ns, or a polarity beyond 1")
    events["t"] = records["s"].astype(np.int64) * 1_000_000 + records["ns"] // 1000
    events["x"], events["y"], events["p"] = records["x"], records["y"], records["p"]
    if fields.cdr:  # there is no gap behind x and y of the first one
        events["x"][0], events["y"][0] = struct.unpack_from(fields.order + "HH", fields.data, fields.at)
    return Message(sensor, events)


def _records(fields: _Fields, num_events: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """The events of an array as they lie there; in CDR all but the first have two bytes between y and the time."""
    order, gap = fields.order, 2 if fields.cdr else 0
    layout = np.dtype(
        {
            "names": ["x", "y", "s", "ns", "p"],
            "formats": [order + kind for kind in ("u2", "u2", "i4" if fields.cdr else "u4", "u4", "u1")],
            "offsets": [0, 2, 4 + gap, 8 + gap, 12 + gap],
        }
    )
    return np.ndarray((num_events,), layout, fields.data, fields.at - gap, (_CDR_EVENT if fields.cdr else _ROS1_EVENT,))


def _packet(fields: _Fields, sensor: Sensor | None) -> Message:
    """Events packed by a driver, in the encoding that the packet names."""
    fields.number("Q")  # of the packet
    time_base = fields.number("Q")
    encoding = fields.text().rstrip(b"\0").decode("utf-8", "replace")
    order = ">" if fields.number("B") else "<"
    packed = fields.text()
    if encoding == "evt3" and order == "<":
        return Message(sensor, np.empty(0, EVENT_DTYPE), packed)
    if encoding != "mono" or time_base >= 1 << 63:
        raise ValueError(
            f"its encoding is {encoding!r}, time base {time_base}, byte order {order}; only 'mono' and little-endian "
            "'evt3' can be read: convert the topic to dvs_msgs/EventArray with the republish node of event_camera_tools"
        )
    words = np.frombuffer(packed, order + "u8").astype(np.uint64)
    time = (np.uint64(time_base) + (words & np.uint64(0xFFFFFFFF))) // np.uint64(1000)
    x, y = words >> np.uint64(32) & np.uint64(0xFFFF), words >> np.uint64(48) & np.uint64(0x7FFF)
    return Message(sensor, make_events(time, x, y, words >> np.uint64(63)))
