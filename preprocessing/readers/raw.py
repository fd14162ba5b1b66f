"""Recordings whose records have one size, as they lie in the file: from there straight to frames.

A file qualifies if every record in it is an event of the sensor and times don't decrease. Any other is decoded, which
drops what is no event, follows a clock that wraps, puts late events in order, or says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import SensorFrom
from preprocessing.events.clock import CLOCK_JUMP_US, forward_jumps, set_clock_warnings
from preprocessing.events.records import Clock, Field, Layout, Places, Records, places
from preprocessing.readers import aedat2, atis, dat, reader_of
from preprocessing.readers.sensors import agreed


@dataclass(frozen=True)
class RawRecording:
    """A recording that needs no decoding.

    Attributes:
        events: the records of the file, all of them events.
        sensor: (width, height) of the camera, px.
        format: name of the wire format.
        source: where it came from.
        num_special: none.
        num_backward: none.
        num_dropped: none.
        resets: none.
        sensor_from: who says the sensor.
        jumps, warnings: as in ``Recording``.
    """

    events: Records
    sensor: tuple[int, int]
    format: str
    source: str
    num_special: int = 0
    num_backward: int = 0
    num_dropped: int = 0
    resets: tuple[int, ...] = ()
    jumps: tuple[int, ...] = ()
    sensor_from: SensorFrom = "file"
    warnings: tuple[str, ...] = ()

    @property
    def starts(self) -> tuple[int, ...]:
        """As of ``Recording``."""
        return self.jumps


def open_raw(data: bytes, source: str, sensor: tuple[int, int] | None = None) -> RawRecording | None:
    """The recording without decoding it, None where that cannot be; arguments as of ``decode_recording``.

    Raises:
        RecordingError: as ``decode_recording``, for what its header tells.
    """
    reader = reader_of(data, source)
    if reader is aedat2:
        opened = _aedat2(data, source, sensor)
    elif reader is atis:
        opened = _atis(data, source, sensor)
    elif reader is dat:
        opened = _dat(data, source, sensor)
    else:
        return None
    span_us = opened.events.clean_span_us() if opened else None
    if opened is None or span_us is None:
        return None
    if span_us < CLOCK_JUMP_US:
        return opened
    jumps = forward_jumps(opened.events.t)
    if not len(jumps):
        return opened
    warnings = set_clock_warnings(opened.events.t, (), jumps.tolist())
    return replace(opened, jumps=tuple(jumps.tolist()), warnings=warnings)


def _aedat2(data: bytes, source: str, sensor: tuple[int, int] | None) -> RawRecording | None:
    start, camera = aedat2.body(data, source, sensor)
    if camera.layout != "DVS128":
        return None
    said_by: SensorFrom = "file" if aedat2.names_camera(data[:start]) else "asked" if sensor else "guess"
    records = Records.from_bytes(data, start, aedat2.RECORD_BYTES, _DVS128)
    return RawRecording(records, camera.sensor, "aedat2", source, sensor_from=said_by)


def _dvs128_places(address: NDArray[np.int64]) -> Places:
    """Columns of the lower half of the address as it lies in the file, the higher byte first."""
    high, low = address & 0xFF, address >> 8
    return 127 - (low >> 1), 127 - (high & 0x7F), low & 1 == 0


_DVS128 = Layout(
    fields=(Field(16, 0xFFFF),),
    address_bits=16,
    places=_dvs128_places,
    unset=0x80FFFF,
    clock=Clock(True, Field(0, 0xFFFFFFFF)),
)


def _atis(data: bytes, source: str, sensor: tuple[int, int] | None) -> RawRecording | None:
    if sensor is None or len(data) % atis.EVENT_BYTES:
        return None
    records = Records.from_bytes(data, 0, atis.EVENT_BYTES, _atis_layout(sensor))
    return RawRecording(records, sensor, "atis", source, sensor_from="asked")


@lru_cache(maxsize=16)
def _atis_layout(sensor: tuple[int, int]) -> Layout:
    width, height = sensor
    return Layout(
        fields=(Field(0, 0xFF), Field(0, 0xFF00), Field(7, 0x10000)),
        address_bits=17,
        places=partial(places, 8, 8),
        x=(Field(0, 0xFF), width),
        y=(Field(8, 0xFF), min(height, atis.TICK_Y)),
        clock=Clock(True, Field(24, 0x7FFFFF)),
    )


def _dat(data: bytes, source: str, sensor: tuple[int, int] | None) -> RawRecording | None:
    start, stated = dat.body(data, source)
    sensor = agreed(stated, sensor, source)
    if sensor is None:
        return None
    records = Records.from_bytes(data, start, dat.RECORD_BYTES, _dat_layout(sensor))
    return RawRecording(records, sensor, "dat", source, sensor_from="file" if stated else "asked")


@lru_cache(maxsize=16)
def _dat_layout(sensor: tuple[int, int]) -> Layout:
    x_bits, y_bits = ((side - 1).bit_length() for side in sensor)
    return Layout(
        fields=(
            Field(32, (1 << x_bits) - 1),
            Field(46 - x_bits, (1 << y_bits) - 1 << x_bits),
            Field(60 - x_bits - y_bits, 1 << x_bits + y_bits),
        ),
        address_bits=x_bits + y_bits + 1,
        places=partial(places, x_bits, y_bits),
        unset=0b1110 << 60,
        x=(Field(32, 0x3FFF), sensor[0]),
        y=(Field(46, 0x3FFF), sensor[1]),
        clock=Clock(False, Field(0, 0xFFFFFFFF)),
    )
