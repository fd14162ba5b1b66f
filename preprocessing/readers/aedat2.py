"""AEDAT-2.0, the format of jAER, for the DVS128: text header, then big-endian (address, time) words.

A record is two unsigned 32-bit words. The address holds, from the lowest bit: polarity (0 = ON), x (7 bits),
y (7 bits), and bit 15 for external events, which mark a sync input and are no events of the sensor. Both axes
run against ours, which start at the top left. Times are µs and wrap at 2³².

Sources: jAER's ``DVS128`` extractor; inivation.github.io, "AEDAT file formats", section 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, Events, Recording, RecordingError, check_events, make_recording

FAMILY_SIGNATURE = b"#!AER-DAT"
SIGNATURE = FAMILY_SIGNATURE + b"2.0"
SENSOR = (128, 128)
SUFFIXES: tuple[str, ...] = (".aedat",)
RECORD_BYTES = 8

_TEXT = rb"[^\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]*"  # tab, carriage return, and from the blank on
_LAST = b"#End Of ASCII Header"
_HEADER = re.compile(rb"(?:(?!%b)#%b(?:\n|\Z))*(?:%b%b(?:\n|\Z))?" % (_LAST, _TEXT, _LAST, _TEXT))
_CHIP = re.compile(rb"AEChip: *(\S+)")
_CHIPS = (b"DVS128", b"Tmpdiff128")  # the same camera; the second is jAER's older name for it


def recognises(data: bytes) -> bool:
    """Whether the file says that it is of the family; ``decode`` tells its version."""
    return data.startswith(FAMILY_SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None) -> Recording:
    """Decode the bytes of an AEDAT-2.0 file of a DVS128; external events are dropped and counted.

    Raises:
        RecordingError: another format or camera, no events, a cut record, an address beyond 15 bits, or time
            running backwards (other than the wrap of the clock at 2³² µs).
    """
    start = _end_of_header(data, source)
    _check_camera(data[:start], source, sensor)
    _check_length(len(data), start, source)
    events, num_special = _decode_records(data, start, source)
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} external ones")
    return make_recording(events, SENSOR, "aedat2", source, num_special)


def encode(events: Events, comments: Iterable[str] = ()) -> bytes:
    """Write events ``[N]`` of a 128×128 sensor as an AEDAT-2.0 file, ``comments`` as further header lines.

    Raises:
        ValueError: an event outside the sensor, times that decrease or leave [0, 2³²) µs, or a comment that
            isn't one line of text.
    """
    check_events(events, SENSOR, "cannot write AEDAT-2.0")
    if events["t"][0] < 0 or events["t"][-1] >= 1 << 32:
        first, last = int(events["t"][0]), int(events["t"][-1])
        raise ValueError(f"AEDAT-2.0 holds times in [0, 2**32) µs, got {first} to {last}; shift them first")
    words = np.empty((len(events), 2), ">u4")
    x, y = 127 - events["x"].astype(np.uint32), 127 - events["y"].astype(np.uint32)
    words[:, 0] = y << 8 | x << 1 | ~events["p"]
    words[:, 1] = events["t"]
    return _header(comments) + words.tobytes()


def _header(comments: Iterable[str]) -> bytes:
    lines = [
        "!AER-DAT2.0",
        " AEChip: ch.unizh.ini.jaer.chip.retina.DVS128",
        *(f" {line}" for line in comments),
    ]
    for line in lines:
        if not re.fullmatch(_TEXT, line.encode()):
            raise ValueError(f"a header comment is one line of text, got {line!r}")
    return "".join(f"#{line}\r\n" for line in [*lines, "End Of ASCII Header"]).encode()


def _end_of_header(data: bytes, source: str) -> int:
    """Offset of the first record: behind the last ``#`` line of text.

    A record can start with ``#`` (0x23) as well, in a damaged file or one of another camera; the control bytes in
    it tell it from a header line.
    """
    header = _HEADER.match(data)
    if not data.startswith(SIGNATURE) or header is None:
        raise RecordingError(f"{source}: {_what_else(data)}; expected AEDAT-2.0, which starts with '#!AER-DAT2.0'")
    return header.end()


def _what_else(data: bytes) -> str:
    """Name what a file without the AEDAT-2.0 signature is."""
    line = data[:64].splitlines()[0] if data else b""
    if line.startswith(FAMILY_SIGNATURE):
        return f"this is AEDAT-{line.removeprefix(FAMILY_SIGNATURE).decode('ascii', 'replace').strip()}"
    return f"not an AEDAT file, it starts with {data[:16]!r}"


def _check_camera(header: bytes, source: str, sensor: tuple[int, int] | None) -> None:
    """Refuse other cameras than the DVS128, told by the ``AEChip`` line: their addresses differ."""
    chip = _CHIP.search(header)
    if chip and not chip[1].endswith(_CHIPS):
        name = chip[1].decode("utf-8", "replace").rpartition(".")[2]
        raise RecordingError(f"{source}: recorded by a {name} (header line AEChip); only DVS128 can be read")
    if sensor not in (None, SENSOR):
        raise RecordingError(f"{source}: recorded by a DVS128, sensor {SENSOR}, but {sensor} was asked for")


def _check_length(num_bytes: int, start: int, source: str) -> None:
    if num_bytes == start:
        raise RecordingError(f"{source}: ends after its header ({start} bytes), it holds no events")
    cut = (num_bytes - start) % RECORD_BYTES
    if cut:
        raise RecordingError(
            f"{source}: cut in the middle of a record: {cut} of {RECORD_BYTES} bytes at byte "
            f"{num_bytes - cut}, after {(num_bytes - start) // RECORD_BYTES} records"
        )


def _decode_records(data: bytes, start: int, source: str) -> tuple[Events, int]:
    """The events from byte ``start`` on, and the number of external events between them."""
    from preprocessing.kernels.decode import dvs128

    words, num_special = _sensor_records(data, start, source)
    events = np.empty(len(words) // 2, EVENT_DTYPE)
    dvs128(words, events["t"], events["x"], events["y"], events["p"])
    return events, num_special


def _sensor_records(data: bytes, start: int, source: str) -> tuple[NDArray[np.uint32], int]:
    """The records from byte ``start`` on as words ``[2N]``, without the external events, which are counted."""
    words = np.frombuffer(data, "<u4", offset=start)
    used_bits = int(np.bitwise_or.reduce(words[::2]).byteswap())
    if used_bits <= 0x7FFF:
        return words, 0
    address = words[::2].byteswap()
    if used_bits > 0xFFFF:
        at = int((address > 0xFFFF).argmax())
        raise RecordingError(
            f"{source}: event {at} (byte {start + at * RECORD_BYTES}) has the address {address[at]:#010x}, outside "
            "the 128×128 sensor (a DVS128 uses 16 bits); the file is damaged or from another camera"
        )
    is_event = address <= 0x7FFF
    kept: NDArray[np.uint32] = words.reshape(-1, 2)[is_event].ravel()
    return kept, len(is_event) - int(is_event.sum())
