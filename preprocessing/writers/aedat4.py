"""AEDAT-4.0 of iniVation's DV: one stream of events, not compressed; packets and sources are in ``readers.aedat4``.

The table of packets, with which DV finds a time in a file, is left out, as in recordings that were not ended in order:
readers make it themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from preprocessing.events import Events
from preprocessing.readers.aedat4 import EVENT_BYTES, PACKET, SIGNATURE
from preprocessing.writers import bounds
from preprocessing.writers.bounds import Sensor

NAME, TITLE, SUFFIXES = "aedat4", "AEDAT-4.0", (".aedat4",)

MOST = (1 << 15, 1 << 15)
"""The largest sensor that x and y of 16 bits with a sign reach."""

_PACKET_EVENTS = 1 << 14
_RECORD = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?"), ("pad", "V3")])
_STREAM = """<dv version="2.0">
    <node name="outInfo" path="/mainloop/Recorder/outInfo/">
        <node name="0" path="/mainloop/Recorder/outInfo/0/">
            <attr key="compression" type="string">NONE</attr>
            <attr key="originalModuleName" type="string">evglif</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
                <attr key="sizeX" type="int">{}</attr>
                <attr key="sizeY" type="int">{}</attr>
                <attr key="source" type="string">evglif</attr>
            </node>
        </node>
    </node>
</dv>
"""
_HEADER = struct.Struct("<I4s6x5HiiIq4xI")
_EVENTS = struct.Struct("<II4s2x3HiII")


def check(events: Events, sensor: Sensor) -> None:
    """See ``Writer.check``: 15 bits of x and y, times from 0 on that a reader takes for true."""
    bounds.check(events, sensor, TITLE, MOST, (0, 1 << 62))


def encode(events: Events, sensor: Sensor) -> Iterator[bytes]:
    """See ``Writer.encode``."""
    yield SIGNATURE + b"\r\n" + header(sensor)
    for start in range(0, len(events), _PACKET_EVENTS):
        yield packet(events[start : start + _PACKET_EVENTS])


def header(sensor: Sensor) -> bytes:
    """The header of a stream, size first: a table with the compression (none), −1 for no end, and the XML text."""
    text = _STREAM.format(*sensor).encode()
    table = _HEADER.pack(24, b"IOHE", 10, 24, 4, 12, 8, 10, 0, 16, -1, len(text)) + text + b"\0"
    return struct.pack("<I", len(table)) + table


def packet(events: Events) -> bytes:
    """A packet of events ``[N]``: its head, and a table with one field, their vector."""
    records = np.zeros(len(events), _RECORD)
    for field in ("t", "x", "y", "p"):
        records[field] = events[field]
    size = _EVENTS.size - 4 + len(events) * EVENT_BYTES
    body = _EVENTS.pack(size, 16, b"EVTS", 6, 8, 4, 6, 4, len(events)) + records.tobytes()
    return PACKET.pack(0, len(body)) + body
