from collections import Counter

import numpy as np
import pytest

from preprocessing.datasets import Digits
from preprocessing.files import BusyError, exclusive
from preprocessing.readers import read_recording


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    dataset = Digits(tmp_path_factory.mktemp("digits"))
    sources = dataset.listing().sources[::600]
    dataset.prepare(sources, workers=1)
    return dataset, sources


def test_lists_all_digits_and_a_fifth_of_each_for_testing(tmp_path):
    listing = Digits(tmp_path).listing()
    assert len({s.name for s in listing.sources}) == len(listing.sources) == 1797
    shares = Counter((s.label, s.split) for s in listing.sources)
    for label in range(10):
        share = shares[label, "test"] / (shares[label, "test"] + shares[label, "train"])
        assert share == pytest.approx(0.2, abs=0.005)
    assert listing == Digits(tmp_path).listing()
    assert listing.sources != Digits(tmp_path, seed=1).listing().sources
    assert list(tmp_path.iterdir()) == []


def test_writes_real_recordings_of_those_asked_for(made):
    dataset, sources = made
    assert sorted(dataset.root.glob("*/*")) == [source.path for source in sources]
    recording = read_recording(sources[0].path)
    assert (recording.format, recording.sensor) == ("aedat2", (128, 128))
    assert len(recording.events) > 5000
    assert 0.3 < np.mean(recording.events["p"]) < 0.7


def test_keeps_what_is_there_and_makes_what_is_missing(made):
    dataset, sources = made
    first, second = sources[:2]
    content = second.path.read_bytes()
    first.path.write_bytes(b"kept as it is")
    second.path.unlink()
    dataset.prepare(sources, workers=1)
    assert first.path.read_bytes() == b"kept as it is"
    assert second.path.read_bytes() == content


def test_recordings_of_another_camera_are_made_anew(made):
    dataset, sources = made
    sources[0].path.write_bytes(b"of another camera")
    (dataset.root / "camera.json").write_text("{}")
    (sources[0].path.parent / ".digit_0000.aedat.partial").touch()
    other = dataset.root / "0" / "mine.aedat"
    other.touch()
    dataset.prepare(sources, workers=1)
    assert len(read_recording(sources[0].path).events) > 5000
    assert sorted(sources[0].path.parent.iterdir()) == sorted([sources[0].path, other])


def test_one_simulation_at_a_time(made):
    dataset, sources = made
    with exclusive(dataset.root / ".simulating", "testing"), pytest.raises(BusyError, match="simulating recordings"):
        dataset.prepare(sources, workers=1)
