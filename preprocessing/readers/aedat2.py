"""AEDAT-2.0, the format of jAER: text header, then big-endian (address, time) words, for the DVS128 and the DAVIS.

A record is two unsigned 32-bit words, the address and the time in µs, which wraps at 2³². Addresses, from the lowest
bit (y counts from the bottom and x from the right, as jAER shows them; our origin is the top left):

- DVS128: polarity (0 = ON), x (7 bits), y (7 bits), and bit 15 for external events, which mark a sync input.
- DAVIS: 10 bits of a sample, bit 10 for external events, polarity (bit 11, 1 = ON), x (10 bits), y (9 bits), and bit
  31 for words of the frame readout (APS) and of the motion sensor (IMU).

External events, APS and IMU words are no events of the sensor; they are dropped and counted.

Sources: jAER's ``DVS128``, ``DavisChip`` and ``DavisBaseCamera``; docs.inivation.com, "AEDAT 2.0".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

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
from preprocessing.readers.lengths import check_length
from preprocessing.readers.sensors import agreed, attributed

SIGNATURE = aedat.SIGNATURE + b"2.0"
SENSOR = aedat.DVS128.sensor
SUFFIXES: tuple[str, ...] = (".aedat",)
RECORD_BYTES = 8

CHIPS = {
    SENSOR: "ch.unizh.ini.jaer.chip.retina.DVS128",
    aedat.DAVIS240.sensor: "eu.seebetter.ini.chips.davis.DAVIS240C",
    aedat.DAVIS346.sensor: "eu.seebetter.ini.chips.davis.Davis346blue",
    aedat.DAVIS640.sensor: "eu.seebetter.ini.chips.davis.Davis640",
}
"""What jAER calls the camera of a sensor in the header line ``AEChip``; of the 128×128 ones the DVS128."""

_CHIP = re.compile(rb"AEChip: *(\S+)")


def recognises(data: bytes) -> bool:
    """Whether the file says that it is AEDAT, of this version or one that no other module recognises."""
    return data.startswith(aedat.SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the bytes of an AEDAT-2.0 file of a DVS128 or a DAVIS, told by the header line ``AEChip``.

    Files without that line are from a DVS128, unless ``sensor`` is that of a DAVIS.

    Raises:
        RecordingError: another format or camera, no events, a cut record, an address outside the sensor, or time
            running backwards (other than the wrap of the clock at 2³² µs).
    """
    start, camera = body(data, source, sensor)
    decode_records = _decode_dvs128 if camera.layout == "DVS128" else _decode_davis
    events, num_special, num_bad = decode_records(data, start, camera, source, how)
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} other records")
    recording = make_recording(events, camera.sensor, "aedat2", source, num_special, how, num_bad)
    if camera.layout == "DVS128":
        odd = (*recording.warnings, *doubt_external(len(events), num_special))
        recording = replace(recording, warnings=odd)
    return attributed(recording, camera.sensor if names_camera(data[:start]) else None, sensor)


def body(data: bytes, source: str, sensor: tuple[int, int] | None) -> tuple[int, aedat.Camera]:
    """Offset of the first record, and the camera; raises as ``decode``, for what the header tells."""
    start = _end_of_header(data, source)
    camera = _camera(data[:start], source, sensor)
    check_length(len(data), start, RECORD_BYTES, source)
    return start, camera


def names_camera(header: bytes) -> bool:
    """Whether a header has the line ``AEChip``."""
    return _CHIP.search(header) is not None


def doubt_external(num_events: int, num_external: int) -> tuple[str, ...]:
    """What speaks against so many addresses with the bit that a DVS128 sets for its sync input alone."""
    if num_external <= num_events:
        return ()
    return (f"{num_external:,} of {num_events + num_external:,} addresses are not in the layout of a DVS128's pixels",)


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
    return header(SENSOR, comments) + records(events, SENSOR)


def header(sensor: tuple[int, int], comments: Iterable[str] = ()) -> bytes:
    """The text header of a recording of one of the sensors of ``CHIPS``, ``comments`` as further lines.

    Raises:
        ValueError: a comment that isn't one line of text.
    """
    lines = ["!AER-DAT2.0", f" AEChip: {CHIPS[sensor]}", *(f" {line}" for line in comments)]
    for line in lines:
        if not re.fullmatch(aedat.TEXT, line.encode()):
            raise ValueError(f"a header comment is one line of text, got {line!r}")
    return "".join(f"#{line}\r\n" for line in [*lines, "End Of ASCII Header"]).encode()


def records(events: Events, sensor: tuple[int, int]) -> bytes:
    """The records of events ``[N]`` that lie inside one of the sensors of ``CHIPS`` and in 32 bits of time."""
    words = np.empty((len(events), 2), ">u4")
    x, y = (side - 1 - events[axis].astype(np.uint32) for side, axis in zip(sensor, ("x", "y"), strict=True))
    if sensor == SENSOR:
        words[:, 0] = y << 8 | x << 1 | ~events["p"]
    else:
        words[:, 0] = y << 22 | x << 12 | events["p"].astype(np.uint32) << 11
    words[:, 1] = events["t"]
    return words.tobytes()


def _end_of_header(data: bytes, source: str) -> int:
    """Offset of the first record.

    Raises:
        RecordingError: the file is not of this version.
    """
    if not data.startswith(SIGNATURE):
        line = data[:64].splitlines()[0] if data else b""
        version = line.removeprefix(aedat.SIGNATURE).decode("ascii", "replace").strip()
        raise RecordingError(f"{source}: this is AEDAT-{version}; {aedat.READABLE} can be read")
    return aedat.end_of_header(data)


def _camera(header: bytes, source: str, sensor: tuple[int, int] | None) -> aedat.Camera:
    """The camera that the ``AEChip`` line names, else the one of ``sensor``, else a DVS128.

    Raises:
        RecordingError: one that can't be read, or with another sensor than ``sensor``.
    """
    chip = _CHIP.search(header)
    if not chip:
        known = {davis.sensor: davis for davis in (aedat.DAVIS240, aedat.DAVIS346, aedat.DAVIS640)}
        camera = known.get(sensor or SENSOR, aedat.DVS128)
    else:
        name = chip[1].decode("utf-8", "replace").rpartition(".")[2]
        named = aedat.camera_named(name)
        if named is None:
            raise RecordingError(
                f"{source}: recorded by a {name} (header line AEChip); only {aedat.CAMERAS} can be read"
            )
        camera = named
    agreed(camera.sensor, sensor, source)
    return camera


def _decode_dvs128(data: bytes, start: int, camera: aedat.Camera, source: str, how: Reading) -> tuple[Events, int, int]:
    """The events from byte ``start`` on, and the numbers of external events and of bad records between them."""
    from preprocessing.kernels.decode import dvs128

    words, num_special, num_bad = _sensor_records(data, start, camera, source, how)
    events = np.empty(len(words) // 2, EVENT_DTYPE)
    dvs128(words, events["t"], events["x"], events["y"], events["p"])
    return events, num_special, num_bad


def _sensor_records(
    data: bytes, start: int, camera: aedat.Camera, source: str, how: Reading
) -> tuple[NDArray[np.uint32], int, int]:
    """The DVS128's records from byte ``start`` on as words ``[2N]``, without external events and bad records.

    Behind them, the numbers of these.
    """
    words = np.frombuffer(data, "<u4", offset=start)
    used_bits = int(np.bitwise_or.reduce(words[::2]).byteswap())
    if used_bits <= 0x7FFF:
        return words, 0, 0
    address = words[::2].byteswap()
    bad, is_event = address > 0xFFFF, address <= 0x7FFF
    num_events, num_bad = int(np.count_nonzero(is_event)), int(np.count_nonzero(bad))
    if num_bad:
        how.allow(num_bad, num_events + num_bad, _outside(int(bad.argmax()), words, start, camera, source))
    kept: NDArray[np.uint32] = words.reshape(-1, 2)[is_event].ravel()
    return kept, len(address) - num_events - num_bad, num_bad


def _decode_davis(data: bytes, start: int, camera: aedat.Camera, source: str, how: Reading) -> tuple[Events, int, int]:
    """The polarity events from byte ``start`` on, and the numbers of other and of bad records between them."""
    from preprocessing.kernels.decode import count_davis, davis

    words = np.frombuffer(data, "<u4", offset=start)
    num_read = count_davis(words)
    num_special = len(words) // 2 - num_read
    events = np.empty(num_read, EVENT_DTYPE)
    at, num_events = davis(words, camera.sensor, events["t"], events["x"], events["y"], events["p"])
    if at >= 0:
        how.allow(num_read - num_events, num_read, _outside(at, words, start, camera, source))
    return events[:num_events], num_special, num_read - num_events


def _outside(at: int, words: NDArray[np.uint32], start: int, camera: aedat.Camera, source: str) -> str:
    """What is wrong with a record, in words."""
    width, height = camera.sensor
    return (
        f"{source}: event {at} (byte {start + at * RECORD_BYTES}) has the address {words[2 * at].byteswap():#010x}, "
        f"outside the {width}×{height} sensor of a {camera.layout}; the file is damaged or from another camera"
        + ("" if camera.layout == "DAVIS" else " (a DAVIS whose header doesn't say so is read with --sensor)")
    )
