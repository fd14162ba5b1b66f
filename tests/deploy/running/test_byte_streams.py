import socket
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.running.byte_streams import open_tcp, packets_of, parse_tcp, received_bytes
from deploy.running.sources import LostError, Received
from preprocessing import read_recording
from preprocessing.events import make_events
from preprocessing.writers import WRITERS, aedat4
from tests.helpers import ROOT
from tests.helpers.aedat4 import LZ4, ZSTD, event, events_packet, header, packet, stream, vector

SENSOR = (346, 260)
FORMATS = ("aedat2", "aedat4", "evt2", "evt3")


def some_events(num=500, sensor=SENSOR, seed=0):
    """Over 40 s: the clock of EVT 3.0 wraps twice; and runs within a row, which become vectors."""
    generator = np.random.default_rng(seed)
    t = np.sort(generator.integers(0, 40_000_000, num))
    x, y = (generator.integers(0, side, num) for side in sensor)
    t[10:20], x[10:20], y[10:20] = t[10], np.arange(50, 60), 7
    p = generator.random(num) < 0.5
    p[10:20] = True
    return make_events(t, x, y, p)


def data_of(name, events, sensor=SENSOR):
    return b"".join(WRITERS[name].encode(events, sensor))


def cut(data, places):
    edges = [0, *sorted(places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges) if stop > start]


def read(parts, sensor=SENSOR):
    received = Received()
    packets = list(packets_of(parts, sensor, received, "a pipe"))
    return (np.concatenate(packets) if packets else some_events(20)[:0]), received


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)
@given(data=st.data())
def test_however_a_stream_is_cut_its_events_are_the_same(name, data):
    events = some_events()
    whole = data_of(name, events)
    places = data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=8))
    found, received = read(cut(whole, places))
    assert np.array_equal(found, events)
    assert str(received) == "500 events"


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_byte_by_byte(name):
    events = some_events(40)
    found, _ = read([bytes([byte]) for byte in data_of(name, events)])
    assert np.array_equal(found, events)


@pytest.mark.parametrize(("name", "sensor"), [("evt3", (1280, 720)), ("evt2", (640, 480)), ("aedat4", (640, 480))])
def test_sensors_of_todays_cameras(name, sensor):
    events = some_events(sensor=sensor)
    assert np.array_equal(read([data_of(name, events, sensor)], sensor)[0], events)
    with pytest.raises(ValueError, match=r"a pipe: sends events of a .* sensor, the model is for 128×128"):
        read([data_of(name, events, sensor)], (128, 128))


@pytest.mark.parametrize("name", FORMATS)
def test_what_an_end_cuts_is_malformed(name):
    events = some_events(40)
    found, received = read([data_of(name, events)[:-1]])
    assert np.array_equal(found, events[: len(found)])
    assert (received.num_malformed, len(found) < 40) == (1, True)


def test_events_outside_the_sensor_are_dropped_and_counted():
    inside, outside = event(5, 1, 2, True), event(6, 346, 0, True)
    found, received = read([header(stream(0, "EVTS")), events_packet(inside, outside, event(-1, 0, 0, False))])
    assert found["t"].tolist() == [5]
    assert (received.num_events, received.num_malformed) == (1, 2)


def test_other_streams_and_triggers_are_no_events():
    streams = header(stream(0, "IMUS"), stream(1, "EVTS", SENSOR), stream(2, "FRME"))
    data = (
        streams
        + packet(vector(b"IMUS", bytes(12), 3), 0)
        + packet(b"?", 2)
        + events_packet(event(5, 1, 2, 1), stream=1)
    )
    found, received = read([data])
    assert found["t"].tolist() == [5]
    assert received.num_special == 4
    raw = (
        b"% format EVT3;height=260;width=346\n% end\n"
        + np.array([0xA << 12, 8 << 12, 6 << 12, 7, 2 << 12], "<u2").tobytes()
    )
    found, received = read([raw])
    assert (len(found), received.num_special) == (1, 1)


@pytest.mark.parametrize(("code", "library"), [(LZ4, "lz4.frame"), (ZSTD, "zstandard")])
def test_compressed_packets(code, library):
    compress = pytest.importorskip(library).compress
    data = header(stream(0, "EVTS", SENSOR), compression=code) + events_packet(event(5, 1, 2, 1), compress=compress)
    assert read([data])[0].tolist() == [(5, 1, 2, True)]


def test_what_stands_behind_the_packets_of_a_file_is_passed_over():
    body = events_packet(event(5, 1, 2, 1))
    start = len(header(stream(0, "EVTS", SENSOR)))
    data = header(stream(0, "EVTS", SENSOR), end=start + len(body)) + body + b"the table of packets"
    found, received = read(cut(data, range(1, len(data), 7)))
    assert (len(found), received.num_malformed) == (1, 0)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (packet(b"", 9), "packet 1 is of stream 9 and 0 bytes; the stream is damaged"),
        (b"\0\0\0\0" + b"\xff\xff\xff\x7f", "packet 1 is of stream 0 and 2147483647 bytes"),
        (packet(bytes(40)), "packet 1, .*; the stream is damaged"),
    ],
)
def test_a_damaged_packet_loses_the_stream(broken, message):
    received = Received()
    packets = packets_of(
        [header(stream(0, "EVTS", SENSOR)) + events_packet(event(5, 1, 2, 1)) + broken], SENSOR, received, "a pipe"
    )
    assert len(next(packets)) == 1
    with pytest.raises(LostError, match=message):
        list(packets)


@pytest.mark.parametrize("start", [b"#!AER-DAT4.0\r\n\xff\xff\xff\x7f", b"\xff\xff\xff\x7f\0\0\0\0IOHE"])
def test_a_header_without_an_end_is_refused(start):
    with pytest.raises(ValueError, match=r"a pipe: its header takes \d+ bytes or more"):
        read([start, *([b"% text\n" * 8192] * 40)])


@pytest.mark.parametrize("data", [b"", b"%", b"\0" * 8, b"#!AER-DAT4.0\r\n"])
def test_a_stream_that_ends_at_once(data):
    found, _ = read([data] if data else [])
    assert len(found) <= 1


def test_addresses_of_servers():
    assert parse_tcp("tcp://127.0.0.1:7777") == ("127.0.0.1", 7777)
    assert parse_tcp("udp://127.0.0.1:7777") is None
    with pytest.raises(
        ValueError, match=r"cannot read the address 'tcp://host'; write .*, e\.g\. tcp://127\.0\.0\.1:7777"
    ):
        parse_tcp("tcp://host")


@pytest.fixture
def server():
    """A listening socket at this machine; at the end it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def served(server, then):
    """Have one connection be taken in a thread."""

    def serve():
        connection, _ = server.accept()
        with connection:
            then(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_a_server_that_closes_the_connection(server):
    events = some_events()
    data = aedat4.header(SENSOR) + aedat4.packet(events)  # as dv-processing sends it
    thread = served(server, lambda connection: connection.sendall(data))
    received = Received()
    found = list(
        packets_of(received_bytes(open_tcp(*server.getsockname()), received, 10), SENSOR, received, "a server")
    )
    thread.join(timeout=10)
    assert np.array_equal(np.concatenate(found), events)
    assert received.ended == "the server closed the connection"


def test_a_server_that_falls_silent(server):
    done = threading.Event()
    thread = served(server, lambda _: done.wait(10))
    received = Received()
    assert list(received_bytes(open_tcp(*server.getsockname()), received, 0.05)) == []
    assert received.ended == "nothing came for 0.05 s"
    done.set()
    thread.join(timeout=10)


def test_a_connection_that_breaks_off(server):
    def reset(connection):
        connection.sendall(b"half")
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # so that closing it resets it

    served(server, reset)
    parts = received_bytes(open_tcp(*server.getsockname()), Received(), 10)
    assert next(parts) == b"half"
    with pytest.raises(LostError, match=r"the connection broke off \(Connection reset by peer\)"):
        next(parts)


def test_nobody_listens(server):
    address = server.getsockname()
    server.close()
    with pytest.raises(OSError, match=rf"cannot connect to tcp://127.0.0.1:{address[1]} \(Connection refused\)"):
        open_tcp(*address)


DV_SERVER = """
import sys, time
import dv_processing as dv
from tests.deploy.running.test_byte_streams import SENSOR, some_events

stream = dv.io.Stream.EventStream(0, "events", "camera", SENSOR)
writer = dv.io.NetworkWriter("127.0.0.1", int(sys.argv[1]), stream)
print("ready", flush=True)
deadline = time.monotonic() + 20
while writer.getClientCount() == 0 and time.monotonic() < deadline:
    time.sleep(0.01)
for seed in range(2):
    store = dv.EventStore()
    for t, x, y, p in some_events(seed=seed).tolist():
        store.push_back(1_700_000_000_000_000 + t, x, y, p)
    writer.writeEvents(store)
time.sleep(20)
"""


def test_what_dv_processing_sends(server):
    """By its own server, in a process that is killed: ended in order, it waits for its clients."""
    pytest.importorskip("dv_processing")
    _, port = server.getsockname()
    server.close()
    command = [sys.executable, "-c", DV_SERVER, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as serving:
        try:
            assert serving.stdout.readline() == b"ready\n"
            received = Received()
            parts = received_bytes(open_tcp("127.0.0.1", port), received, 10)
            packets = packets_of(parts, SENSOR, received, "dv")
            for seed in range(2):
                events = some_events(seed=seed)
                events["t"] += 1_700_000_000_000_000
                assert np.array_equal(next(packets), events)
            serving.kill()
            assert list(packets) == []
            assert received.ended == "the server closed the connection"
        finally:
            serving.kill()


def test_a_recording_of_dv_through_a_pipe(shared_data):
    """Compressed, with frames and motion samples between the events, from a file."""
    path = shared_data / "formats/aedat4_davis_sample.aedat4"
    expected = read_recording(path)
    data = path.read_bytes()
    found, received = read(cut(data, range(4096, len(data), 4096)), expected.sensor)
    assert np.array_equal(np.sort(found["t"]), expected.events["t"])
    assert received.num_special == expected.num_special


def test_a_recording_of_prophesee_through_a_pipe(shared_data):
    path = shared_data / "formats/evt3_sample.raw"
    expected = read_recording(path)
    data = path.read_bytes()
    found, received = read(cut(data, range(1001, len(data), 10_007)), expected.sensor)
    assert np.array_equal(np.sort(found["t"]), expected.events["t"])
    assert received.num_special == expected.num_special
