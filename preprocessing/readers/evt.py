"""RAW, what a camera of Prophesee sends: text header, then little-endian words in EVT 2.0, 2.1 or 3.0.

The highest four bits of a word are its type. Origin top left, polarity 1 = ON, times in µs.

- EVT 2.0, 32 bits: OFF (0) and ON (1) events with 6 bits of time, 11 of x and 11 of y; TIME_HIGH (8) gives the
  28 bits of time above these.
- EVT 2.1, 64 bits: the same in its high half; the low half says which of 32 pixels from x on had the event. Files of
  older cameras (``endianness=legacy``) have the high half first.
- EVT 3.0, 16 bits: what changes. ADDR_Y (0), ADDR_X (2) with polarity: an event; VECT_BASE_X (3), then VECT_12 (4)
  and VECT_8 (5): which of the next 12 or 8 pixels had one; TIME_LOW (6) and TIME_HIGH (8), 12 bits each.

A TIME_HIGH that is lower than the one before by half its range or more has wrapped. All other words are special:
triggers, monitoring, and events without a time or a place, before the first TIME_HIGH or in EVT 3.0 ADDR_Y. EVT 3.0
cameras send a TIME_LOW some µs too high now and then and correct it before the next event; the times stand as sent.

Sources: docs.prophesee.ai, "EVT 2.0 Format", "EVT 2.1 Format", "EVT 3.0 Format", "RAW File Format"; the decoders and
``psee_raw_file_header.cpp`` of OpenEB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import (
    AS_IS,
    EVENT_DTYPE,
    Events,
    Reading,
    Recording,
    RecordingError,
    address_words,
    make_recording,
)
from preprocessing.readers import prophesee
from preprocessing.readers.sensors import agreed, attributed, smallest

SUFFIXES: tuple[str, ...] = (".raw",)
SENSORS = ((320, 320), (640, 480), (1280, 720))
"""(width, height) of the GenX320, and of the third and fourth generation of sensors (the IMX636 among these)."""

_WORD_BYTES = {"EVT2": 4, "EVT21": 8, "EVT3": 2}
_NAMES = {"2.0": "EVT2", "2.1": "EVT21", "3.0": "EVT3"}  # by the value of the older header line, "% evt"

# Cameras by the header line "% system_ID": older headers give nothing else. 0x80 marks some of them as evaluation kits.
_VGA_SYSTEMS = (0x15, 0x17, 0x19, 0x1C, 0x1D, 0x21, 0x22, 0x23, 0x28, 0x29)
_HD_SYSTEMS = (0x1A, 0x1E, 0x1F, 0x27, 0x2E, 0x30, 0x31, 0x32)
_FIRST_LITTLE_SYSTEM = 0x37  # cameras before it send EVT 2.1 with the high half first


def recognises(data: bytes) -> bool:
    """Whether the header has a line that names the encoding."""
    fields, _ = prophesee.header(data)
    return "evt" in fields or "format" in fields


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode a RAW file; where neither it nor ``sensor`` tells, it is the smallest of ``SENSORS`` that holds all.

    Raises:
        RecordingError: another encoding, no events, a cut word, an event outside the sensor, another sensor than the
            header states, or time running backwards (other than the wrap of the clock).
    """
    encoding = encoding_of(data, source)
    known = agreed(encoding.sensor, sensor, source)
    cut = (len(data) - encoding.start) % encoding.word_bytes
    if cut:
        raise RecordingError(
            f"{source}: cut in the middle of a word: {cut} of {encoding.word_bytes} bytes at byte {len(data) - cut}, "
            f"after {(len(data) - encoding.start) // encoding.word_bytes} words"
        )
    events, num_special = Decoder(encoding).decode(data, encoding.start)
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} special words")
    taken = known or smallest(events, SENSORS, source, how)
    recording = make_recording(events, taken, encoding.name.lower(), source, num_special, how)
    return attributed(recording, encoding.sensor, sensor)


class Encoding(NamedTuple):
    """What a header says.

    Attributes:
        start: where the words begin.
        name: ``EVT2``, ``EVT21`` or ``EVT3``.
        is_legacy: whether the high half of an EVT 2.1 word comes first.
        sensor: (width, height), px; None where it doesn't say it.
    """

    start: int
    name: str
    is_legacy: bool
    sensor: tuple[int, int] | None

    @property
    def word_bytes(self) -> int:
        """Bytes of a word."""
        return _WORD_BYTES[self.name]


def encoding_of(data: bytes, source: str) -> Encoding:
    """What the header at the start of a file or stream says.

    Raises:
        RecordingError: it names none of the encodings, an unknown byte order, or a sensor that is none.
    """
    fields, start = prophesee.header(data)
    name, options = _encoding(fields, data, source)
    stated = _stated_sensor(fields, options, source)
    return Encoding(start, name, _is_legacy(fields, options, source), stated)


class Decoder:
    """Words to events, in as many parts as they come in: what a word says holds until another says otherwise."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._state = np.full(5, -1, np.int64)

    def decode(self, data: bytes, start: int = 0) -> tuple[Events, int]:
        """The events of whole words, from byte ``start`` on, and the number of special words among these."""
        from preprocessing.kernels import prophesee as kernels

        loops: dict[str, Callable[..., tuple[np.uint64, int]]]
        loops = {"EVT2": kernels.evt2, "EVT21": kernels.evt21, "EVT3": kernels.evt3}
        loop, words = loops[self._encoding.name], self._words(data, start)
        events = np.empty(0, EVENT_DTYPE)
        num_events, num_special = loop(words, self._state.copy(), events["t"], address_words(events))
        events = np.empty(num_events, EVENT_DTYPE)
        loop(words, self._state, events["t"], address_words(events))
        return events, num_special

    def _words(self, data: bytes, start: int) -> NDArray[np.unsignedinteger]:
        """The words from byte ``start`` on, ``[N]``; of EVT 2.1 ``[N, 2]``, the low half first."""
        if self._encoding.name == "EVT21":
            halves = np.frombuffer(data, "<u4", offset=start).reshape(-1, 2)
            return halves[:, ::-1] if self._encoding.is_legacy else halves
        return np.frombuffer(data, f"<u{self._encoding.word_bytes}", offset=start)


def _encoding(fields: dict[str, str], data: bytes, source: str) -> tuple[str, dict[str, str]]:
    """Name and options of the encoding, from ``% format NAME;option=value;...`` or else from ``% evt 3.0``."""
    if not {"format", "evt"} & fields.keys():
        found = f"a header without them ({', '.join(sorted(fields))})" if fields else repr(data[:16])
        raise RecordingError(f"{source}: found {found}; expected a header line '% evt 3.0' or '% format EVT3;...'")
    name, *parts = fields.get("format", "").split(";")
    options = {key: value for key, _, value in (part.strip().partition("=") for part in parts)}
    name = name.strip() or _NAMES.get(fields.get("evt", ""), f"EVT {fields.get('evt')}")
    if name not in _WORD_BYTES:
        raise RecordingError(f"{source}: encoded as {name}; only EVT 2.0, 2.1 and 3.0 can be read")
    return name, options


def _stated_sensor(fields: dict[str, str], options: dict[str, str], source: str) -> tuple[int, int] | None:
    if "width" in options or "height" in options:
        return prophesee.size(options.get("width", ""), options.get("height", ""), source)
    if "geometry" in fields:
        width, _, height = fields["geometry"].partition("x")
        return prophesee.size(width, height, source)
    system = _system(fields) & ~0x80
    return (640, 480) if system in _VGA_SYSTEMS else (1280, 720) if system in _HD_SYSTEMS else None


def _is_legacy(fields: dict[str, str], options: dict[str, str], source: str) -> bool:
    """Whether the high half of an EVT 2.1 word comes first."""
    endianness = options.get("endianness") or fields.get("endianness")
    if endianness not in (None, "little", "legacy"):
        raise RecordingError(f"{source}: words in the byte order {endianness!r}; only little and legacy can be read")
    return endianness == "legacy" or (endianness is None and 0 < _system(fields) < _FIRST_LITTLE_SYSTEM)


def _system(fields: dict[str, str]) -> int:
    """Prophesee's number for the camera; 0 where there is none, or it is another maker's."""
    makers = {fields.get(f"{part}integrator_name", "Prophesee") for part in ("", "camera_", "plugin_")}
    number = fields.get("system_ID", "")
    return int(number) if makers == {"Prophesee"} and number.isdecimal() and len(number) < 10 else 0
