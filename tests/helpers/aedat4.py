"""AEDAT4 files, written byte for byte."""

import struct

NONE, LZ4, ZSTD = 0, 1, 3


def stream(number, kind, sensor=None):
    axes = zip("XY", sensor or (), strict=False)
    info = "".join(f"<attr key='size{axis}' type='int'>{size}</attr>" for axis, size in axes)
    kind = f"<attr key='typeIdentifier' type='string'>{kind}</attr>"
    return f"<node name='{number}'>{kind}<node name='info'>{info}</node></node>"


def header(*streams, compression=NONE, end=-1, text="<dv version='2.0'><node name='outInfo'>{}</node></dv>"):
    text = text.format("".join(streams)).encode()
    table = struct.pack("<iiIqI", 10, compression, 12, end, len(text)) + text
    buffer = struct.pack("<I4s6x5H", 24, b"IOHE", 10, 20, 4, 12, 8) + table
    return b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(buffer)) + buffer


def vector(kind, items, count):
    """A FlatBuffer whose table has one field, a vector."""
    buffer = struct.pack("<I4sHHHHiII", 16, kind, 0, 6, 8, 4, 6, 4, count) + items
    return struct.pack("<I", len(buffer)) + buffer


def event(t, x, y, p):
    return struct.pack("<qHHBxxx", t, x, y, p)


def packet(body, stream=0):
    return struct.pack("<ii", stream, len(body)) + body


def events_packet(*events, stream=0, compress=bytes):
    return packet(compress(vector(b"EVTS", b"".join(events), len(events))), stream)


EVENTS = stream(0, "EVTS", (128, 128))
HEADER = header(EVENTS)
