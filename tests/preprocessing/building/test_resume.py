import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.building import journal, local
from preprocessing.cache import FrameCache
from preprocessing.datasets import Folder
from preprocessing.events import RecordingError, make_events
from preprocessing.readers import aedat2
from tests.helpers import ROOT

SMALL = {"steps": 4, "size": (12, 8), "workers": 1}
OPTIONS = ["--steps", "4", "--size", "12x8", "--workers", "1"]


def recording(seed, num=200, duration_us=2500):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 128, (2, num))
    return aedat2.encode(make_events(np.linspace(0, duration_us, num).astype(int), x, y, rng.random(num) < 0.5))


@pytest.fixture
def root(tmp_path):
    for i in range(8):
        path = tmp_path / "recordings" / ("test" if i % 2 else "train") / "box" / f"{i}.aedat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording(i, duration_us=2500 + 1000 * i))
    return tmp_path / "recordings"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "frames.h5"


@pytest.fixture
def whole(root, tmp_path):
    """Bytes of the build that nothing interrupts."""
    path = tmp_path / "whole.h5"
    build(Folder(root), path, **SMALL)
    return path.read_bytes()


@pytest.fixture
def made(monkeypatch):
    """Names of the recordings that are read from here on."""
    names, make_samples = [], local.make_samples

    def noted(task):
        names.append(task.source.name)
        return make_samples(task)

    monkeypatch.setattr(local, "make_samples", noted)
    return names


def interrupted_build(monkeypatch, root, out, count, order=None, **options):
    """A build that sees ``count`` results, in the order of the tasks or a random one, and then Ctrl-C; its message."""
    run_tasks = local.run_tasks

    def interrupted(function, tasks, *options):
        results = list(run_tasks(function, tasks, *options))
        numbers = np.random.default_rng(order).permutation(len(results)) if order is not None else range(len(results))
        yield from (results[number] for number in numbers[:count])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(local, "run_tasks", interrupted)
        with pytest.raises(KeyboardInterrupt) as stop:
            build(Folder(root, **options), out, **SMALL)
    return str(stop.value)


PAUSED = """
import sys, time
from preprocessing import build
from preprocessing.building import local
fast, done = local.make_samples, []
def paused(task):
    if len(done) == 3:
        print("half way", flush=True)
        time.sleep(60)
    done.append(task)
    return fast(task)
local.make_samples = paused
sys.exit(build.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15), (signal.SIGINT, 130)])
def test_stopped_half_way_leaves_no_file_and_the_same_command_goes_on(root, out, whole, made, capsys, how, code):
    options = ["folder", "--root", str(root), "--out", str(out), *OPTIONS]
    command = [sys.executable, "-c", PAUSED, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "half way\n"
        child.send_signal(how)
        error = child.communicate()[1]
    assert child.returncode == code
    kept = "interrupted: 3 of 8 recordings are kept; run the same command to go on\n"
    assert error == (kept if how == signal.SIGINT else "")
    assert not out.exists()
    assert main(options) == 0
    assert len(made) == 5
    assert capsys.readouterr().err == "resuming: 3 of 8 recordings were done\n"
    assert out.read_bytes() == whole
    assert list(out.parent.iterdir()) == [out]


def test_interrupted_before_the_first_recording_keeps_nothing(root, out, monkeypatch):
    assert interrupted_build(monkeypatch, root, out, 0) == ""
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("options", [{}, {"window": "1ms"}], ids=["recordings", "windows"])
@pytest.mark.parametrize("seed", range(4))
def test_same_bytes_after_any_interruptions_in_any_order(root, out, monkeypatch, made, options, seed):
    (root / "train" / "box" / "bad.aedat").write_bytes(b"")
    build(Folder(root, **options), out.with_name("whole.h5"), **SMALL)
    for step in range(3):
        message = interrupted_build(monkeypatch, root, out, 2, 10 * seed + step, **options)
        assert message.startswith(f"{2 * step + 2} of 9 recordings are kept")
    made.clear()
    build(Folder(root, **options), out, **SMALL)
    assert len(made) == 3
    assert out.read_bytes() == out.with_name("whole.h5").read_bytes()
    assert len(FrameCache(out)) == (8 if not options else sum(2 + i for i in range(8)))


def test_one_sample_each_is_written_in_place(root, out, monkeypatch):
    """Where nothing is left out, the file is the one that the rows were written to, in whatever order."""
    interrupted_build(monkeypatch, root, out, 3, order=1)
    rows = (out.parent / ".frames.h5.rows").stat().st_ino
    build(Folder(root), out, **SMALL)
    assert out.stat().st_ino == rows


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def cut(path, at):
    os.truncate(path, path.stat().st_size + at)


JOURNAL, ROWS = ".frames.h5.journal", ".frames.h5.rows"
ROW = 4 * 2 * 12 * 8 * 2


@pytest.mark.parametrize(
    ("damage", "num_lost"),
    [
        (lambda folder: cut(folder / JOURNAL, -1), 1),
        (lambda folder: cut(folder / JOURNAL, -30), 1),
        (lambda folder: flip(folder / JOURNAL, -30), 1),
        (lambda folder: flip(folder / JOURNAL, len((folder / JOURNAL).read_bytes().split(b"\n")[0]) + 20), 1),
        (lambda folder: cut(folder / ROWS, -1), 1),
        (lambda folder: flip(folder / ROWS, 2048 + ROW // 2), 1),
        (lambda folder: flip(folder / ROWS, 100), 0),
        (lambda folder: cut(folder / ROWS, 999), 0),
        (lambda folder: (folder / ROWS).unlink(), 5),
        (lambda folder: (folder / ROWS).write_bytes(bytes(2048 + 5 * ROW)), 5),
        (lambda folder: flip(folder / JOURNAL, 12), 5),
        (lambda folder: (folder / JOURNAL).write_bytes(bytes(700)), 5),
        (lambda folder: (folder / JOURNAL).write_bytes(b""), 5),
        (lambda folder: (folder / JOURNAL).unlink(), 5),
    ],
)
def test_only_what_is_provably_whole_is_taken_over(root, out, whole, monkeypatch, made, damage, num_lost):
    interrupted_build(monkeypatch, root, out, 5)
    damage(out.parent)
    made.clear()
    build(Folder(root), out, **SMALL)
    assert len(made) == 3 + num_lost
    assert out.read_bytes() == whole


def test_work_of_another_build_is_not_taken_over_and_that_is_said(root, out, monkeypatch, made, capsys):
    interrupted_build(monkeypatch, root, out, 5)
    made.clear()
    build(Folder(root), out, **{**SMALL, "steps": 2})
    assert len(made) == 8
    assert capsys.readouterr().err == "starting anew: the work kept beside it is another build's, or damaged\n"
    assert FrameCache(out).steps == 2
    assert list(out.parent.iterdir()) == [out]


def test_work_of_other_code_is_not_taken_over(root, out, whole, monkeypatch, made):
    with monkeypatch.context() as patch:
        patch.setattr(journal, "code_stamp", lambda: "other")
        interrupted_build(monkeypatch, root, out, 5)
    made.clear()
    build(Folder(root), out, **SMALL)
    assert len(made) == 8
    assert out.read_bytes() == whole


def test_recording_changed_meanwhile_is_read_again(root, out, monkeypatch, made):
    interrupted_build(monkeypatch, root, out, 5)
    changed = root / "test" / "box" / "1.aedat"
    changed.write_bytes(recording(99, duration_us=3500))
    made.clear()
    build(Folder(root), out, **SMALL)
    assert len(made) == 4
    assert "test/box/1.aedat" in made
    build(Folder(root), out.with_name("anew.h5"), **SMALL)
    assert out.read_bytes() == out.with_name("anew.h5").read_bytes()


def test_strict_build_stops_at_what_an_earlier_run_left_out(root, out, monkeypatch, made):
    (root / "test" / "box" / "0.aedat").write_bytes(b"")
    interrupted_build(monkeypatch, root, out, 5)
    made.clear()
    with pytest.raises(RecordingError, match=r"test/box/0\.aedat: .*empty.*\(strict\)"):
        build(Folder(root), out, strict=True, **SMALL)
    assert made == []
    assert list(out.parent.iterdir()) == []


def test_old_file_stays_while_its_successor_is_built(root, out, whole, monkeypatch):
    build(Folder(root), out, **{**SMALL, "steps": 2})
    before = out.read_bytes()
    interrupted_build(monkeypatch, root, out, 5)
    assert out.read_bytes() == before
    build(Folder(root), out, **SMALL)
    assert out.read_bytes() == whole


def test_interrupted_while_the_file_is_put_together(root, out, whole, monkeypatch, made, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(journal, "publish", stop)
        with pytest.raises(KeyboardInterrupt, match="8 of 8 recordings are kept"):
            build(Folder(root), out, **SMALL)
    made.clear()
    build(Folder(root), out, **SMALL)
    assert made == []
    assert "resuming: 8 of 8" in capsys.readouterr().err
    assert out.read_bytes() == whole
