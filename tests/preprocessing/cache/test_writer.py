import zlib

import h5py
import numpy as np
import pytest

from preprocessing.cache import FrameCache
from preprocessing.cache.contents import Outcome, Row
from preprocessing.cache.writer import FrameRows, frame_layout, write_cache

CONFIG = {"steps": 3, "size": [5, 4]}
SHAPE = (3, 2, 4, 5)
LAYOUT = frame_layout(CONFIG)
FRAMES = np.random.default_rng(0).integers(0, 1 << 16, (5, *SHAPE)).astype(np.uint16)


def part(*numbers, left_out=()):
    rows = tuple(Row(0, "test", f"{i}.aedat", 1, 1) for i in numbers)
    return Outcome("x", rows, left_out, (1, 1)), [FRAMES[i] for i in numbers]


def write(path, parts):
    write_cache(path, CONFIG, ["a"], parts, scratch="mine")


def test_samples_of_all_parts_in_order(tmp_path):
    write(tmp_path / "frames.h5", [part(0, 1), part(), part(4)])
    np.testing.assert_array_equal(FrameCache(tmp_path / "frames.h5").stored(range(3)), FRAMES[[0, 1, 4]])


def test_same_input_gives_the_same_bytes_however_it_is_parted(tmp_path):
    write(tmp_path / "one.h5", [part(0, 1), part(2)])
    write(tmp_path / "two.h5", [part(0), part(1, 2)])
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()


def test_nothing_in_the_file_is_dated(tmp_path):
    write(tmp_path / "frames.h5", [part(0)])
    with h5py.File(tmp_path / "frames.h5") as file:
        for name in file:
            assert h5py.h5o.get_info(file[name].id).ctime == 0, name


def test_more_left_out_than_an_attribute_could_hold(tmp_path):
    left_out = tuple((f"folder/{i}.txt", "no reader for it " * 5) for i in range(3000))
    write(tmp_path / "frames.h5", [part(0, left_out=left_out)])
    assert FrameCache(tmp_path / "frames.h5").left_out == left_out


@pytest.mark.parametrize("frames", [FRAMES[0, :2], FRAMES[0].astype(np.int16)])
def test_sample_of_another_shape_or_type_is_refused(tmp_path, frames):
    with (
        pytest.raises(ValueError, match=r"frames are .* expected uint16 \(3, 2, 4, 5\)"),
        FrameRows(tmp_path / "rows", LAYOUT) as rows,
    ):
        rows.put(0, [frames])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "frames.h5"
    write(path, [part(0)])
    before = path.read_bytes()

    def parts():
        yield part(1)
        raise error

    with pytest.raises(error):
        write(path, parts())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [0, 2], []])
def test_rows_in_any_order_become_frames_in_the_order_asked_for(tmp_path, order):
    with FrameRows(tmp_path / "rows", LAYOUT) as rows:
        for row in (2, 0, 1):
            rows.put(row, [FRAMES[row]])
        path = rows.assemble(order, tmp_path / "partial")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["frames"][:], FRAMES[order])
    assert path.name == ("rows" if order in ([0, 1, 2], []) else "partial")


def test_checksum_is_that_of_what_was_put(tmp_path):
    with FrameRows(tmp_path / "rows", LAYOUT) as rows:
        checksum = rows.put(3, FRAMES[:2])
        assert rows.checksum(3, 2) == checksum == zlib.crc32(FRAMES[:2].astype("<u2").tobytes())
        assert rows.checksum(3, 1) != checksum
        assert rows.checksum(4, 2) != checksum
