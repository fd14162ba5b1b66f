import json

import numpy as np
import pytest

from evglif.train import train
from evglif.validation import choose, recording_of, split_training, start_of
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets.recordings.folder import Folder
from preprocessing.readers import aedat2
from tests.helpers.spots import small_recipe, spot


def numbered(*lengths):
    """Recordings of these numbers of windows of 10 µs, and where each window starts."""
    recordings = np.repeat(np.arange(len(lengths)), lengths)
    starts = np.concatenate([10 * np.arange(length) for length in lengths])
    return recordings, starts


def test_single_samples_are_cut_from_every_class_by_the_seed():
    labels = np.repeat([0, 1, 2], [20, 40, 3])
    alone = np.arange(63), np.zeros(63, np.int64)
    cut, shared = choose(labels, *alone, 0.25, seed=0)
    assert np.bincount(labels[cut], minlength=3).tolist() == [5, 10, 0]
    assert shared == []
    assert np.array_equal(cut, choose(labels, *alone, 0.25, seed=0)[0])
    assert not np.array_equal(cut, choose(labels, *alone, 0.25, seed=1)[0])


@pytest.mark.parametrize("seed", range(5))
def test_whole_recordings_are_cut_off(seed):
    recordings, starts = numbered(4, 4, 4, 4, 9)
    cut, shared = choose(np.zeros(25, np.int64), recordings, starts, 0.3, seed)
    assert shared == []
    assert set(recordings[cut]).isdisjoint(recordings[~cut])
    assert 7 <= cut.sum() <= 12  # 0.3 × 25 = 7, at most half


def test_a_recording_larger_than_half_of_its_class_is_never_cut_off():
    for seed in range(10):
        recordings, starts = numbered(2, 20)
        cut, shared = choose(np.zeros(22, np.int64), recordings, starts, 0.2, seed)
        assert (set(recordings[cut]), shared) == ({0}, [])


@pytest.mark.parametrize("seed", range(5))
def test_of_one_recording_a_block_of_time_is_cut_off(seed):
    recordings, starts = numbered(20)
    mixed_up = np.random.default_rng(0).permutation(20)
    cut, shared = choose(np.full(20, 3), recordings[mixed_up], starts[mixed_up], 0.25, seed)
    assert shared == [3]
    times = np.sort(starts[mixed_up][cut])
    assert len(times) == 5
    assert (np.diff(times) == 10).all()


def test_a_recording_of_several_classes_is_on_one_side_with_all_of_them():
    labels, recordings = np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    cut, shared = choose(labels, recordings, np.zeros(20, np.int64), 0.2, seed=0)
    assert (cut.sum(), shared) == (4, [])
    assert set(recordings[cut]).isdisjoint(recordings[~cut])


def test_a_source_names_its_recording_and_where_it_starts():
    assert recording_of("cat/a@home.aedat@20us@1500us") == "cat/a@home.aedat"
    assert start_of("cat/a@home.aedat@20us@1500us") == 1520
    assert (recording_of("all/0001"), start_of("all/0001")) == ("all/0001", 0)


@pytest.fixture(scope="module")
def one_each(tmp_path_factory):
    """One recording of each side of 100 ms, cut into windows of 10 ms that begin every 5 ms; and one to test on."""
    root, generator = tmp_path_factory.mktemp("one"), np.random.default_rng(0)
    for split in ("train", "test"):
        for side, columns in (("left", (4, 40)), ("right", (88, 124))):
            (root / split / side).mkdir(parents=True)
            (root / split / side / "0.aedat").write_bytes(aedat2.encode(spot(generator, *columns, 3000)))
    out = root / "windows.h5"
    build(Folder(root, window="10ms", hop="5ms"), out, steps=3, size=(16, 16), workers=1)
    return out


def test_windows_that_overlap_with_validation_are_trained_on_nowhere(one_each):
    with FrameCache(one_each) as cache:
        parts = split_training(cache, 0.2, seed=0)
        spans = {
            index: (start_of(cache.sources[index]), start_of(cache.sources[index]) + int(cache.duration_us[index]))
            for index in cache.indices("train").tolist()
        }
        names = [recording_of(source) for source in cache.sources]
    assert parts.shared == ("left", "right")
    assert len(parts.training) + len(parts.validation) + parts.num_overlapping == len(spans)
    assert 2 <= parts.num_overlapping <= 4  # one on each side of a block, at the recording's end on one
    for held in parts.validation.tolist():
        for kept in parts.training.tolist():
            apart = spans[kept][1] < spans[held][0] or spans[held][1] < spans[kept][0]
            assert apart or names[kept] != names[held]
    assert "WARNING: of left, right they are parts of recordings that are trained on too" in str(parts)


def test_a_run_says_what_it_is_chosen_by(one_each, cache_path, tmp_path, capsys):
    recipe = small_recipe(epochs=1)
    train(recipe, one_each, tmp_path / "one")
    assert "validation flatters, what counts is the test split" in capsys.readouterr().out
    results = json.loads((tmp_path / "one" / "results.json").read_text())
    assert results["validation"]["shared_classes"] == ["left", "right"]
    train(recipe, cache_path, tmp_path / "many")
    assert "validation: 8 samples of 8 recordings, none of which is trained on" in capsys.readouterr().out
    assert json.loads((tmp_path / "many" / "results.json").read_text())["validation"]["shared_classes"] == []
