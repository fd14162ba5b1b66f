"""Live events as bytes of a recording's format: from a pipe, a growing file, or a server over TCP.

The first bytes tell which: RAW of a Prophesee camera (EVT 2.0, 2.1 and 3.0, behind their text header), AEDAT-4.0 of an
iniVation camera, or AEDAT-2.0. What dv-processing's ``NetworkWriter`` sends is AEDAT-4.0 without the signature.

Source: the readers of these formats; of the network, the bytes that dv-processing 2.0 sends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain

import numpy as np

from deploy.running.sources import AddressDecoder, LostError, Received, aedat_packets, parse_address
from preprocessing.events import EVENT_DTYPE, Events
from preprocessing.readers import aedat4, evt, flatbuffer, prophesee

TCP_PORT = 7777
"""Of dv-processing's examples."""

_TOLD_BY = 14  # bytes
_MOST_HEADER_BYTES = 1 << 20
_MOST_PACKET_BYTES = 1 << 24
_MOST_BYTES = 1 << 16
_CONNECT_S = 10.0


def packets_of(parts: Iterable[bytes], sensor: tuple[int, int], received: Received, source: str) -> Iterator[Events]:
    """Events of a byte stream, however it is cut, in the format that its first bytes tell.

    Args:
        parts: the stream.
        sensor: (width, height) of the model's camera, px.
        received: is told what came; what cannot be an event is dropped and counted.
        source: name for messages.

    Raises:
        ValueError: a header that is damaged, or of another camera or version.
        LostError: a packet that is damaged, behind which nothing can be found.
    """
    waiting = iter(parts)
    head = b""
    for part in waiting:
        head += part
        if len(head) >= _TOLD_BY:
            break
    whole = chain([head] if head else [], waiting)
    if head.startswith(aedat4.SIGNATURE) or head[8:12] == b"IOHE":
        yield from _dv_packets(whole, sensor, received, source)
    elif head.startswith(b"% "):
        yield from _raw_packets(whole, sensor, received, source)
    else:
        yield from aedat_packets(whole, AddressDecoder(sensor, received), source)


def _raw_packets(parts: Iterable[bytes], sensor: tuple[int, int], received: Received, source: str) -> Iterator[Events]:
    waiting, decoder, word_bytes = b"", None, 1
    for part in parts:
        waiting += part
        if decoder is None:
            start = prophesee.start_of_words(waiting)
            if start is None:
                continue
            encoding = evt.encoding_of(waiting[:start], source)
            _check_sensor(encoding.sensor, sensor, source)
            decoder, word_bytes = evt.Decoder(encoding), encoding.word_bytes
            waiting = waiting[start:]
        whole = len(waiting) // word_bytes * word_bytes
        events, num_special = decoder.decode(waiting[:whole])
        received.num_special += num_special
        waiting = waiting[whole:]
        yield _inside(events, sensor, received)
    received.num_malformed += bool(waiting)


def _dv_packets(parts: Iterable[bytes], sensor: tuple[int, int], received: Received, source: str) -> Iterator[Events]:
    waiting, decoder = b"", None
    for part in parts:
        waiting += part
        if decoder is None:
            length = _header_bytes(waiting)
            if length is None or length > len(waiting):
                _check_length(max(length or 0, len(waiting)), source)
                continue
            decoder = _DvDecoder(waiting[:length], sensor, received, source)
            waiting = waiting[length:]
        for events, length in decoder.decode(waiting):
            yield events
            waiting = waiting[length:]
    received.num_malformed += bool(waiting)


def _header_bytes(data: bytes) -> int | None:
    """Bytes of the signature, if it is there, and the header; None where its size has not come yet."""
    start = aedat4.SIGNATURE_BYTES if data.startswith(aedat4.SIGNATURE) else 0
    return start + 4 + flatbuffer.number(data, flatbuffer.U32, start) if len(data) >= start + 4 else None


class _DvDecoder:
    """Packets of AEDAT-4.0 to events.

    Args:
        header: all bytes before the first packet.
        sensor, received, source: as of ``packets_of``.
    """

    def __init__(self, header: bytes, sensor: tuple[int, int], received: Received, source: str) -> None:
        signature_bytes = aedat4.SIGNATURE_BYTES if header.startswith(aedat4.SIGNATURE) else 0
        self._header = aedat4.read_header(header, source, signature_bytes)
        self._end = _end(header, signature_bytes)
        self._wanted = aedat4.stream_of_events(self._header, source)
        _check_sensor(self._header.sensors.get(self._wanted), sensor, source)
        self._decompress = aedat4.decompressor(self._header.compression, source)
        self._sensor, self._received = sensor, received
        self._at, self._number = len(header), 0

    def decode(self, data: bytes) -> Iterator[tuple[Events, int]]:
        """The events of each packet that is whole, and its bytes; of what stands behind the packets none."""
        start = 0
        while self._end is None or self._at < self._end:
            if len(data) - start < aedat4.PACKET.size:
                return
            stream, size = aedat4.PACKET.unpack_from(data, start)
            if stream not in self._header.kinds or not 0 <= size <= _MOST_PACKET_BYTES:
                raise LostError(f"packet {self._number} is of stream {stream} and {size} bytes; the stream is damaged")
            length = aedat4.PACKET.size + size
            if len(data) - start < length:
                return
            yield self._events(stream, data[start + aedat4.PACKET.size : start + length]), length
            start, self._at, self._number = start + length, self._at + length, self._number + 1
        yield np.empty(0, EVENT_DTYPE), len(data) - start

    def _events(self, stream: int, body: bytes) -> Events:
        try:
            items, count = aedat4.items_of(body, self._header.kinds[stream], self._decompress)
        except ValueError as error:
            raise LostError(f"packet {self._number}, {error}; the stream is damaged") from error
        if stream != self._wanted:
            self._received.num_special += count
            return np.empty(0, EVENT_DTYPE)
        events = np.empty(count, EVENT_DTYPE)
        aedat4.events_of(items, events)
        return _inside(events, self._sensor, self._received)


def _end(header: bytes, signature_bytes: int) -> int | None:
    """The byte of a file where its packets end; None where there is no end to them."""
    buffer = header[signature_bytes:]
    end = flatbuffer.integer(buffer, flatbuffer.root(buffer, b"IOHE"), 1, flatbuffer.I64, default=-1)
    return None if end < 0 else end


def _inside(events: Events, sensor: tuple[int, int], received: Received) -> Events:
    t = events["t"]
    inside = (events["x"] < sensor[0]) & (events["y"] < sensor[1]) & (t >= 0) & (t < 1 << 62)
    kept = events if inside.all() else events[inside]
    received.num_events += len(kept)
    received.num_malformed += len(events) - len(kept)
    return kept


def _check_sensor(stated: tuple[int, int] | None, sensor: tuple[int, int], source: str) -> None:
    if stated and stated != sensor:
        raise ValueError(
            f"{source}: sends events of a {stated[0]}×{stated[1]} sensor, the model is for {sensor[0]}×{sensor[1]}"
        )


def _check_length(header_bytes: int, source: str) -> None:
    if header_bytes > _MOST_HEADER_BYTES:
        raise ValueError(
            f"{source}: its header takes {header_bytes} bytes or more, at most {_MOST_HEADER_BYTES} are read"
        )


def parse_tcp(text: str) -> tuple[str, int] | None:
    """Host and port of ``tcp://127.0.0.1:7777``; None for a text that does not begin so.

    Raises:
        ValueError: for one that does, without a port from 0 to 65535.
    """
    return parse_address(text, "tcp", TCP_PORT)


def open_tcp(host: str, port: int) -> socket.socket:
    """A connection to a server there.

    Raises:
        OSError: if there is none; the message names it.
    """
    try:
        return socket.create_connection((host, port), _CONNECT_S)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"cannot connect to tcp://{host}:{port} ({reason}): does a server send events there?") from error


def received_bytes(connection: socket.socket, received: Received, idle_s: float | None = None) -> Iterator[bytes]:
    """Bytes of a connection as they come, until the server ends it or none come for ``idle_s`` seconds.

    The connection is closed in the end.

    Raises:
        LostError: where it breaks off.
    """
    connection.settimeout(idle_s)
    with closing(connection):
        while True:
            try:
                data = connection.recv(_MOST_BYTES)
            except TimeoutError:
                received.ended = f"nothing came for {idle_s:g} s"
                return
            except OSError as error:
                raise LostError(f"the connection broke off ({error.strerror or error})") from error
            if not data:
                received.ended = "the server closed the connection"
                return
            yield data
