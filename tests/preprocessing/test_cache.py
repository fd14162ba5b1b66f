import json
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from preprocessing.cache import CacheError, CacheWriter, FrameCache, NotACacheError, fingerprint
from preprocessing.files import BusyError

CONFIG = {"steps": 3, "size": [5, 4], "slicing": "count", "dataset": "made up"}
SHAPE = (3, 2, 4, 5)
FRAMES = np.random.default_rng(0).integers(0, 1 << 16, (7, *SHAPE)).astype(np.uint16)
SPLITS = ["train", "test", "train", "validation", "train", "test", "train"]
LEFT_OUT = [("b/nichts.aedat", "the file is empty (0 bytes)")]


def append_all(writer):
    for i, (frames, split) in enumerate(zip(FRAMES, SPLITS, strict=True)):
        writer.append(
            frames,
            label=i % 2,
            split=split,
            source=f"a/{i}.aedat",
            num_events=10 * i,
            duration_us=100 * i,
            num_saturated=1,
        )


def commit(writer):
    writer.commit(classes=["Maß", "b"], sensor=(128, 96), scale=1 / 36, num_special=5, left_out=LEFT_OUT)


def write(path, config=CONFIG):
    with CacheWriter(path, config) as writer:
        append_all(writer)
        commit(writer)
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
    assert cache.left_out == tuple(LEFT_OUT)
    assert (cache.num_saturated, cache.num_special) == (7, 5)
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


def test_more_left_out_than_an_attribute_could_hold(tmp_path):
    left_out = [(f"folder/{i}.txt", "no reader for it " * 5) for i in range(3000)]
    with CacheWriter(tmp_path / "frames.h5", CONFIG) as writer:
        append_all(writer)
        writer.commit(classes=["a", "b"], sensor=(1, 1), scale=1.0, left_out=left_out)
    assert FrameCache(tmp_path / "frames.h5").left_out == tuple(left_out)


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
    with pytest.raises(CacheError, match=r"damaged.*labels"):
        FrameCache(path)


def test_file_of_another_schema(path):
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 99
    with pytest.raises(CacheError, match="schema 99, this package reads 1"):
        FrameCache(path)


def test_sample_of_another_shape_is_refused(tmp_path):
    with CacheWriter(tmp_path / "frames.h5", CONFIG) as writer:
        for frames in (FRAMES[0, :2], FRAMES[0].astype(np.int16)):
            with pytest.raises(ValueError, match=r"a\.aedat: frames are .* expected uint16 \(3, 2, 4, 5\)"):
                writer.append(frames, label=0, split="test", source="a.aedat", num_events=1, duration_us=1)


def test_nothing_is_written_without_samples(tmp_path):
    with pytest.raises(ValueError, match="no samples"), CacheWriter(tmp_path / "frames.h5", CONFIG) as writer:
        commit(writer)
    assert list(tmp_path.iterdir()) == []


def fail_while_writing(path, error):
    with CacheWriter(path, CONFIG) as writer:
        append_all(writer)
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_file(path, error):
    before = path.read_bytes()
    with pytest.raises(error):
        fail_while_writing(path, error)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_leaving_without_commit_writes_nothing(tmp_path):
    with CacheWriter(tmp_path / "frames.h5", CONFIG) as writer:
        append_all(writer)
    assert list(tmp_path.iterdir()) == []


def test_second_writer_of_a_file_is_refused_and_the_first_goes_on(tmp_path):
    path = tmp_path / "frames.h5"
    with CacheWriter(path, CONFIG) as first:
        append_all(first)
        with pytest.raises(BusyError, match=r"building .*frames\.h5"), CacheWriter(path, CONFIG):
            pass
        commit(first)
    np.testing.assert_array_equal(FrameCache(path).stored(range(7)), FRAMES)


KILLED = """
import sys, numpy as np
from preprocessing.cache import CacheWriter
writer = CacheWriter(sys.argv[1], {"steps": 3, "size": [5, 4]}).__enter__()
writer.append(np.zeros((3, 2, 4, 5), np.uint16), label=0, split="test", source="", num_events=1, duration_us=1)
writer._spool.flush()
print("writing", flush=True)
sys.stdin.read()
"""


def test_killed_writer_leaves_nothing_that_matters(tmp_path):
    path = tmp_path / "frames.h5"
    command = [sys.executable, "-c", KILLED, str(path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "writing\n"
        child.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert list(tmp_path.iterdir()) != []
    (tmp_path / ".frames.h5.partial").write_bytes(b"half a file")
    write(path)
    assert list(tmp_path.iterdir()) == [path]
    np.testing.assert_array_equal(FrameCache(path).stored(range(7)), FRAMES)


def test_read_without_numba_or_torch():
    code = "import sys, preprocessing.cache; print({'numba', 'torch'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
