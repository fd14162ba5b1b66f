import os
import socket
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.running.sources import AddressDecoder, Received, aedat_packets, chunks, datagrams, open_udp, parse_udp
from preprocessing.events import make_events
from preprocessing.readers import aedat2, read_recording

DVS128 = (128, 128)


def events_at(times):
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 128, len(times)), generator.integers(0, 128, len(times))
    return make_events(np.asarray(times), x, y, generator.random(len(times)) < 0.5)


def records(*pairs):
    """Addresses and times as they are sent."""
    return np.array(pairs, ">u4").tobytes()


def received(packets):
    """What comes out of a UDP socket to which these datagrams are sent, and the decoder that counted."""
    decoder = AddressDecoder(DVS128)
    receiver = open_udp("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, receiver.getsockname())
    events = list(datagrams(receiver, decoder, idle_s=0.05))
    assert receiver.fileno() == -1
    return events, decoder.received


def test_datagrams_with_and_without_a_sequence_number():
    events = events_at(np.arange(0, 3000, 10))
    body = aedat2.encode(events)[-8 * len(events) :]
    parts = [body[:800], body[800:1600], body[1600:]]
    for packets in (parts, [number.to_bytes(4, "big") + part for number, part in enumerate(parts, start=1)]):
        decoded, counts = received(packets)
        np.testing.assert_array_equal(np.concatenate(decoded), events)
        assert (counts.num_events, counts.num_lost, counts.num_malformed) == (300, 0, 0)
        assert str(counts) == "300 events"
        assert counts.ended == "no packet came for 0.05 s"


def test_lost_and_malformed_datagrams_are_counted():
    event = records((0x0101, 5))
    numbers = (7, 8, 11, 9, 12)
    packets = [
        *(number.to_bytes(4, "big") + event for number in numbers),
        b"",
        event[:-1],
        event + b"x",
        b"\xff\xff\xff\xff",
    ]
    decoded, counts = received(packets)
    assert sum(map(len, decoded)) == 5
    assert counts.num_malformed == 2
    assert counts.num_lost == 2 + 2 + (0xFFFFFFFF - 13)
    assert "malformed packets or records dropped" in str(counts)


def test_addresses_of_no_event_are_told_from_those_that_cannot_be():
    decoder = AddressDecoder(DVS128)
    events = decoder.decode(records((0x0000, 1), (0x8000, 2), (0x7FFF, 3), (0x10000, 4), (0xFFFFFFFF, 5)))
    assert events.tolist() == [(1, 127, 127, True), (3, 0, 0, False)]
    assert (decoder.received.num_special, decoder.received.num_malformed) == (1, 2)
    davis = AddressDecoder((240, 180))
    one = 239 << 12 | 179 << 22 | 1 << 11
    events = davis.decode(records((one, 1), (one | 1 << 31, 2), (one | 1 << 10, 3), (240 << 12, 4), (180 << 22, 5)))
    assert events.tolist() == [(1, 0, 0, True)]
    assert (davis.received.num_special, davis.received.num_malformed) == (2, 2)


def test_the_clock_goes_on_where_it_wraps_in_any_packet_and_a_little_out_of_order():
    times = [2**32 - 20, 2**32 - 10, 3, 2**32 - 5, 2, 2**31, 2**32 - 1, 7]
    expected = [2**32 - 20, 2**32 - 10, 2**32 + 3, 2**32 - 5, 2**32 + 2, 2**32 + 2**31, 2**33 - 1, 2**33 + 7]
    decoder = AddressDecoder(DVS128)
    whole = records(*((0, time) for time in times))
    assert decoder.decode(whole)["t"].tolist() == expected
    single = AddressDecoder(DVS128)
    assert [int(single.decode(whole[at : at + 8])["t"][0]) for at in range(0, len(whole), 8)] == expected


def test_a_sensor_of_no_known_camera_is_refused():
    with pytest.raises(ValueError, match=r"known of sensors 128×128, 240×180, .*, the model is for 34×34"):
        AddressDecoder((34, 34))


@given(st.lists(st.integers(0, 400), max_size=6), st.booleans(), st.integers(0, 7))
def test_a_byte_stream_may_be_cut_anywhere(places, with_header, missing):
    events = events_at(np.arange(20) * 7)
    data = aedat2.encode(events, comments=["made for a test"])
    data = data if with_header else data[-160:]
    data = data[: len(data) - missing]
    cuts = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    decoder = AddressDecoder(DVS128)
    packets = list(aedat_packets((data[a:b] for a, b in pairwise(cuts)), decoder, "a pipe"))
    np.testing.assert_array_equal(np.concatenate(packets), events[: len(events) - (missing > 0)])
    assert decoder.received.num_malformed == (missing > 0)


def test_a_header_of_another_camera_or_version_is_refused():
    header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + bytes(8)
    with pytest.raises(ValueError, match="a pipe"):
        list(aedat_packets([header], AddressDecoder(DVS128), "a pipe"))
    with pytest.raises(ValueError, match=r"a pipe: this is AEDAT-3\.1"):
        list(aedat_packets([b"#!AER-DAT3.1\r\n" + bytes(40)], AddressDecoder(DVS128), "a pipe"))


def test_a_header_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr("deploy.running.sources._MOST_HEADER_BYTES", 1000)
    lines = (b"#" + b"x" * 62 + b"\n" for _ in range(1 << 20))
    with pytest.raises(ValueError, match="a pipe: its text header goes on after 1024 bytes, at most 1000 are read"):
        list(aedat_packets(lines, AddressDecoder(DVS128), "a pipe"))


def test_a_davis_of_128_pixels_is_told_by_its_header():
    header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis128\r\n"
    (events,) = aedat_packets([header + records((5 << 12 | 1 << 11, 9))], AddressDecoder(DVS128), "a pipe")
    assert events.tolist() == [(9, 122, 127, True)]


def test_a_record_that_begins_like_a_header_line_is_a_record():
    header = b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n"
    like_text = records((0x23092009, 0x200A200A))
    decoder = AddressDecoder((240, 180))
    first, second = aedat_packets([header + records((0, 1)), like_text], decoder, "a pipe")
    assert (len(first), len(second)) == (1, 1)


@pytest.mark.parametrize("name", ["aedat2_dvs128_walking.aedat", "aedat2_davis240_boxes.aedat"])
def test_real_recordings_come_through_as_they_are_read(shared_data, name):
    path = shared_data / "formats" / name
    recording, data = read_recording(path), path.read_bytes()
    decoder = AddressDecoder(recording.sensor)
    parts = (data[at : at + 5001] for at in range(0, len(data), 5001))
    events = np.concatenate(list(aedat_packets(parts, decoder, name)))
    np.testing.assert_array_equal(events[np.argsort(events["t"], kind="stable")], recording.events)
    assert decoder.received.num_special == recording.num_special


def test_a_pipe_is_read_as_it_fills_and_to_its_end():
    reading, writing = os.pipe()
    parts = [b"a" * 10, b"b" * 100_000, b"c"]

    def write():
        with os.fdopen(writing, "wb", buffering=0) as pipe:
            for part in parts:
                pipe.write(part)

    writer = threading.Thread(target=write)
    writer.start()
    received = Received()
    read = list(chunks(reading, received))
    writer.join(timeout=5)
    os.close(reading)
    assert b"".join(read) == b"".join(parts)
    assert max(map(len, read)) <= 1 << 16
    assert received.ended == "the input ended"


def test_a_growing_file_is_followed_until_it_stays_as_it_is(tmp_path):
    path = tmp_path / "growing.aedat"
    path.write_bytes(b"one")
    with path.open("rb") as file, path.open("ab") as more:
        read = []
        for data in chunks(file.fileno(), Received(), idle_s=0.1):
            read.append(data)
            if len(read) == 1:
                more.write(b"two")
                more.flush()
        assert read == [b"one", b"two"]


@pytest.mark.parametrize(
    "text", ["udp://", "udp://localhost", "udp://localhost:port", "udp://localhost:70000", "udp://:1"]
)
def test_addresses_that_cannot_be_read(text):
    with pytest.raises(ValueError, match=r"write host and port, e\.g\. udp://127\.0\.0\.1:8991"):
        parse_udp(text)


def test_addresses_that_can_be_read():
    assert parse_udp("udp://localhost:8991") == ("localhost", 8991)
    assert parse_udp("udp://[::1]:1") == ("::1", 1)
    assert parse_udp("recording.aedat") is None


def test_an_address_in_use_is_named():
    with open_udp("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot receive at udp://127\.0\.0\.1:{port}: Address already in use"):
            open_udp("127.0.0.1", port)
