import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.events import EVENT_DTYPE, RecordingError, make_events
from preprocessing.events.records import Records
from preprocessing.frames.rasterize import Rasterizer
from preprocessing.readers import aedat2, atis, decode_recording, read_recording
from preprocessing.readers.raw import open_raw

DAT = b"% Data file containing CD events.\n% Version 2\n% Width 120\n% Height 100\n\x0c\x08"


def events_within(width, height, num=300, seed=0):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 100_000, num))
    return make_events(t, rng.integers(0, width, num), rng.integers(0, height, num), rng.integers(0, 2, num))


def dat(events):
    words = events["x"].astype("<u8") | events["y"].astype("<u8") << 14 | events["p"].astype("<u8") << 28
    return DAT + (words << 32 | events["t"].astype("<u8")).tobytes()


FORMATS = {
    "aedat2": (aedat2.encode, "r.aedat", (128, 128)),
    "atis": (atis.encode, "r.bin", (34, 34)),
    "dat": (dat, "r.dat", (120, 100)),
}


@pytest.fixture(params=FORMATS)
def form(request):
    return FORMATS[request.param]


@given(st.sampled_from(sorted(FORMATS)), st.integers(1, 50), st.integers(0, 5))
def test_raw_records_make_the_frames_of_the_decoded_ones(name, num_events, seed):
    encode, source, sensor = FORMATS[name]
    data = encode(events_within(*sensor, num_events, seed))
    decoded, raw = decode_recording(data, source, sensor), open_raw(data, source, sensor)

    assert (raw.format, raw.sensor, raw.source) == (decoded.format, decoded.sensor, source)
    assert (len(raw.events), raw.events.duration_us) == (len(decoded.events), decoded.duration_us)
    np.testing.assert_array_equal(np.asarray(raw.events.t), decoded.events["t"])
    for slicing, value in (("count", "count"), ("time", "count"), ("time", "voxel"), ("duration:7ms", "voxel")):
        rasterizer = Rasterizer(sensor, 3, (20, 10), slicing, transpose=seed % 2 == 0, value=value)
        np.testing.assert_array_equal(rasterizer.sums(raw.events), rasterizer.sums(decoded.events))


def test_parts_of_raw_records_are_parts_of_the_recording(form):
    encode, source, sensor = form
    events = events_within(*sensor)
    raw = open_raw(encode(events), source, sensor).events[20:50]

    assert np.asarray(raw.t).tolist() == events["t"][20:50].tolist()
    rasterizer = Rasterizer(sensor, 3)
    np.testing.assert_array_equal(rasterizer.sums(raw), rasterizer.sums(events[20:50]))


def test_files_whose_times_run_backwards_are_decoded(form):
    encode, source, sensor = form
    events = events_within(*sensor)
    data = bytearray(encode(events))
    record_bytes = (len(data) - len(encode(events[:1]))) // (len(events) - 1)
    data[-record_bytes:], data[-2 * record_bytes : -record_bytes] = (
        data[-2 * record_bytes : -record_bytes],
        data[-record_bytes:],
    )

    assert open_raw(bytes(data), source, sensor) is None
    assert decode_recording(bytes(data), source, sensor).num_backward == 1


@pytest.mark.parametrize(
    ("data", "source", "sensor"),
    [
        (aedat2.encode(events_within(128, 128))[:-8] + bytes([0, 0, 0x80, 0, 0, 1, 0x86, 0xA0]), "special.aedat", None),
        (aedat2.encode(events_within(128, 128))[:-8] + bytes([0, 1, 0, 0, 0, 1, 0x86, 0xA0]), "address.aedat", None),
        (atis.encode(events_within(34, 34)) + bytes([0, 240, 1, 0x86, 0xA0]), "tick.bin", (300, 300)),
        (atis.encode(events_within(34, 34)) + bytes([34, 0, 1, 0x86, 0xA0]), "outside.bin", (34, 34)),
        (atis.encode(events_within(34, 34)), "sensor_unknown.bin", None),
        (atis.encode(events_within(34, 34))[:-1], "cut.bin", (34, 34)),
        (dat(events_within(120, 100)) + bytes([0xA0, 0x86, 1, 0, 120, 0, 0, 0]), "outside.dat", None),
        (dat(events_within(120, 100)) + bytes([0xA0, 0x86, 1, 0, 0, 0, 0, 0x20]), "polarity.dat", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_with_other_records_are_left_to_their_reader(data, source, sensor):
    assert open_raw(data, source, sensor) is None


def test_what_the_header_tells_is_refused_at_once():
    with pytest.raises(RecordingError, match="cut in the middle"):
        open_raw(aedat2.encode(events_within(128, 128))[:-1], "r.aedat")
    with pytest.raises(RecordingError, match=r"r\.xyz: no reader"):
        open_raw(b"hello", "r.xyz")


def test_no_records_take_no_time():
    assert Records.from_events(np.empty(0, EVENT_DTYPE), (4, 4)).duration_us == 0


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("dvs128_objects/session2/cutter.aedat", None),
        ("formats/aedat2_dvs128_walking.aedat", None),
        ("nmnist_small/Train/0/00193.bin", (34, 34)),
        ("dvs_gesture_clips/1.bs2", (128, 128)),
        ("formats/ncars_sample.dat", (120, 100)),
    ],
)
def test_real_recordings_need_no_decoding(shared_data, name, sensor):
    path = shared_data / name
    raw, decoded = open_raw(path.read_bytes(), name, sensor), read_recording(path, sensor)

    rasterizer = Rasterizer(decoded.sensor)
    np.testing.assert_array_equal(rasterizer.sums(raw.events), rasterizer.sums(decoded.events))
