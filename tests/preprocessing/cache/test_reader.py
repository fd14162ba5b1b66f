import json
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from preprocessing.cache import CacheError, FrameCache, NotACacheError, fingerprint
from preprocessing.cache.contents import Outcome, Row, joined
from preprocessing.cache.writer import describe, write_cache
from tests.helpers import ROOT

CONFIG = {"steps": 3, "size": [5, 4], "slicing": "count", "dataset": "made up"}
SHAPE = (3, 2, 4, 5)
FRAMES = np.random.default_rng(0).integers(0, 1 << 16, (7, *SHAPE)).astype(np.uint16)
SPLITS = ["train", "test", "train", "validation", "train", "test", "train"]
LEFT_OUT = [("b/nichts.aedat", "the file is empty (0 bytes)")]


def parts():
    """One recording per sample, in which something was left out of the first."""
    for i, (frames, split) in enumerate(zip(FRAMES, SPLITS, strict=True)):
        row = Row(i % 2, split, f"a/{i}.aedat", 10 * i, 100 * i)
        counts = {"num_saturated": 1, "num_special": i, "num_backward": 2, "num_filtered": 3, "num_unused": 4}
        yield Outcome(row.source, (row,), LEFT_OUT[i:], (128, 96), 1 / 36, **counts), [frames]


def write(path, config=CONFIG):
    write_cache(path, config, ["Maß", "b"], parts(), scratch=path.name)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "frames.h5")


def test_gives_back_what_was_written(path):
    cache = FrameCache(path)
    assert len(cache) == 7
    assert cache.classes == ("Maß", "b")
    assert (cache.steps, cache.size, cache.sensor) == (3, (5, 4), (128, 96))
    assert cache.scale == 1 / 36
    assert cache.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert cache.num_events.tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert cache.duration_us.tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert [cache.source(i) for i in (0, 6, -1)] == ["a/0.aedat", "a/6.aedat", "a/6.aedat"]
    assert cache.sources == tuple(f"a/{i}.aedat" for i in range(7))
    assert cache.splits == tuple(SPLITS)
    assert cache.shards == ()
    assert cache.left_out == tuple(LEFT_OUT)
    assert (cache.num_saturated, cache.num_special) == (7, 21)
    assert (cache.num_backward, cache.num_filtered, cache.num_unused) == (14, 21, 28)
    assert cache.config == CONFIG
    assert cache.fingerprint == fingerprint(CONFIG)


def test_frames_in_units_and_in_events(path):
    with FrameCache(path) as cache:
        stored = cache.stored([5, 0, -1, 5])
        assert stored.dtype == np.uint16
        np.testing.assert_array_equal(stored, FRAMES[[5, 0, 6, 5]])
        assert cache.stored([]).shape == (0, *SHAPE)
        assert cache[2].dtype == np.float32
        np.testing.assert_allclose(cache[2], FRAMES[2] / 36, rtol=1e-6)


def test_indices_of_a_split(path):
    cache = FrameCache(path)
    assert {split: cache.indices(split).tolist() for split in ("train", "validation", "test")} == {
        "train": [0, 2, 4, 6],
        "validation": [3],
        "test": [1, 5],
    }
    with pytest.raises(ValueError, match="'dev' is unknown: choose one of train, validation, test"):
        cache.indices("dev")


@pytest.mark.parametrize("index", [7, -8])
def test_index_beyond_the_samples(path, index):
    cache = FrameCache(path)
    for read in (cache.__getitem__, cache.source, lambda i: cache.stored([i])):
        with pytest.raises(IndexError, match=f"sample {index} is not in .* holds 7"):
            read(index)


def test_other_programs_find_the_contract(path):
    with h5py.File(path) as file:
        assert file["frames"].chunks is None
        assert file["frames"].dtype == "<u2"
        assert file["frames"].attrs["scale"] == 1 / 36
        assert h5py.check_enum_dtype(file["split"].dtype) == {"train": 0, "validation": 1, "test": 2}
        assert json.loads(file.attrs["config"]) == CONFIG
        assert file["source"].asstr()[3] == "a/3.aedat"


def test_pickled_without_frames_and_reads_again(path):
    cache = FrameCache(path)
    cache.stored([0])
    pickled = pickle.dumps(cache)
    assert FRAMES[0].tobytes() not in pickled
    np.testing.assert_array_equal(pickle.loads(pickled).stored([3]), FRAMES[3:4])


def test_same_input_gives_the_same_bytes(tmp_path):
    assert write(tmp_path / "one.h5").read_bytes() == write(tmp_path / "two.h5").read_bytes()


def test_fingerprint_knows_content_not_order():
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})


def test_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.h5.*preprocessing\.build"):
        FrameCache(tmp_path / "none.h5")


def test_file_of_another_kind(tmp_path):
    (tmp_path / "notes.h5").write_text("not a cache")
    with pytest.raises(NotACacheError, match="not an HDF5 file"):
        FrameCache(tmp_path / "notes.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = 1
    with pytest.raises(NotACacheError, match="not a frame cache"):
        FrameCache(tmp_path / "other.h5")


def test_file_cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CacheError, match="cut short"):
        FrameCache(path)


def test_file_without_a_part(path):
    with h5py.File(path, "a") as file:
        del file["labels"]
    with pytest.raises(CacheError, match="labels is missing; expected a data set: build it anew"):
        FrameCache(path)


def test_file_of_another_schema(path):
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(CacheError, match="schema 99, this package reads 4; build it anew"):
        FrameCache(path)


def test_file_replaced_by_another_build_after_it_was_opened(path):
    cache = FrameCache(path)
    write(path, {**CONFIG, "slicing": "time"})
    with pytest.raises(CacheError, match="frames of another build; open the cache again"):
        cache.stored([0])


@pytest.fixture
def sharded(tmp_path):
    """The same cache as a virtual one over shards of 3, 0 and 4 samples."""
    folder, shards = tmp_path / "set" / "frames.h5.shards", {0: (0, 3), 2: (3, 7)}
    folder.mkdir(parents=True)
    layout = h5py.VirtualLayout((7, *SHAPE), "<u2")
    common = {"build": fingerprint(CONFIG), "steps": 3, "size": [5, 4]}
    for number in range(3):
        start, stop = shards.get(number, (3, 3))
        write_cache(folder / f"{number}.h5", common, ["Maß", "b"], [*parts()][start:stop], scratch="x")
        if start < stop:
            source = h5py.VirtualSource(f"frames.h5.shards/{number}.h5", "frames", (stop - start, *SHAPE), "<u2")
            layout[start:stop] = source
    path = folder.with_name("frames.h5")
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("frames", layout)
    describe(path, CONFIG, ["Maß", "b"], joined(outcome for outcome, _ in parts()))
    return path


def test_frames_in_shards_are_read_alike(sharded, path, tmp_path):
    shutil.move(sharded.parent, tmp_path / "moved")
    cache = FrameCache(tmp_path / "moved" / "frames.h5")
    assert [(shard.path.name, shard.start, shard.num_samples) for shard in cache.shards] == [
        ("0.h5", 0, 3),
        ("2.h5", 3, 4),
    ]
    np.testing.assert_array_equal(cache.stored([-7, 2, 3, 6, -1]), FRAMES[[0, 2, 3, 6, 6]])
    np.testing.assert_array_equal(cache[4], FrameCache(path)[4])
    with h5py.File(cache.path) as file:
        np.testing.assert_array_equal(file["frames"][:], FRAMES)


def test_empty_shard_is_a_frame_cache_without_samples(sharded):
    cache = FrameCache(sharded.parent / "frames.h5.shards" / "1.h5")
    assert (len(cache), cache.shape, cache.left_out) == (0, SHAPE, ())
    with pytest.raises(IndexError, match="holds 0"):
        cache.stored([0])


def test_shard_that_is_missing_is_named(sharded):
    (sharded.parent / "frames.h5.shards" / "2.h5").unlink()
    with pytest.raises(CacheError, match=r"frames\.h5: its shard .*2\.h5 is missing; move both together"):
        FrameCache(sharded)


def test_shard_of_another_build_is_named(sharded):
    other = sharded.parent / "frames.h5.shards" / "2.h5"
    write_cache(other, {"build": "another", "steps": 3, "size": [5, 4]}, ["a"], [*parts()][3:], scratch="x")
    with pytest.raises(CacheError, match=r"2\.h5: holds the frames of another build"):
        FrameCache(sharded).stored([6])


def test_shard_cut_short_is_named(sharded):
    damaged = sharded.parent / "frames.h5.shards" / "0.h5"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(CacheError, match=r"0\.h5: .*cut short"):
        FrameCache(sharded).stored([6])


def test_read_without_numba_or_torch():
    code = "import sys, preprocessing.cache; print({'numba', 'torch'} & set(sys.modules))"
    root = ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
