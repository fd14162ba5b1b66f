import numpy as np
import pytest

from preprocessing import read_recording
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import SUFFIXES, aedat2, decode_recording


@pytest.fixture
def events():
    return make_events(np.array([1, 2]), np.array([3, 4]), np.array([5, 6]), np.array([0, 1]))


def test_a_file_is_read_and_remembers_where_it_came_from(tmp_path, events):
    path = tmp_path / "wave.AEDAT"
    path.write_bytes(aedat2.encode(events))

    recording = read_recording(str(path))

    np.testing.assert_array_equal(recording.events, events)
    assert recording.source == str(path)
    assert recording.duration_us == 1


@pytest.mark.parametrize(("name", "problem"), [("absent.aedat", "no such file"), (".", "a folder; name a file in it")])
def test_a_path_that_is_no_file_is_named(tmp_path, name, problem):
    with pytest.raises(FileNotFoundError, match=f"{problem}; expected a recording"):
        read_recording(tmp_path / name)


@pytest.mark.parametrize("name", ["notes.pdf", "README", "a.zip/notes.pdf"])
def test_an_unknown_format_is_refused_with_the_known_ones(name):
    with pytest.raises(RecordingError, match=rf"{name}: no reader for .* readable are {', '.join(sorted(SUFFIXES))}"):
        decode_recording(b"hello", name)


def test_suffixes_are_lower_case():
    assert {".aedat", ".bin", ".bs2"} <= SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIXES)
