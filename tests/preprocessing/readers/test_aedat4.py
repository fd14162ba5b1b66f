import struct
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import decode_recording
from tests.helpers.aedat4 import EVENTS, HEADER, LZ4, NONE, ZSTD, event, events_packet, header, packet, stream, vector


def decode(data, sensor=None):
    return decode_recording(data, "r.aedat4", sensor)


SMALL = HEADER + events_packet(event(5, 1, 1, 1)) + events_packet(event(9, 2, 1, 0), event(9, 3, 1, 0))


def compressions():
    return {
        NONE: bytes,
        LZ4: lambda body: pytest.importorskip("lz4.frame").compress(body, store_size=False),
        ZSTD: lambda body: pytest.importorskip("zstandard").compress(body),
    }


@pytest.mark.parametrize("compression", [NONE, LZ4, ZSTD])
def test_events_of_many_packets(compression):
    generator = np.random.default_rng(0)
    t = 1718320899149165 + np.cumsum(generator.integers(0, 3, 3000))
    columns = t, generator.integers(0, 640, 3000), generator.integers(0, 480, 3000), generator.integers(0, 2, 3000)
    rows = [event(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    packets = [events_packet(*rows[i : i + 70], compress=compressions()[compression]) for i in range(0, 3000, 70)]

    decoded = decode(header(stream(0, "EVTS", (640, 480)), compression=compression) + b"".join(packets))

    np.testing.assert_array_equal(decoded.events, make_events(*columns))
    assert (decoded.sensor, decoded.format, decoded.num_special) == ((640, 480), "aedat4", 0)


def test_the_extremes_of_an_event():
    data = header(stream(0, "EVTS")) + events_packet(event(0, 0, 0, 0), event(2**62 - 1, 32767, 32766, 1))

    assert decode(data, (32768, 32767)).events.tolist() == [(0, 0, 0, False), (2**62 - 1, 32767, 32766, True)]


def test_other_streams_are_skipped_and_what_they_hold_is_counted():
    streams = (
        stream(7, "EVTS", (8, 8)),
        EVENTS,
        stream(1, "FRME"),
        stream(2, "IMUS"),
        stream(3, "TRIG"),
        stream(4, "BBOX"),
    )
    data = (
        header(*streams)
        + events_packet(event(4, 7, 7, 1), event(5, 7, 7, 1), stream=7)
        + packet(b"a frame", stream=1)
        + events_packet(event(5, 1, 1, 1))
        + packet(vector(b"IMUS", bytes(12), 3), stream=2)
        + packet(vector(b"TRIG", bytes(8), 2), stream=3)
        + packet(b"", stream=4)
    )

    assert decode(data).events.tolist() == [(5, 1, 1, True)]
    assert (decode(data).sensor, decode(data).num_special) == ((128, 128), 2 + 1 + 3 + 2 + 1)


def test_packets_end_where_the_header_says():
    whole = header(EVENTS, end=0)
    packets = events_packet(event(5, 1, 1, 1))
    data = header(EVENTS, end=len(whole) + len(packets)) + packets + b"a table of the packets"

    assert len(decode(data).events) == 1


@pytest.mark.parametrize(
    ("stated", "asked", "sensor"),
    [((640, 480), None, (640, 480)), (None, (99, 99), (99, 99)), (None, None, (128, 128))],
)
def test_the_sensor_is_that_of_the_header_or_the_one_asked_for_or_the_smallest(stated, asked, sensor):
    assert decode(header(stream(0, "EVTS", stated)) + events_packet(event(5, 1, 1, 1)), asked).sensor == sensor


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (HEADER[:16], "the header is cut or damaged: it points to byte 14 of 16"),
        (HEADER[:99], r"the header is cut or damaged: it announces \d+ bytes of 81 there"),
        (HEADER.replace(b"IOHE", b"XXXX"), "the header is cut or damaged: it holds b'XXXX' where b'IOHE' was expected"),
        (header(EVENTS, end=3), "it says that the packets end at byte 3, but they start at"),
        (header(EVENTS, text="<dv>{}"), "the header is cut or damaged: its XML text: "),
        (header(text="<!DOCTYPE dv [<!ENTITY a 'b'>]><dv>&a;</dv>"), "its XML text has declarations"),
        (header(stream("", "EVTS")), "its XML text has '' where a number was expected"),
        (header(stream(0, "EVTS", ("x", 1))), "its XML text has 'x' where a number was expected"),
        (
            header(stream(0, "IMUS"), stream(1, "FRME")),
            "has no stream of events; the kinds of its streams are: FRME, IMUS",
        ),
        (header(EVENTS, compression=5), "gives the compression as 5; expected 0 to 4"),
        (HEADER, "holds no events, only 0 other records"),
        (SMALL[:-1], r"packet 1, at byte \d+, is cut or damaged: it announces 64 bytes, 63 are there"),
        (SMALL + b"1234567", r"packet 2, at byte \d+, is cut: 7 of 8 bytes of its head"),
        (HEADER + packet(b"", stream=9), "packet 0, .* is of stream 9, which the header doesn't name"),
        (HEADER + struct.pack("<ii", 0, -1), "is cut or damaged: it announces -1 bytes, 0 are there"),
        (HEADER + struct.pack("<ii", 0, 2**31 - 1), "is cut or damaged: it announces 2147483647 bytes, 0 are there"),
        (HEADER + packet(b"123"), "packet 0, .* it holds b'' where b'EVTS' was expected"),
        (HEADER + packet(vector(b"EVTS", b"", 2**32 - 1)), "it announces 4294967295 items of 16 bytes, .* 0 are there"),
        (header(EVENTS, end=10**6) + SMALL[len(HEADER) :], r"cut at byte \d+, after 2 packets; .* they end at 1000000"),
        (HEADER + events_packet(event(5, 128, 1, 1)), r"event 0 at \(128, 1\) lies outside the 128×128 sensor"),
        (HEADER + events_packet(event(5, 2**16 - 1, 1, 1)), r"event 0 at \(65535, 1\) lies outside"),
        (HEADER + events_packet(event(-1, 1, 1, 1)), "has times from -1 to -1 µs; the file is damaged"),
        (HEADER + events_packet(event(2**62, 1, 1, 1)), "has times from 4611686018427387904 to"),
        (HEADER + events_packet(event(20_000, 1, 1, 1), event(0, 1, 1, 1)), "time runs backwards at event 1"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(data, message):
    with pytest.raises(RecordingError, match=f"^r.aedat4: .*{message}"):
        decode(data)


def test_another_sensor_than_the_file_says_is_refused():
    with pytest.raises(RecordingError, match="is of a 128×128 sensor, but 240×180 was asked for"):
        decode(SMALL, (240, 180))


@pytest.mark.parametrize("compression", [LZ4, ZSTD])
def test_damaged_compressed_packets_are_refused(compression):
    whole = events_packet(*[event(5, 1, 1, 1)] * 9, compress=compressions()[compression])
    for end in range(9, len(whole)):
        with pytest.raises(RecordingError, match=r"^r.aedat4: packet 0, at byte \d+, as (LZ4|Zstandard), "):
            decode(header(EVENTS, compression=compression) + packet(whole[8:end]))


@pytest.mark.parametrize("compression", [LZ4, ZSTD])
def test_packets_that_would_grow_without_bound_are_refused(compression):
    bomb = compressions()[compression](vector(b"EVTS", bytes(1 << 20), 1 << 16))

    with pytest.raises(RecordingError, match=f"{len(bomb)} bytes would become more than 64 times as many"):
        decode(header(EVENTS, compression=compression) + packet(bomb))


def test_a_zstandard_bomb_that_hides_its_size_is_refused():
    zstandard = pytest.importorskip("zstandard")
    bomb = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 20))

    with pytest.raises(RecordingError, match="as Zstandard, "):
        decode(header(EVENTS, compression=ZSTD) + packet(bomb))


@pytest.mark.parametrize(("compression", "module"), [(LZ4, "lz4.frame"), (ZSTD, "zstandard")])
def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch, compression, module):
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(RecordingError, match=r"r.aedat4: is compressed with .*: pip install 'evglif\[aedat4\]'"):
        decode(header(EVENTS, compression=compression))


def decodes_or_is_refused(data):
    try:
        decoded = decode(data)
    except RecordingError as error:
        assert str(error).startswith("r.aedat4: ")  # noqa: PT017
    else:
        assert len(decoded.events) > 0


@given(st.binary(max_size=120))
@example(bytes(8))
def test_arbitrary_bytes_raise_nothing_else(data):
    decodes_or_is_refused(b"#!AER-DAT4.0\r\n" + data)
    decodes_or_is_refused(HEADER + data)
    decodes_or_is_refused(HEADER + packet(data))
    decodes_or_is_refused(HEADER + packet(struct.pack("<II4s", len(data), 8, b"EVTS") + data))


def test_a_file_cut_anywhere_raises_nothing_else():
    for end in range(1, len(SMALL)):
        decodes_or_is_refused(SMALL[:end])


@pytest.mark.parametrize("compression", [NONE, LZ4, ZSTD])
def test_a_wrong_bit_anywhere_raises_nothing_else(compression):
    rows = [event(t, t % 128, 1, 1) for t in range(5)]
    data = header(EVENTS, compression=compression) + events_packet(*rows, compress=compressions()[compression])
    for bit in range(8 * 14, 8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        decodes_or_is_refused(bytes(damaged))


# the figures are those of aedat 2.3.0 and of dv_processing 2.0.4; 475 motion samples
@pytest.mark.parametrize(
    ("name", "sensor", "num_special", "num_events", "first", "last", "sums"),
    [
        (
            "aedat4_davis_sample.aedat4",
            (320, 240),
            475,
            111954,
            (1605537493718345, 154, 204, False),
            (1605537494308262, 88, 237, True),
            [18342405, 15105898, 55023],
        ),
        (
            "aedat4_dvs128_gesture.aedat4",
            (128, 128),
            0,
            18342,
            (1718320899149165, 123, 117, True),
            (1718320904608663, 96, 124, False),
            [912567, 1098973, 8297],
        ),
    ],
)
def test_real_recordings(shared_data, name, sensor, num_special, num_events, first, last, sums):
    pytest.importorskip("lz4.frame")
    decoded = read_recording(shared_data / "formats" / name)

    assert (decoded.sensor, decoded.num_special, len(decoded.events)) == (sensor, num_special, num_events)
    assert (decoded.events[0].tolist(), decoded.events[-1].tolist()) == (first, last)
    assert [int(decoded.events[column].sum(dtype="i8")) for column in "xyp"] == sums
