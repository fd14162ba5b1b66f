"""What is written is read again equal, event for event, by our readers and by other people's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.events import EVENT_DTYPE, Reading, make_events
from preprocessing.readers import decode_recording, read_recording
from preprocessing.writers import WRITERS, write_recording

STRICT = Reading(drop_bad=0)
SENSORS = {"aedat2": [(128, 128), (240, 180), (346, 260), (640, 480)]}
ANY_SENSOR = [(1, 1), (34, 34), (346, 260), (1280, 720), (2048, 2048)]
FIRST = {
    "aedat2": [0, 1 << 31, (1 << 32) - 1_000_000_000],
    "aedat4": [0, 1_700_000_000_000_000],
    "evt2": [0, 63, 1 << 24, 1 << 33],
    "evt3": [0, 4095, (1 << 24) - 1],
    "hdf5": [0, -5, 1_700_000_000_000_000],
    "npz": [0, -5, 1_700_000_000_000_000],
    "csv": [0, -5, 1_700_000_000_000_000],
}
"""Times that recordings of a format may begin with, µs: the ends of what it holds among them."""

STEPS = st.one_of(st.integers(0, 3), st.integers(60, 70), st.integers(4090, 4100), st.integers(0, 50_000_000))


@st.composite
def recordings(draw, name):
    """Events of some sensor in runs: many of one time and row, as where an edge passes, so that vectors come about."""
    width, height = sensor = draw(st.sampled_from(SENSORS.get(name, ANY_SENSOR)))
    num_runs = draw(st.integers(1, 12))
    t, rows = draw(st.sampled_from(FIRST[name])), []
    for _ in range(num_runs):
        y, p = draw(st.integers(0, height - 1)), draw(st.booleans())
        columns = draw(st.lists(st.integers(0, min(width, 40) - 1), min_size=1, max_size=15))
        left = draw(st.integers(0, max(width - 40, 0)))
        columns = sorted(columns) if draw(st.booleans()) else columns
        rows += [(t, left + x, y, p) for x in columns]
        t += draw(STEPS)
    return np.array(rows, EVENT_DTYPE), sensor


def encoded(name, events, sensor):
    WRITERS[name].check(events, sensor)
    return b"".join(WRITERS[name].encode(events, sensor))


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40)
@given(data=st.data())
def test_our_reader_gives_back_what_was_written(name, data):
    events, sensor = data.draw(recordings(name))
    suffix = WRITERS[name].SUFFIXES[0]
    read = decode_recording(encoded(name, events, sensor), f"recording{suffix}", how=STRICT)
    assert np.array_equal(read.events, events)
    assert (read.sensor, read.sensor_from) == (sensor, "file")
    assert (read.num_special, read.num_dropped, read.resets) == (0, 0, ())


@pytest.mark.parametrize("name", WRITERS)
def test_recordings_of_more_than_a_block_and_a_packet(name, tmp_path):
    """Every loop goes on where it was: clocks, rows, vectors."""
    generator = np.random.default_rng(0)
    num = 600_001
    t = np.sort(generator.integers(0, 1 << 24, num))
    x, y = generator.integers(0, 12, num), generator.integers(0, 3, num)
    events = make_events(t, x, y, generator.random(num) < 0.5)
    path = tmp_path / f"recording{WRITERS[name].SUFFIXES[0]}"
    num_bytes = write_recording(path, events, (240, 180), WRITERS[name])
    assert path.stat().st_size == num_bytes
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert np.array_equal(read_recording(path, how=STRICT).events, events)


def foreign(library, read):
    return lambda path: read(pytest.importorskip(library), path)


def by_expelliarmus(library, path):
    return library.Wizard(encoding="evt2", fpath=str(path)).read()


def by_faery(library, path):
    return library.events_stream_from_file(path).to_array()


def by_aedat(library, path):
    return np.concatenate([packet["events"] for packet in library.Decoder(str(path))])


def by_dv(library, path):
    recording = library.io.MonoCameraRecording(str(path))
    batches = []
    while (batch := recording.getNextEventBatch()) is not None:
        batches.append(batch.numpy())
    assert tuple(recording.getEventResolution()) == (346, 260)
    return np.concatenate(batches)


def by_h5py(library, path):
    """As DSEC's own code takes its events: by the millisecond, and with the offset."""
    with library.File(path) as file:
        columns = {name: file["events"][name][()] for name in "txyp"}
        index = file["ms_to_idx"][()]
        t = columns["t"].astype(np.int64)
        assert columns["t"].dtype == np.uint32
        for ms in (0, len(index) // 2, len(index) - 1):
            assert (t[: index[ms]] < 1000 * ms).all()
            assert (t[index[ms] :] >= 1000 * ms).all()
        return {**columns, "t": t + file["t_offset"][()]}


@pytest.mark.parametrize(
    ("name", "read"),
    [
        pytest.param("evt2", foreign("expelliarmus", by_expelliarmus), id="evt2-expelliarmus"),
        pytest.param("evt2", foreign("faery", by_faery), id="evt2-faery"),
        pytest.param("evt3", foreign("faery", by_faery), id="evt3-faery"),
        pytest.param("aedat4", foreign("faery", by_faery), id="aedat4-faery"),
        pytest.param("aedat4", foreign("aedat", by_aedat), id="aedat4-aedat"),
        pytest.param("aedat4", foreign("dv_processing", by_dv), id="aedat4-dv-processing"),
        pytest.param("hdf5", foreign("h5py", by_h5py), id="hdf5-h5py"),
        pytest.param("npz", lambda path: dict(np.load(path)), id="npz-numpy"),
        pytest.param(
            "csv", lambda path: np.genfromtxt(path, np.int64, delimiter=",", skip_header=1, names=True), id="csv-numpy"
        ),
    ],
)
def test_readers_of_others_give_back_the_same(name, read, tmp_path):
    generator = np.random.default_rng(1)
    num = 20_000
    t = np.sort(generator.integers(0, 40_000_000, num))
    x, y = generator.integers(0, 346, num), generator.integers(0, 260, num)
    x[:15], y[:15], t[:15] = np.arange(3, 18), 7, 5
    events = make_events(t, x, y, generator.random(num) < 0.5)
    events["p"][:15] = True
    path = tmp_path / f"recording{WRITERS[name].SUFFIXES[0]}"
    write_recording(path, events, (346, 260), WRITERS[name])
    theirs = read(path)
    names = theirs.dtype.names if isinstance(theirs, np.ndarray) else tuple(theirs)
    called = {"t": ("t", "timestamp", "t_us"), "x": ("x",), "y": ("y",), "p": ("p", "on", "polarity")}
    for field, others in called.items():
        column = theirs[next(other for other in others if other in names)]
        assert np.array_equal(np.asarray(column).astype(np.int64), events[field].astype(np.int64)), field


def test_vectors_make_evt3_shorter():
    """Twelve events in a row are two words, and one more is a word."""
    row = make_events(np.zeros(13, np.int64), np.arange(13), np.zeros(13, int), np.ones(13, bool))
    header = len(encoded("evt3", row[:1], (640, 480))) - 2 * 4  # the words of the first: tick, time, row, place
    assert len(encoded("evt3", row[:12], (640, 480))) - header == 2 * 5
    assert len(encoded("evt3", row, (640, 480))) - header == 2 * 6
