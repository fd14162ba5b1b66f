"""Live events as jAER sends them: address and time, 32 bits each, big-endian, over UDP, a pipe or a growing file.

A datagram holds whole records, by default behind a sequence number of 32 bits by which lost datagrams are noticed. A
pipe or file holds AEDAT-2.0: records, perhaps behind the text header. The addresses are those of
``preprocessing.readers.aedat2``. What cannot be an event is dropped and counted, never an error: a network loses,
repeats and forges packets.

Source: jAER's ``AEUnicastInput``, ``AEUnicastOutput`` and ``AENetworkInterfaceConstants``.
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from time import monotonic, sleep

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events, make_events
from preprocessing.readers import aedat, aedat2

UDP_PORT = 8991
"""jAER's for datagrams."""

_RECORD_BYTES = aedat2.RECORD_BYTES
_MOST_BYTES = 1 << 16
_POLL_S = 0.05
_LONGEST_HEADER_LINE = 4096
_MOST_HEADER_BYTES = 1 << 20


@dataclass
class Received:
    """What has come in.

    Attributes:
        num_events: events of the sensor.
        num_special: records that are no events of the sensor: sync inputs, frames, motion.
        num_malformed: datagrams and records that cannot be: of another size, or with an address outside the sensor.
        num_lost: datagrams that the sequence numbers miss.
        ended: why nothing more came, in words; empty as long as something may.
    """

    num_events: int = 0
    num_special: int = 0
    num_malformed: int = 0
    num_lost: int = 0
    ended: str = ""

    def __str__(self) -> str:
        parts = [f"{self.num_events} events"]
        for num, what in (
            (self.num_special, "other records"),
            (self.num_malformed, "malformed packets or records dropped"),
            (self.num_lost, "packets lost"),
        ):
            parts += [f"{num} {what}"] if num else []
        return ", ".join(parts)


class LostError(OSError):
    """A source that ended in the middle: a file that is no more what it was, a camera, a connection.

    What came before stands.
    """


class AddressDecoder:
    """Records to events, with a clock that goes on where its 32 bits wrap.

    Args:
        sensor: (width, height) of the camera, px.
        received: what is counted from now on; by default from nothing.

    Attributes:
        received: what was counted.
        layout: how addresses are built, told by the sensor unless an AEDAT header tells it.

    Raises:
        ValueError: for a sensor of no camera whose addresses are known.
    """

    def __init__(self, sensor: tuple[int, int], received: Received | None = None) -> None:
        if sensor not in aedat.SENSORS:
            known = ", ".join("{}×{}".format(*each) for each in aedat.SENSORS)
            raise ValueError(f"live addresses are known of sensors {known}, the model is for {sensor[0]}×{sensor[1]}")
        self.sensor = sensor
        self.layout = "DVS128" if sensor == aedat2.SENSOR else "DAVIS"
        self.received = Received() if received is None else received
        self._time: int | None = None

    def decode(self, records: bytes) -> Events:
        """The events of whole records, in their order."""
        words = np.frombuffer(records, ">u4").astype(np.uint32).reshape(-1, 2)
        address = words[:, 0]
        places, special = _dvs128(address) if self.layout == "DVS128" else _davis(address, self.sensor)
        x, y, p = places
        outside = ~special & ((x < 0) | (y < 0))
        kept = ~(special | outside)
        self.received.num_special += int(special.sum())
        self.received.num_malformed += int(outside.sum())
        self.received.num_events += int(kept.sum())
        return make_events(self._times(words[kept, 1]), x[kept], y[kept], p[kept])

    def _times(self, clock: NDArray[np.uint32]) -> NDArray[np.int64]:
        """Each lies within 2³¹ µs (36 minutes) of the one before, on either side."""
        if not len(clock):
            return np.empty(0, np.int64)
        first = int(clock[0]) if self._time is None else self._time
        steps = np.diff(clock, prepend=np.uint32(first & 0xFFFFFFFF)).view(np.int32)
        times = first + np.cumsum(steps, dtype=np.int64)
        self._time = int(times[-1])
        return times


Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]


def _dvs128(address: NDArray[np.uint32]) -> tuple[Places, NDArray[np.bool_]]:
    """Columns x, y and p, x negative outside the sensor; and what is no event, marked by bit 15."""
    bits = address.astype(np.int64)
    x = np.where(bits > 0xFFFF, -1, 127 - (bits >> 1 & 127))
    return (x, 127 - (bits >> 8 & 127), bits & 1 == 0), (bits & 0xFFFF8000) == 0x8000


def _davis(address: NDArray[np.uint32], sensor: tuple[int, int]) -> tuple[Places, NDArray[np.bool_]]:
    """The same of a DAVIS; bits 31 and 10 mark what is no event."""
    bits, (width, height) = address.astype(np.int64), sensor
    x, y = width - 1 - (bits >> 12 & 0x3FF), height - 1 - (bits >> 22 & 0x1FF)
    return (x, y, bits >> 11 & 1 == 1), (bits & 0x80000400) != 0


def parse_udp(text: str) -> tuple[str, int] | None:
    """Host and port of ``udp://127.0.0.1:8991``; None for a text that does not begin so.

    Raises:
        ValueError: for one that does, without a port from 0 to 65535.
    """
    return parse_address(text, "udp", UDP_PORT)


def parse_address(text: str, scheme: str, port: int) -> tuple[str, int] | None:
    """The same for any scheme; ``port`` is that of the example in the message."""
    if not text.startswith(f"{scheme}://"):
        return None
    match = re.fullmatch(rf"{scheme}://(\[[0-9a-fA-F:]+\]|[^:/\s]+):(\d{{1,5}})", text)
    if not match or int(match[2]) > 0xFFFF:
        raise ValueError(f"cannot read the address {text!r}; write host and port, e.g. {scheme}://127.0.0.1:{port}")
    return match[1].strip("[]"), int(match[2])


def open_udp(host: str, port: int) -> socket.socket:
    """A socket that receives datagrams there; port 0 for any free one.

    Raises:
        OSError: if the address cannot be had; the message names it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    receiver = socket.socket(family, kind, protocol)
    try:
        receiver.bind(address)
    except OSError as error:
        receiver.close()
        raise OSError(f"cannot receive at udp://{host}:{port}: {error.strerror or error}") from error
    return receiver


def datagrams(receiver: socket.socket, decoder: AddressDecoder, idle_s: float | None = None) -> Iterator[Events]:
    """Events of each datagram, with or without a sequence number before them, until none comes for ``idle_s``.

    The socket is closed in the end.

    Args:
        receiver: bound socket.
        decoder: counts what is dropped and lost.
        idle_s: seconds; None to wait for ever.
    """
    expected: int | None = None
    receiver.settimeout(idle_s)
    with closing(receiver):
        while True:
            try:
                data = receiver.recv(_MOST_BYTES)
            except TimeoutError:
                decoder.received.ended = f"no packet came for {idle_s:g} s"
                return
            numbered = len(data) % _RECORD_BYTES == 4
            if not numbered and len(data) % _RECORD_BYTES:
                decoder.received.num_malformed += 1
                continue
            if numbered:
                number = int.from_bytes(data[:4], "big")
                # one that comes late, or after jAER's counter went back to 0, says nothing of what was lost
                decoder.received.num_lost += max(0, number - expected) if expected is not None else 0
                expected = number + 1
            yield decoder.decode(data[4:] if numbered else data)


def chunks(descriptor: int, received: Received, idle_s: float = 0.0) -> Iterator[bytes]:
    """Bytes of a pipe or file as they come, 64 KiB at most, until its end, and until a file stops growing.

    Args:
        descriptor: of the open file.
        received: is told why it ended.
        idle_s: how long a file may stay as it is before it counts as done, seconds.

    Raises:
        LostError: where a file has become shorter than what was read of it, or was removed while it was followed.
    """
    last = monotonic()
    while True:
        data = os.read(descriptor, _MOST_BYTES)
        if data:
            last = monotonic()
            yield data
            continue
        _check_still_there(descriptor, followed=idle_s > 0)
        if monotonic() - last >= idle_s:
            received.ended = f"it has not grown for {idle_s:g} s" if idle_s else "the input ended"
            return
        sleep(min(_POLL_S, idle_s))


def _check_still_there(descriptor: int, followed: bool) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return
    read = os.lseek(descriptor, 0, os.SEEK_CUR)
    if status.st_size < read:
        raise LostError(f"the file was cut to {status.st_size} bytes after {read} had been read; stream it anew")
    if followed and not status.st_nlink:
        raise LostError(f"the file was removed or replaced after {read} bytes of it; stream the new one")


def aedat_packets(parts: Iterable[bytes], decoder: AddressDecoder, source: str) -> Iterator[Events]:
    """Events of an AEDAT-2.0 byte stream, however it is cut; a record that the end cuts counts as malformed.

    Args:
        parts: the stream, beginning with its text header or, as from a socket, with the first record.
        decoder: takes the records.
        source: name for messages.

    Raises:
        ValueError: for a header of another version or camera.
    """
    waiting, in_header = b"", True
    for part in parts:
        waiting += part
        if in_header:
            start = _records_start(waiting)
            if start is None:
                _check_length(len(waiting), source)
                continue
            _check_header(waiting[:start], decoder, source)
            waiting, in_header = waiting[start:], False
        whole = len(waiting) // _RECORD_BYTES * _RECORD_BYTES
        if whole:
            yield decoder.decode(waiting[:whole])
            waiting = waiting[whole:]
    if waiting:
        decoder.received.num_malformed += 1


def _check_length(header_bytes: int, source: str) -> None:
    if header_bytes > _MOST_HEADER_BYTES:
        raise ValueError(
            f"{source}: its text header goes on after {header_bytes} bytes, at most {_MOST_HEADER_BYTES} are read; "
            "stream AEDAT-2.0"
        )


def _records_start(data: bytes) -> int | None:
    """Where the records begin; None as long as the header may go on."""
    start = aedat.end_of_header(data)
    behind = data[start:]
    may_go_on = not behind or (behind.startswith(b"#") and len(behind) < _LONGEST_HEADER_LINE)
    return None if may_go_on else start


def _check_header(header: bytes, decoder: AddressDecoder, source: str) -> None:
    """Hold the stream to the camera that its header names; one without a header is taken as it comes."""
    if header:
        stands_for_all = bytes(_RECORD_BYTES)  # a header alone is refused: a file must hold records
        _, camera = aedat2.body(header + stands_for_all, source, decoder.sensor)
        decoder.layout = camera.layout
