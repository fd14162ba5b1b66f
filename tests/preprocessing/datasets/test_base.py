import zipfile
from pathlib import Path

import pytest

from preprocessing.datasets import CIFAR10DVS, NCALTECH101, NMNIST, DVS128Gesture, NCars
from preprocessing.datasets.base import Source, entries, find_place
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import aedat2


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


def test_source_decodes_its_recording(tmp_path):
    events = make_events([5], [1], [2], [True])
    (tmp_path / "a.aedat").write_bytes(aedat2.encode(events))
    recording = Source(tmp_path / "a.aedat", None, 0, "test", "in/a.aedat").recording()
    assert recording.events.tolist() == events.tolist()
    assert (recording.sensor, recording.format, recording.source) == ((128, 128), "aedat2", "in/a.aedat")


def test_source_hands_the_sensor_on(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes([10, 20, 0x80, 0, 1]))
    source = Source(tmp_path / "a.bin", None, 0, "test", "a.bin")
    assert source.recording((50, 40)).sensor == (50, 40)
    with pytest.raises(RecordingError, match=r"a\.bin: event 0 at \(10, 20\) lies outside the 20×20 sensor"):
        source.recording((20, 20))


def test_what_is_not_there_says_how_to_come_by_it(tmp_path):
    fetched = str(CIFAR10DVS(tmp_path).not_there("archives"))
    assert fetched.startswith(f"{tmp_path}: nothing of this data set is there; expected archives\n")
    assert "--download fetches it, --root names another folder" in fetched
    assert "\n  cat.zip  https://ndownloader.figshare.com/files/7712812\n" in fetched
    by_hand = str(NCars(tmp_path).not_there("archives"))
    assert "--download" not in by_hand
    assert "https://www.prophesee.ai/dataset-n-cars/" in by_hand


@pytest.mark.parametrize("kind", [CIFAR10DVS, DVS128Gesture, NCALTECH101, NCars, NMNIST])
def test_every_published_data_set_can_be_had(kind, tmp_path):
    files = kind(tmp_path).remote_files()
    assert files or "https://" in kind.origin
    assert all(file.url.startswith("https://") and file.md5 for file in files)
    assert len({file.name for file in files}) == len({file.url for file in files}) == len(files)


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
