import zipfile
from pathlib import Path

import pytest

from preprocessing.datasets.base import Source, entries, find_place
from preprocessing.events import RecordingError


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_file_and_archive_member_read_alike(tmp_path):
    (tmp_path / "a").write_bytes(b"events" * 100)
    archive = make_zip(tmp_path / "b.zip", {"in/a": b"events" * 100})
    for source in (Source(tmp_path / "a", None, 0, "test", "a"), Source(archive, "in/a", 0, "test", "b.zip/in/a")):
        assert source.read() == b"events" * 100
        assert source.num_bytes() == 600


def test_archive_that_was_replaced_is_read_anew(tmp_path):
    source = Source(tmp_path / "b.zip", "a", 0, "test", "b.zip/a")
    make_zip(source.path, {"a": b"old"})
    assert source.read() == b"old"
    make_zip(source.path, {"a": b"newer"})
    assert source.read() == b"newer"


def test_unreadable_recording_is_named(tmp_path):
    with pytest.raises(RecordingError, match=r"gone\.aedat: cannot be read"):
        Source(tmp_path / "gone.aedat", None, 0, "test", "gone.aedat").read()


def test_damaged_archive_member_is_named(tmp_path):
    archive = make_zip(tmp_path / "b.zip", {"a": bytes(range(256))})
    data = bytearray(archive.read_bytes())
    data[40] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(RecordingError, match=r"b\.zip/a: cannot be read"):
        Source(archive, "a", 0, "test", "b.zip/a").read()


def test_entries_of_a_folder_and_of_an_archive(tmp_path):
    names = ["x/2", "x/10", "y/1", ".hidden/3", "x/.hidden", "__MACOSX/x/2"]
    make_zip(tmp_path / "part.zip", dict.fromkeys(names, b""))
    for name in names:
        (tmp_path / "part" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "part" / name).touch()
    assert [e.name for e in entries(tmp_path / "part", [])] == ["part/x/10", "part/x/2", "part/y/1"]
    in_archive = entries(tmp_path / "part.zip", [])
    assert [e.name for e in in_archive] == ["part.zip/x/10", "part.zip/x/2", "part.zip/y/1"]
    assert [e.member for e in in_archive] == ["x/10", "x/2", "y/1"]
    assert in_archive[0].file_name == "10"


def test_file_that_is_no_archive_is_left_out(tmp_path):
    (tmp_path / "part.zip").write_bytes(b"<html>not found</html>")
    left_out = []
    assert entries(tmp_path / "part.zip", left_out) == []
    assert left_out == [("part.zip", "cannot be read as a zip archive (File is not a zip file)")]


def test_place_in_any_case_and_archive_first(tmp_path):
    assert find_place(tmp_path / "missing", "train") is None
    assert find_place(tmp_path, "train") is None
    (tmp_path / "Train").mkdir()
    assert find_place(tmp_path, "train") == tmp_path / "Train"
    (tmp_path / "TRAIN.zip").touch()
    assert find_place(tmp_path, "train") == Path(tmp_path / "TRAIN.zip")
