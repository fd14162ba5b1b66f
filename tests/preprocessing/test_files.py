import errno
import fcntl
import os
from pathlib import Path

import pytest

from preprocessing.files import BusyError, exclusive, require_file, write_whole


def test_one_holder_at_a_time(tmp_path):
    lock = tmp_path / "new folder" / "lock"
    with exclusive(lock, "counting sheep"):
        with pytest.raises(BusyError, match="another process is counting sheep"), exclusive(lock, "counting sheep"):
            pass
        assert lock.exists()
    assert not lock.exists()
    with exclusive(lock, "x"):
        pass


def test_what_a_dead_holder_left_is_emptied(tmp_path):
    (tmp_path / "spool").write_bytes(b"remains")
    with exclusive(tmp_path / "spool", "writing") as file:
        file.write(b"new")
        file.seek(0)
        assert file.read() == b"new"


def test_file_that_its_former_holder_removes_meanwhile(tmp_path, monkeypatch):
    lock, flock = tmp_path / "lock", fcntl.flock
    removals = [lock.unlink]

    def removed_before_locked(file, how):
        if removals:
            removals.pop()()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", removed_before_locked)
    with exclusive(lock, "waiting"):
        assert lock.exists()


def test_released_after_an_error(tmp_path):
    with pytest.raises(KeyError), exclusive(tmp_path / "lock", "failing"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_whole_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "recording"
    path.write_bytes(b"a long old content")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_takes_the_place_of_a_file_alone(tmp_path):
    (tmp_path / "there").touch()
    for name in ("there", "not there"):
        require_file(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path, "is a folder; name"),
        (tmp_path / "pipe", "is a device, pipe"),
        (Path(os.devnull), "is a device"),
    ):
        with pytest.raises(ValueError, match=said):
            require_file(path)


def test_where_there_is_no_room_nothing_is_left(tmp_path, monkeypatch):
    def full(path, data):
        with path.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "figures.json").write_text("old")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "figures.json", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert (tmp_path / "figures.json").read_text() == "old"
