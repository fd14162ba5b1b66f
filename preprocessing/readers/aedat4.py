"""AEDAT-4.0, the format of iniVation's DV: packets of several streams, compressed, each a FlatBuffer.

Behind the signature stands a FlatBuffer with the compression, the byte where the packets end (−1 if nobody knows)
and an XML text on the streams. A packet is the number of its stream, its size, and as many bytes. An event of a
packet has 16 bytes: time in µs since 1970, x, y, and whether it is ON; the origin is the top left, as ours.

The events of the first event stream are read. Events of other event streams, motion samples, triggers and frames
are dropped and counted; of streams of other kinds, the packets are.

Source: docs.inivation.com, "AEDAT 4.0", and the schemas of dv-processing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from preprocessing.events import AS_IS, EVENT_DTYPE, Events, Reading, Recording, RecordingError, make_recording
from preprocessing.readers import aedat, compression, flatbuffer
from preprocessing.readers.sensors import agreed, attributed, smallest

SIGNATURE = aedat.SIGNATURE + b"4.0"
SUFFIXES: tuple[str, ...] = (".aedat4",)

SIGNATURE_BYTES = len(SIGNATURE) + len("\r\n")
"""What stands before the header of a file."""

PACKET = struct.Struct("<ii")
"""The head of a packet: the number of its stream, and its size."""

EVENT_BYTES = 16

_ITEM_BYTES = {"EVTS": EVENT_BYTES, "IMUS": 4, "TRIG": 4}
"""What an item of a packet takes in its vector, by the kind of stream; a packet of another kind is one item."""


@dataclass(frozen=True)
class Header:
    """Where the packets start and end, how they are compressed, and of each stream its kind and sensor."""

    start: int
    end: int
    compression: int
    kinds: dict[int, str]
    sensors: dict[int, tuple[int, int]]


def recognises(data: bytes) -> bool:
    """Whether the file says that it is AEDAT-4.0."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the bytes of an AEDAT-4.0 file; where it is compressed, this needs the extra ``aedat4``.

    The sensor is that of the header, else ``sensor``, else the smallest of ``aedat.SENSORS`` that holds all events.

    Raises:
        RecordingError: a damaged header or packet, a cut packet, a missing library, no events, an event outside the
            sensor, or time running backwards.
    """
    header = read_header(data, source)
    wanted = stream_of_events(header, source)
    stated = header.sensors.get(wanted)
    known = agreed(stated, sensor, source)
    events, num_special = _decode_packets(data, header, wanted, source)
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} other records")
    first, last = int(events["t"].min()), int(events["t"].max())
    if first < 0 or last >= 1 << 62:
        raise RecordingError(f"{source}: has times from {first} to {last} µs; the file is damaged")
    taken = known or smallest(events, aedat.SENSORS, source, how)
    return attributed(make_recording(events, taken, "aedat4", source, num_special, how), stated, sensor)


def stream_of_events(header: Header, source: str) -> int:
    """The number of the stream that is read.

    Raises:
        RecordingError: there is none.
    """
    wanted = min((stream for stream, kind in header.kinds.items() if kind == "EVTS"), default=None)
    if wanted is None:
        kinds = ", ".join(sorted(set(header.kinds.values()))) or "none"
        raise RecordingError(f"{source}: has no stream of events; the kinds of its streams are: {kinds}")
    return wanted


def _decode_packets(data: bytes, header: Header, wanted: int, source: str) -> tuple[Events, int]:
    """The events of the stream ``wanted``, and the number of items in the others."""
    events = np.empty(0, EVENT_DTYPE)
    num_events = num_special = 0
    for stream, items, count in _packets(data, header, source):
        if stream != wanted:
            num_special += count
            continue
        if num_events + count > len(events):
            events.resize(max(num_events + count, len(events) * 5 // 4), refcheck=False)  # no copy, where it is large
        events_of(items, events[num_events : num_events + count])
        num_events += count
    events.resize(num_events, refcheck=False)
    return events, num_special


def _packets(data: bytes, header: Header, source: str) -> Iterator[tuple[int, bytes, int]]:
    """Of each packet the stream, the bytes of its items and their number."""
    decompress = decompressor(header.compression, source)
    at, number = header.start, 0
    while at < min(header.end, len(data)):
        try:
            stream, body = _packet(data, at, header)
            kind = header.kinds[stream]
            yield stream, *items_of(body, kind, decompress)
        except ValueError as error:
            raise RecordingError(f"{source}: packet {number}, at byte {at}, {error}") from error
        at, number = at + PACKET.size + len(body), number + 1
    if header.end > len(data):
        raise RecordingError(
            f"{source}: cut at byte {len(data)}, after {number} packets; the header says that they end at {header.end}"
        )


def _packet(data: bytes, at: int, header: Header) -> tuple[int, bytes]:
    """The stream and the content of the packet at byte ``at``.

    Raises:
        ValueError: it is cut, or of no stream that the header names.
    """
    left = min(header.end, len(data)) - at - PACKET.size
    if left < 0:
        raise ValueError(f"is cut: {left + PACKET.size} of {PACKET.size} bytes of its head")
    stream, size = PACKET.unpack_from(data, at)
    if stream not in header.kinds:
        raise ValueError(f"is of stream {stream}, which the header doesn't name; the file is damaged")
    if not 0 <= size <= left:
        raise ValueError(f"is cut or damaged: it announces {size} bytes, {left} are there")
    return stream, data[at + PACKET.size : at + PACKET.size + size]


def items_of(body: bytes, kind: str, decompress: compression.Decompress) -> tuple[bytes, int]:
    """The bytes of the items in the content of a packet, and their number; of one of unknown kind none, and 1.

    Raises:
        ValueError: it is of another kind, or damaged.
    """
    if kind not in _ITEM_BYTES:
        return b"", 1
    packet = decompress(body)
    table = flatbuffer.root(packet, kind.encode())
    start, count = flatbuffer.vector(packet, table, 0, _ITEM_BYTES[kind])
    return packet[start : start + count * _ITEM_BYTES[kind]], count


def events_of(items: bytes, events: Events) -> None:
    """Decode the items of a packet of events into ``events``, which has room for them and no more."""
    from preprocessing.kernels.decode import aedat4

    aedat4(np.frombuffer(items, "<u8"), events["t"], events["x"], events["y"], events["p"])


def decompressor(code: int, source: str) -> compression.Decompress:
    """What undoes the compression of that number in the header.

    Raises:
        RecordingError: an unknown one, or one whose library is missing.
    """
    if code == 0:
        return bytes
    if code in (1, 2):  # 2: tried harder, likewise 4
        return compression.lz4(source)
    if code in (3, 4):
        return compression.zstd(source)
    raise RecordingError(f"{source}: the header gives the compression as {code}; expected 0 to 4")


def read_header(data: bytes, source: str, signature_bytes: int = SIGNATURE_BYTES) -> Header:
    """The header behind the signature, which a stream from a network has not.

    Raises:
        RecordingError: it is cut or damaged.
    """
    try:
        size = flatbuffer.number(data, flatbuffer.U32, signature_bytes)
        start = signature_bytes + 4 + size
        if start > len(data):
            raise ValueError(f"it announces {size} bytes of {len(data) - start + size} there")
        buffer = data[signature_bytes:start]
        table = flatbuffer.root(buffer, b"IOHE")
        code = flatbuffer.integer(buffer, table, 0, flatbuffer.I32, default=0)
        end = flatbuffer.integer(buffer, table, 1, flatbuffer.I64, default=-1)
        if end != -1 and end < start:
            raise ValueError(f"it says that the packets end at byte {end}, but they start at {start}")
        text, length = flatbuffer.vector(buffer, table, 2, 1)
        kinds, sensors = _streams(buffer[text : text + length].decode("utf-8", "replace"))
    except ValueError as error:
        raise RecordingError(f"{source}: the header is cut or damaged: {error}") from error
    return Header(start, len(data) if end == -1 else end, code, kinds, sensors)


def _streams(description: str) -> tuple[dict[int, str], dict[int, tuple[int, int]]]:
    """Of each stream that the XML text describes, its kind (four letters) and, where it says so, its sensor.

    Raises:
        ValueError: it can't be understood.
    """
    if "<!" in description:  # a document type, whose entities could grow without bound
        raise ValueError("its XML text has declarations")
    try:
        tree = ElementTree.fromstring(description)
    except ElementTree.ParseError as error:
        raise ValueError(f"its XML text: {error}") from error
    kinds, sensors = {}, {}
    for node in tree.iterfind(".//node[@name='outInfo']/node"):
        stream = _integer(node.get("name"))
        kinds[stream] = node.findtext("attr[@key='typeIdentifier']", "")
        size = [node.findtext(f"node[@name='info']/attr[@key='size{axis}']") for axis in "XY"]
        if None not in size:
            sensors[stream] = _integer(size[0]), _integer(size[1])
    return kinds, sensors


def _integer(text: str | None) -> int:
    if not re.fullmatch("[0-9]{1,6}", text or ""):
        raise ValueError(f"its XML text has {text!r} where a number was expected")
    return int(text or "")
