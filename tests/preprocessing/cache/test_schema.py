"""Caches that no build writes: each is read rightly or refused, by a line that names file, part and value."""

import json
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from preprocessing.cache import CacheError, FrameCache, NotACacheError, fingerprint, reader
from preprocessing.cache.contents import Outcome, Row
from preprocessing.cache.writer import describe, write_cache
from tests.helpers import ROOT
from tests.helpers.fuzzing import apart

CONFIG = {"steps": 3, "size": [5, 4], "slicing": "count"}
SHAPE = (3, 2, 4, 5)
FRAMES = np.random.default_rng(0).integers(0, 1 << 16, (6, *SHAPE)).astype(np.uint16)
SPLITS = {"train": 0, "validation": 1, "test": 2}


def outcome(first=0, num=6):
    splits = ("train", "train", "validation", "test", "train", "test")
    rows = tuple(Row(n % 3, splits[n], f"{n}.aedat", 10, 100) for n in range(first, first + num))
    return Outcome("0.aedat", rows, sensor=(128, 96), scale=1 / 36)


def write(path, config=CONFIG, first=0, num=6):
    parts = [(outcome(first, num), FRAMES[first : first + num])]
    write_cache(path, config, ["a", "b", "c"], parts, scratch=path.name)
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "frames.h5")


def put(name, data, **options):
    """Replaces a data set, keeping its attributes."""

    def change(file):
        kept = dict(file[name].attrs)
        del file[name]
        made = file.create_dataset(name, data=data, **options)
        made.attrs.update(kept)

    return change


def tell(name, value, of="/"):
    """Replaces an attribute."""

    def change(file):
        del file[of].attrs[name]
        file[of].attrs[name] = value

    return change


def configured(config):
    def change(file):
        tell("config", config if isinstance(config, str) else json.dumps(config, sort_keys=True))(file)
        if isinstance(config, dict):
            tell("fingerprint", fingerprint(config))(file)

    return change


def elsewhere(name):
    """The data set is that of another file."""

    def change(file):
        other = file.filename.replace("frames.h5", "other.h5")
        shutil.copy(file.filename, other)
        del file[name]
        file[name] = h5py.ExternalLink(other, name)

    return change


def bytes_elsewhere(file):
    kept = dict(file["frames"].attrs)
    del file["frames"]
    made = file.create_dataset("frames", FRAMES.shape, "<u2", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])
    made.attrs.update(kept)


def compact(file):
    kept = dict(file["labels"].attrs)
    del file["labels"]
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    made = h5py.h5d.create(file.id, b"labels", h5py.h5t.STD_I64LE, h5py.h5s.create_simple((6,)), layout)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(6, np.int64))
    file["labels"].attrs.update(kept)


def unwritten(name, shape, kind):
    """Announces values that were never written, and so take no room."""

    def change(file):
        kept = dict(file[name].attrs)
        del file[name]
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.CONTIGUOUS)
        h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), layout)
        file[name].attrs.update(kept)

    return change


def grouped(file):
    del file["labels"]
    file.create_group("labels")


DEEP = "[" * 5000 + "]" * 5000
WRONG = {
    "a label below the classes": (put("labels", [0, -1, 2, 0, 1, 2]), r"labels\[1\] is -1; expected 0 to 2, for 3"),
    "a label above the classes": (put("labels", [0, 1, 7, 0, 1, 2]), r"labels\[2\] is 7; expected 0 to 2"),
    "labels that are no whole numbers": (put("labels", np.zeros(6)), "labels is float64; expected whole numbers"),
    "too few labels": (put("labels", [0, 1]), r"labels is of shape \(2,\); expected \[6\]"),
    "labels in a table": (put("labels", np.zeros((6, 1), int)), r"labels is of shape \(6, 1\)"),
    "labels as a group": (grouped, "labels is a group, or a link to elsewhere"),
    "labels of another file": (elsewhere("labels"), "labels is a group, or a link to elsewhere"),
    "labels in the header": (compact, "labels is stored in chunks, in the header or in another file"),
    "packed labels": (put("labels", np.zeros(6, int), chunks=(6,), compression="gzip"), "labels is stored in chunks"),
    "labels that were never written": (unwritten("labels", (6,), h5py.h5t.STD_I64LE), "labels is 48 bytes, of which 0"),
    "a negative number of events": (put("num_events", [-5] * 6), r"num_events\[0\] is -5; expected 0 or more"),
    "a negative duration": (put("duration_us", [1, -5, 1, 1, 1, 1]), r"duration_us\[1\] is -5"),
    "frames in chunks": (put("frames", FRAMES, chunks=(1, *SHAPE)), "frames is stored in chunks"),
    "frames of the other byte order": (
        put("frames", FRAMES.astype(">u2")),
        "frames is of >u2 in HDF5; expected little",
    ),
    "frames that are signed": (put("frames", FRAMES.astype("<i2")), "frames is of <i2 in HDF5"),
    "frames in three dimensions": (put("frames", FRAMES[:, 0, 0]), r"frames is of shape \(6, 4, 5\)"),
    "frames of another file": (bytes_elsewhere, "frames is stored in chunks, in the header or in another file"),
    "frames linked elsewhere": (elsewhere("frames"), "frames is a group, or a link to elsewhere"),
    "fewer frames than samples": (put("frames", FRAMES[:4]), r"labels is of shape \(6,\); expected \[4\]"),
    "frames of another size": (put("frames", np.swapaxes(FRAMES, 3, 4).copy()), "as its config has it"),
    "terabytes of frames": (
        unwritten("frames", (10**9, *SHAPE), h5py.h5t.STD_U16LE),
        "frames is 240,000,000,000 bytes",
    ),
    "a negative scale": (tell("scale", -1.0, "frames"), r"scale is -1\.0; expected a number above 0"),
    "a scale of zero": (tell("scale", 0.0, "frames"), r"scale is 0\.0"),
    "a scale that is no number": (tell("scale", np.nan, "frames"), "scale is nan; expected float"),
    "many scales": (tell("scale", [1.0, 2.0], "frames"), r"scale is \[1\.0, 2\.0\]; expected float"),
    "a scale in words": (tell("scale", "one", "frames"), "scale is 'one'; expected float"),
    "a short split": (put("split", [0, 1], dtype=h5py.enum_dtype(SPLITS, "u1")), r"split is of shape \(2,\)"),
    "an unknown split": (
        put("split", [0, 1, 2, 9, 0, 0], dtype=h5py.enum_dtype(SPLITS, "u1")),
        r"split, of 1 samples, is 9; expected one of",
    ),
    "a split of other meanings": (
        put("split", [0] * 6, dtype=h5py.enum_dtype({"test": 0, "train": 1}, "u1")),
        r"split is of \{'test': 0, 'train': 1\}",
    ),
    "no classes": (
        put("classes", np.zeros(0, object), dtype=h5py.string_dtype()),
        r"classes is \(\); expected different",
    ),
    "a class twice": (put("classes", ["a", "a", "c"], dtype=h5py.string_dtype()), r"classes is \('a', 'a', 'c'\)"),
    "a class without a name": (put("classes", ["a", "", "c"], dtype=h5py.string_dtype()), "classes is"),
    "classes by numbers": (put("classes", [1, 2, 3]), "classes is int64; expected texts"),
    "too few sources": (
        put("source", ["a"], dtype=h5py.string_dtype()),
        "source is of 1 samples; expected one for each",
    ),
    "a configuration that is a list": (configured("[1]"), r"config is '\[1\]' \(it is \[1\]; expected dict"),
    "a deep configuration": (configured(DEEP), "config is .*nested more than 32 deep"),
    "a configuration that is no JSON": (configured("{"), "config is '{'"),
    "a configuration with NaN": (configured('{"steps": NaN}'), "'NaN' is no number of JSON"),
    "a configuration without a size": (configured({"steps": 3}), "size is None; expected"),
    "a configuration of another size": (configured({"steps": 3, "size": [4, 5]}), r"expected uint16 \(3, 2, 5, 4\)"),
    "a configuration that is not its own": (tell("fingerprint", "f" * 64), "that of its config"),
    "an unknown kind": (tell("kind", "films"), "kind is 'films'; expected one of events, images"),
    "the wrong kind": (tell("kind", "images"), "kind is images; expected 'events', as its config has it"),
    "a sensor of one side": (tell("sensor", (1,)), r"sensor is \[1\]; expected"),
    "an enormous attribute": (tell("sensor", np.zeros(8000, int)), r"sensor is \[0, .*expected tuple"),
    "a negative count": (tell("num_special", -1), "num_special is -1; expected 0 or more"),
    "an impossible sum": (lambda file: file.attrs.update(sums=[[9, 9], [0, 0]]), "sums is"),
    "a schema in words": (tell("schema", "four"), "frame cache of schema 'four'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_cache_that_no_build_writes_is_refused(path, what):
    change, said = WRONG[what]
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(CacheError, match=rf"frames\.h5: .*{said}"):
        FrameCache(path)


def test_what_holds_no_text_that_names_a_cache_is_none(path):
    with h5py.File(path, "a") as file:
        tell("format", [1, 2])(file)
    with pytest.raises(NotACacheError, match="an HDF5 file, but not a frame cache"):
        FrameCache(path)


def test_numbers_of_another_byte_order_mean_the_same(path):
    with h5py.File(path, "a") as file:
        put("labels", np.arange(6) % 3, dtype=">i2")(file)
    cache = FrameCache(path)
    assert cache.labels.dtype == np.int64
    assert cache.labels.tolist() == [0, 1, 2, 0, 1, 2]


def repeated(path, megabytes):
    """A cache whose sources are all the same text, which stands in it once."""
    with h5py.File(path, "a") as file:
        del file["source"]
        text = "x" * (megabytes << 20)
        file.create_dataset("source", data=[text, *"abcde"], dtype=h5py.string_dtype())
        place = file["source"].id.get_offset()
    with path.open("r+b") as file:
        file.seek(place)
        first = file.read(16)
        file.seek(place)
        file.write(first * 6)
    return path


def test_a_text_that_stands_there_once_is_not_read_many_times(path):
    repeated(path, 1)
    with pytest.raises(
        CacheError, match=r"source is 6,291,456 bytes of text; expected no more than the 1,0\d\d,\d\d\d"
    ):
        _ = FrameCache(path).sources


@pytest.mark.parametrize("length", [0, (1 << 64) - 16])
def test_texts_that_hdf5_would_never_come_to_the_end_of(path, length):
    data = bytearray(path.read_bytes())
    start = data.index(b"GCOL")
    size = int.from_bytes(data[start + 8 : start + 16], "little")
    at = start + 16
    while int.from_bytes(data[at : at + 2], "little"):  # up to what is free in the heap
        at += 16 + (int.from_bytes(data[at + 8 : at + 16], "little") + 7) // 8 * 8
    assert at < start + size
    data[at + 8 : at + 16] = length.to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(CacheError, match=rf"a text at byte {at} says that it takes {length} bytes"):
        FrameCache(path)


def open_cache(path):
    from collections import Counter

    try:
        FrameCache(path)
    except CacheError:
        return Counter(refused=1)
    return Counter()


def test_terabytes_that_were_never_written_are_not_asked_for(path):
    with h5py.File(path, "a") as file:
        unwritten("frames", (10**10, *SHAPE), h5py.h5t.STD_U16LE)(file)
        for name in ("labels", "num_events", "duration_us"):
            unwritten(name, (10**10,), h5py.h5t.STD_I64LE)(file)
    assert path.stat().st_size < 40_000
    found = apart(
        f"tests.preprocessing.cache.test_schema:open_cache(__import__('pathlib').Path({str(path)!r}))", 2 << 30
    )
    assert found["refused"] == 1
    assert found["megabytes"] < 50


def virtual(path, *sources):
    """A cache over parts of other files: name, data set, their length and which rows they are."""
    layout = h5py.VirtualLayout((6, *SHAPE), "<u2")
    for name, data, length, first, last in sources:
        layout[first:last] = h5py.VirtualSource(name, data, (length, *SHAPE), "<u2")[: last - first]
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("frames", layout)
    describe(path, CONFIG, ["a", "b", "c"], outcome())
    return path


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([("/etc/passwd", "frames", 6, 0, 6)], "frames is frames of /etc/passwd; expected frames of files beside this"),
        ([("../other.h5", "frames", 6, 0, 6)], r"frames is frames of \.\./other\.h5"),
        ([(".", "frames", 6, 0, 6)], r"frames is frames of \.;"),
        ([("s/0.h5", "labels", 6, 0, 6)], "frames is labels of s/0.h5"),
        ([("s/0.h5", "frames", 4, 0, 4)], "put together with gaps"),
        ([("s/0.h5", "frames", 4, 0, 4), ("s/1.h5", "frames", 4, 2, 6)], "put together with gaps, or twice the same"),
    ],
)
def test_a_cache_over_parts_that_are_no_shards_is_refused(tmp_path, sources, said):
    with pytest.raises(CacheError, match=said):
        FrameCache(virtual(tmp_path / "frames.h5", *sources))


def test_a_cache_over_shards_is_read(tmp_path):
    (tmp_path / "s").mkdir()
    of_build = {**CONFIG, "build": fingerprint(CONFIG)}
    for number, (first, num) in enumerate(((0, 2), (2, 4))):
        write(tmp_path / "s" / f"{number}.h5", of_build, first, num)
    path = virtual(tmp_path / "frames.h5", ("s/0.h5", "frames", 2, 0, 2), ("s/1.h5", "frames", 4, 2, 6))
    np.testing.assert_array_equal(FrameCache(path).stored([5, 0, 2]), FRAMES[[5, 0, 2]])


@pytest.fixture
def never_trusted(monkeypatch):
    monkeypatch.setattr(reader, "TRUSTED_NS", -1)


def overwrite(path):
    """In place, with zeros."""
    with path.open("r+b") as file:
        file.seek(2048)
        file.write(bytes(FRAMES.nbytes))


@pytest.mark.usefixtures("never_trusted")
def test_a_file_that_is_overwritten_while_it_is_read_is_noticed(path):
    cache = FrameCache(path)
    np.testing.assert_array_equal(cache.stored([1]), FRAMES[1:2])
    overwrite(path)
    for read in (lambda: cache.stored([1]), lambda: cache[1], cache.check_unchanged):
        with pytest.raises(CacheError, match=r"frames\.h5: was written to while it is being read"):
            read()


def test_a_file_that_is_overwritten_before_its_frames_are_first_read_is_noticed(path):
    cache = FrameCache(path)
    overwrite(path)
    with pytest.raises(CacheError, match=r"frames\.h5: was written to while it is being read"):
        cache.stored([1])


@pytest.mark.usefixtures("never_trusted")
def test_a_file_that_another_takes_the_place_of_is_read_to_its_end(path, tmp_path):
    cache = FrameCache(path)
    cache.stored([0])
    write(tmp_path / "new.h5", {**CONFIG, "slicing": "time"}).replace(path)
    np.testing.assert_array_equal(cache.stored(range(6)), FRAMES)


def test_a_file_that_is_cut_short_while_it_is_read_does_not_end_the_process(path):
    code = (
        "import os, sys\nfrom preprocessing.cache import CacheError, FrameCache, reader\n"
        "reader.TRUSTED_NS = -1\ncache = FrameCache(sys.argv[1])\ncache.stored([0])\nos.truncate(sys.argv[1], 0)\n"
        "try:\n    cache.stored(range(6))\nexcept CacheError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "was written to while it is being read" in done.stdout
    assert "0 now" in done.stdout
