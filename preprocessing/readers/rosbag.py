"""Events in bags of ROS 1 (``.bag``) and ROS 2 (a folder with ``metadata.yaml``, or its one ``.db3`` or ``.mcap``).

Messages of the types ``dvs_msgs/EventArray``, ``prophesee_event_msgs/EventArray`` and ``event_camera_msgs/EventPacket``
(``mono`` and ``evt3``) are read, all others left alone. A bag may hold events on one topic only.

The origin is top left, polarity 1 = ON. Times are those of the messages, cut to µs: since 1970 in an EventArray, the
camera's own in an EventPacket, whose EVT 3.0 makes one stream of all packets.

The library rosbags takes bags apart; the events are decoded in ``ros_messages``.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from preprocessing import apart
from preprocessing.events import AS_IS, EVENT_DTYPE, Events, Reading, Recording, RecordingError, make_recording
from preprocessing.readers import evt, ros_messages
from preprocessing.readers.columns import check_room
from preprocessing.readers.faults import damaged
from preprocessing.readers.sensors import USUAL, Sensor, agreed, attributed, smallest

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

SUFFIXES: tuple[str, ...] = (".bag", ".db3", ".mcap")

_SIGNATURES = {b"#ROSBAG V": ".bag", b"SQLite format 3\x00": ".db3", b"\x89MCAP0\r\n": ".mcap"}
_OF_DAMAGE = (OSError, LookupError, ValueError, EOFError, AssertionError, struct.error, apart.StoppedError)
_MOST_DESCRIPTION = 1 << 16  # bytes of it in which it says what it is
_EVT3_HEADER = b"% evt 3.0\n% end\n"


def recognises(data: bytes) -> bool:
    """Whether the file is a bag of ROS 1, or of a kind in which ROS 2 keeps its bags."""
    return data.startswith(tuple(_SIGNATURES))


def is_folder_of_bag(path: Path) -> bool:
    """Whether a path is a bag of ROS 2: a folder whose ``metadata.yaml`` says so."""
    description = path / "metadata.yaml"
    if not description.is_file():
        return False
    with description.open("rb") as file:
        return b"rosbag2_bagfile_information" in file.read(_MOST_DESCRIPTION)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the events of a bag that is one file; rosbags wants a path, so that it goes through a temporary file.

    Raises:
        RecordingError: rosbags is not installed, no events, or on more than one topic, a damaged bag, an event outside
            the sensor, another sensor than the messages state, or time running backwards.
    """
    suffix = _suffix(data)
    if suffix is None:
        raise RecordingError(f"{source}: not a bag, it starts with {data[:16]!r}; expected one of ROS 1, .db3 or .mcap")
    with tempfile.TemporaryDirectory(prefix="evglif-") as folder:
        path = Path(folder, f"bag{suffix}")
        path.write_bytes(data)
        return _decode(path, len(data), source, sensor, how)


def decode_file(path: Path, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """The same of a file where it lies, which errors call ``source``."""
    with path.open("rb") as file:
        suffix = _suffix(file.read(16))
    if path.suffix != suffix or suffix == ".db3":  # it tells rosbags what it is; SQLite gets it as part of an address
        return decode(path.read_bytes(), source, sensor, how)
    return _decode(path, path.stat().st_size, source, sensor, how)


def decode_folder(
    path: Path, sensor: tuple[int, int] | None = None, source: str | None = None, how: Reading = AS_IS
) -> Recording:
    """Decode the events of a ROS 2 bag, a folder; errors call it ``source``, by default its path.

    Raises:
        RecordingError: as ``decode``.
    """
    num_bytes = sum(inside.stat().st_size for inside in path.iterdir() if inside.is_file())
    return _decode(path, num_bytes, source or str(path), sensor, how)


def _suffix(data: bytes) -> str | None:
    """The suffix of the kind of bag that starts so."""
    return next((suffix for signature, suffix in _SIGNATURES.items() if data.startswith(signature)), None)


def _decode(path: Path, num_bytes: int, source: str, sensor: Sensor | None, how: Reading) -> Recording:
    """Read a bag, by a process apart: it may hold a query without an end, or unpack to anything."""
    if find_spec("rosbags") is None:
        raise RecordingError(f"{source}: bags are read by the library rosbags: pip install 'evglif[ros]'")
    with tempfile.TemporaryDirectory(prefix="evglif-") as scratch, damaged(source, "a bag", _OF_DAMAGE):
        bounds = apart.Bounds.of(num_bytes)
        read = apart.call(read_bag, os.fspath(path.absolute()), num_bytes, source, scratch, bounds=bounds)
    return _recording(read, source, sensor, how)


class Read(NamedTuple):
    """What the messages of a bag hold together: events ``[N]``, or words of EVT 3.0; and the sensor that they state."""

    events: Events
    evt3: bytes
    sensor: Sensor | None


def read_bag(name: str, num_bytes: int, source: str, scratch: str) -> Read:
    """Read a bag of so many bytes; ``scratch`` is a folder for what rosbags unpacks.

    Raises:
        RecordingError: as ``decode``; ValueError for a damaged bag, and whatever else rosbags raises.
    """
    with apart.outside_bounds():
        from rosbags import rosbag1, rosbag2
    tempfile.tempdir = scratch
    path = Path(name)
    try:
        with rosbag1.Reader(path) if path.suffix == ".bag" and path.is_file() else rosbag2.Reader(path) as reader:
            messages = _messages(reader, isinstance(reader, rosbag2.Reader), source)
    except (rosbag1.ReaderError, rosbag2.ReaderError) as error:
        raise ValueError(str(error)) from error
    except Exception as error:
        if type(error).__module__.startswith("apsw"):  # of the library that rosbags reads SQLite with
            raise ValueError(f"as SQLite, {error}") from error
        raise
    finally:
        tempfile.tempdir = None
    return _together(messages, num_bytes, source)


def _messages(reader: Any, cdr: bool, source: str) -> list[ros_messages.Message]:
    """The messages that hold events, all of one topic."""
    connections = [connection for connection in reader.connections if connection.msgtype in ros_messages.MD5_OF]
    _check_types(connections, reader.connections, cdr, source)
    messages, topics, number = [], set(), 0
    for connection, _, data in reader.messages(connections):
        what = f"{source}: message {number} of events, on {connection.topic},"
        message = ros_messages.decode(data, connection.msgtype, cdr, what)
        number += 1
        if len(message.events) or message.evt3:
            messages.append(message)
            topics.add(connection.topic)
        if len(topics) > 1:
            raise RecordingError(_several(connections, source))
    announced = sum(connection.msgcount for connection in connections)
    if number != announced:
        raise RecordingError(f"{source}: announces {announced} messages of events, but holds {number}")
    return messages


def _check_types(connections: list[Connection], everything: list[Connection], cdr: bool, source: str) -> None:
    """Make sure that there are events, in the one version of their type that is read here."""
    if not connections:
        topics = ", ".join(sorted({f"{connection.topic} ({connection.msgtype})" for connection in everything})[:10])
        raise RecordingError(
            f"{source}: holds no topic of events, but {topics or 'nothing'}; expected one of "
            f"{', '.join(ros_messages.MD5_OF)}"
        )
    for connection in connections:
        expected = ros_messages.MD5_OF[connection.msgtype]
        if not cdr and connection.digest != expected:
            raise RecordingError(
                f"{source}: {connection.topic} holds another version of {connection.msgtype} (MD5 {connection.digest}, "
                f"expected {expected}); convert it with 'rosbag fix'"
            )


def _several(connections: list[Connection], source: str) -> str:
    topics = sorted({connection.topic for connection in connections})
    return (
        f"{source}: holds events on the topics {', '.join(topics)}; put one of them into a bag of its own: "
        f"rosbags-convert --src {Path(source).name} --dst one.bag --include-topic {topics[0]}"
    )


def _together(messages: list[ros_messages.Message], num_bytes: int, source: str) -> Read:
    """Put the messages together."""
    sensors = {message.sensor for message in messages if message.sensor}
    if len(sensors) > 1:
        raise RecordingError(f"{source}: messages state more than one sensor (width, height): {sorted(sensors)}")
    stream = b"".join(message.evt3 for message in messages)
    num_events = sum(len(message.events) for message in messages)
    check_room(num_events, num_bytes, source, len(stream))
    if stream and num_events:
        raise RecordingError(f"{source}: packets are in the encodings mono and evt3; expected one of them")
    events, start = apart.empty(num_events, EVENT_DTYPE), 0
    for message in messages:
        stop = start + len(message.events)
        events[start:stop] = message.events
        start = stop
    return Read(events, stream, sensors.pop() if sensors else None)


def _recording(read: Read, source: str, sensor: Sensor | None, how: Reading) -> Recording:
    known = agreed(read.sensor, sensor, source)
    if read.evt3:
        recording = evt.decode(_EVT3_HEADER + read.evt3, source, known, how)
        said_by = "file" if read.sensor else recording.sensor_from
        return dataclasses.replace(recording, format="rosbag", sensor_from=said_by)
    if not len(read.events):
        raise RecordingError(f"{source}: holds no events")
    taken = known or smallest(read.events, USUAL, source, how)
    recording = make_recording(read.events, taken, "rosbag", source, how=how)
    return attributed(recording, read.sensor, sensor)
