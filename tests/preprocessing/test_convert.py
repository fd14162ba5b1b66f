import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from preprocessing import convert, read_recording
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from preprocessing.writers import WRITERS, write_recording
from tests.helpers import ROOT


def some_events(num=2000, start=10, seed=0):
    generator = np.random.default_rng(seed)
    t = start + np.sort(generator.integers(0, 1_000_000, num))
    return make_events(t, generator.integers(0, 128, num), generator.integers(0, 128, num), generator.random(num) < 0.5)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.aedat"
    path.write_bytes(aedat2.encode(some_events()))
    return path


def run(*arguments):
    return convert.main([*map(str, arguments)])


@pytest.mark.parametrize("name", WRITERS)
def test_a_recording_becomes_another_of_equal_events(name, recording, tmp_path, capsys):
    out = tmp_path / f"out{WRITERS[name].SUFFIXES[0]}"
    assert run(recording, out, "--format", name) == 0
    written = read_recording(out)
    assert np.array_equal(written.events, read_recording(recording).events)
    assert (written.sensor, written.sensor_from) == ((128, 128), "file")
    told = capsys.readouterr().out
    assert told.startswith(f"{out}: {WRITERS[name].TITLE}, 2,000 events, 128×128, as the file says, ")


def test_there_and_back_through_every_format(recording, tmp_path):
    """One after the other, each from the file before."""
    last = recording
    for name, writer in WRITERS.items():
        out = tmp_path / f"as_{name}{writer.SUFFIXES[0]}"
        assert run(last, out, "--format", name) == 0
        last = out
    assert np.array_equal(read_recording(last).events, some_events())


def test_times_can_begin_at_zero(tmp_path, capsys):
    source, out = tmp_path / "late.npz", tmp_path / "out.aedat"
    late = some_events(start=1_700_000_000_000_000)
    write_recording(source, late, (128, 128), WRITERS["npz"])
    assert run(source, out) == 1
    assert f"error: {source}: AEDAT-2.0 holds times from 0 µs to below 2^32 µs" in capsys.readouterr().err
    assert not out.exists()
    assert run(source, out, "--from-zero") == 0
    late["t"] -= late["t"][0]
    assert np.array_equal(read_recording(out).events, late)


def test_what_is_no_event_is_counted_and_left_out(tmp_path, capsys):
    words = np.array([[0x8000, 5], [0x0102, 6], [0x8000, 7]], ">u4")
    source = tmp_path / "sync.aedat"
    source.write_bytes(aedat2.header((128, 128)) + words.tobytes())
    assert run(source, tmp_path / "out.csv") == 0
    assert "CSV, 1 events, without 2 records that are no events" in capsys.readouterr().out


def test_a_guessed_sensor_is_told(tmp_path, capsys):
    source = tmp_path / "a.txt"
    source.write_text("0.1 3 4 1\n0.2 3 5 0\n")
    assert run(source, tmp_path / "out.raw") == 0
    assert "34×34, GUESSED from its events" in capsys.readouterr().out


def test_a_recording_is_not_replaced_by_itself(recording, tmp_path, capsys):
    before = recording.read_bytes()
    (tmp_path / "link.aedat").symlink_to(recording)
    for out in (recording, tmp_path / "link.aedat"):
        assert run(recording, out, "--force") == 1
        assert "is the recording itself, which would be lost" in capsys.readouterr().err
    assert recording.read_bytes() == before


def test_what_is_there_stays_unless_it_may_be_replaced(recording, tmp_path, capsys):
    out = tmp_path / "out.npz"
    out.write_text("mine")
    assert run(recording, out) == 1
    assert f"error: {out} is there already: name another file, or replace it with --force" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(recording, out, "--force") == 0
    assert len(read_recording(out).events) == 2000


@contextmanager
def room_for(num_bytes):
    """No file can grow beyond so many bytes; to a program it looks as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("name", WRITERS)
def test_on_a_full_disk_nothing_is_left(name, recording, tmp_path, capsys):
    out = tmp_path / "converted" / f"out{WRITERS[name].SUFFIXES[0]}"
    out.parent.mkdir()
    assert run(recording, out, "--format", name) == 0
    whole = out.read_bytes()
    with room_for(1000):
        assert run(recording, out, "--format", name, "--force") == 1
    assert f"error: {out}: cannot be written (File too large): make room" in capsys.readouterr().err
    assert [each.name for each in out.parent.iterdir()] == [out.name]
    assert out.read_bytes() == whole


def test_an_interrupted_conversion_leaves_nothing(recording, tmp_path, monkeypatch, capsys):
    writer = WRITERS["csv"]

    def interrupted(*_):
        yield b"# a part\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "encode", interrupted)
    assert run(recording, tmp_path / "out.csv") == 130
    assert "interrupted: what is named above was written whole" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [recording.name]


def test_what_a_killed_conversion_left_is_taken_over(tmp_path):
    """Its file has the name that the next one writes under, and the lock went with the process."""
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from tests.preprocessing.test_convert import some_events\n"
        "from preprocessing.writers import WRITERS, write_recording\n"
        "killed = lambda num_bytes: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"out = Path({str(tmp_path / 'out.csv')!r})\n"
        "write_recording(out, some_events(), (128, 128), WRITERS['csv'], killed)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert finished.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.csv").exists()
    write_recording(tmp_path / "out.csv", some_events(), (128, 128), WRITERS["csv"])
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


@pytest.fixture
def folder(tmp_path):
    """Three recordings at different depths, one of them damaged, and a file that is none."""
    root = tmp_path / "recordings"
    for number, name in enumerate(("a.aedat", "deep/er/b.aedat")):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(aedat2.encode(some_events(seed=number)))
    (root / "deep" / "cut.aedat").write_bytes(aedat2.encode(some_events())[:-3])
    (root / "README.md").write_text("notes")
    return root


def test_a_folder_becomes_the_same_tree(folder, tmp_path, capsys):
    out = tmp_path / "converted"
    assert run(folder, out, "--format", "evt3") == 1
    told = capsys.readouterr()
    assert "cut.aedat" in told.err
    assert told.out.endswith("2 of 3 recordings converted, 1 could not be\n")
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert [*map(str, files)] == ["a.raw", "deep/er/b.raw"]
    assert np.array_equal(read_recording(out / "deep/er/b.raw").events, some_events(seed=1))


def test_a_folder_goes_on_where_it_was(folder, tmp_path, capsys):
    out = tmp_path / "converted"
    (folder / "deep" / "cut.aedat").unlink()
    assert run(folder, out, "--format", "npz") == 0
    assert run(folder, out, "--format", "npz") == 1
    assert "is there already" in capsys.readouterr().err
    (out / "a.npz").unlink()
    assert run(folder, out, "--format", "npz", "--skip-existing") == 0
    assert capsys.readouterr().out.endswith("1 of 2 recordings converted, 1 were there, 0 could not be\n")


def test_folders_that_would_be_mixed_up(folder, tmp_path, capsys):
    assert run(folder, folder / "converted", "--format", "npz") == 1
    assert "lie in one another" in capsys.readouterr().err
    (folder / "a.dat").write_bytes(b"x")
    assert run(folder, tmp_path / "out", "--format", "npz") == 1
    assert "would both become" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit) as end:
        run(folder, tmp_path / "out")
    assert end.value.code == 2
    assert "is a folder: name the format" in capsys.readouterr().err
    assert run(tmp_path / "nothing", tmp_path / "out.npz") == 1
    assert "nothing: no such file or folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["aedat4", "evt3", "hdf5", "npz", "csv"])
def test_real_recordings(name, shared_data, tmp_path):
    """All of them, event for event, where their times begin at 0."""
    out = tmp_path / "converted"
    assert run(shared_data / "formats", out, "--format", name, "--from-zero") == 0
    suffix = WRITERS[name].SUFFIXES[0]
    for path in (shared_data / "formats").iterdir():
        expected = read_recording(path).events
        found = read_recording((out / path.name).with_suffix(suffix)).events
        assert np.array_equal(found["t"], expected["t"] - expected["t"][0]), path.name
        assert all(np.array_equal(found[field], expected[field]) for field in "xyp"), path.name
