"""What may happen to a build: kills at any point, full disks, dying workers, other builds, folders not to write in."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.cache import FrameCache
from preprocessing.datasets import Folder
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from tests.helpers import ROOT

OPTIONS = ["--steps", "4", "--size", "12x8"]


def recordings(folder, bad=False):
    (folder / "box").mkdir(parents=True)
    for i in range(6):
        rng = np.random.default_rng(i)
        x, y = rng.integers(0, 128, (2, 200))
        t = np.linspace(0, 2500, 200).astype(int)
        (folder / "box" / f"{i}.aedat").write_bytes(aedat2.encode(make_events(t, x, y, rng.random(200) < 0.5)))
    if bad:
        (folder / "box" / "2bad.aedat").write_bytes(b"")
    return folder


@pytest.fixture
def root(tmp_path):
    return recordings(tmp_path / "recordings")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "frames.h5"


def command(root, out, *options):
    return ["folder", "--root", str(root), "--out", str(out), "--steps", "4", "--size", "48", *options]


FORKED = """
import os, resource, signal, sys
from pathlib import Path
import h5py
from preprocessing import build

first, step, *arguments = sys.argv[1:]
first, step, out = int(first), int(step), Path(arguments[arguments.index("--out") + 1])


def attempt(change=None):
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writes, 2)
        sys.stdout = sys.stderr
        if change:
            change()
        os._exit(build.main(arguments))
    os.close(writes)
    with open(reads) as told:
        error = told.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error


assert build.main(arguments) == 0
expected = out.read_bytes()
out.unlink()


def check(case):
    found = out.exists() and out.read_bytes()
    assert found in (False, expected), case
    code, error = attempt()
    assert code == 0, (case, error)
    assert out.read_bytes() == expected, case
    assert os.listdir(out.parent) == [out.name], case
    out.unlink()
"""

KILLED = (
    FORKED
    + """
CHANGES = {
    os: ["open", "write", "pwrite", "truncate", "utime", "fsync", "close"],
    Path: ["unlink", "replace"],
    h5py.File: ["__init__", "create_dataset", "close"],
}


def dies_at(point):
    left = [point]

    def fatal(name, call):
        def counted(*a, **k):
            left[0] -= 1
            if left[0] == 0:
                if name in ("write", "pwrite"):  # a part of it is written
                    call(a[0], bytes(a[1])[: len(a[1]) // 2], *a[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*a, **k)

        return counted

    for holder, names in CHANGES.items():
        for name in names:
            setattr(holder, name, fatal(name, getattr(holder, name)))


point = first
while attempt(lambda: dies_at(point))[0] == -signal.SIGKILL:
    attempt(lambda: dies_at(1 + point // 2))  # the run that goes on is killed, too
    check(point)
    point += step
print(f"{point} points")
"""
)


def forked(code, *arguments):
    """Run a script; it stops with everything that it started."""
    full = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(full, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


KINDS = pytest.mark.parametrize(
    ("bad", "options"),
    [(False, []), (True, []), (False, ["--window", "1ms"])],
    ids=["frames in place", "frames copied", "windows"],
)


@KINDS
@pytest.mark.parametrize(("first", "step"), [(3, 12), pytest.param(1, 1, marks=pytest.mark.exhaustive)])
def test_killed_at_any_change_to_the_disk(tmp_path, out, bad, options, first, step):
    """By SIGKILL at the first, second, … such call, with half of what it writes, until a build ends before it."""
    root = recordings(tmp_path / "recordings", bad)
    last = forked(KILLED, first, step, *command(root, out, "--workers", "1", *options))
    assert int(last.removesuffix(" points")) > 50


FULL = (
    FORKED
    + """
def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


limit = first
while (result := attempt(small_files))[0] != 0:
    code, error = result
    assert code == 1, error
    assert error.startswith(f"error: {out.parent}/") and error.count("\\n") == 1, error
    assert "cannot be written (File too large): make room" in error, error
    check(limit)
    limit += step
print(f"{limit} bytes")
"""
)


@KINDS
def test_disk_full_at_any_size(tmp_path, out, bad, options):
    """Files may grow to so many bytes and no further, with more and more of them until a build succeeds."""
    root = recordings(tmp_path / "recordings", bad)
    last = forked(FULL, 0, 9001, *command(root, out, "--workers", "1", *options))
    assert int(last.removesuffix(" bytes")) > 100_000


@pytest.fixture
def small_disk(tmp_path):
    """A mounted file system of 150 kB; give it a size to change that."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size, *options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", folder],
            capture_output=True,
            check=False,
        ).returncode

    if os.getuid() != 0 or resize("150k") != 0:
        pytest.skip("mounting a small file system takes the rights of root")
    yield folder, lambda size: resize(size, "remount")
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("size", ["8k", "60k", "150k", "216k", "224k"])
def test_disk_full_and_then_not(root, out, small_disk, capsys, size):
    build(Folder(root), out, steps=4, workers=1)
    folder, resize = small_disk
    resize(size)
    arguments = command(root, folder / "frames.h5", "--workers", "1")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert f"error: {folder}/" in error
    assert "cannot be written (No space left on device): make room, then run the same command again" in error
    resize("1m")
    assert main(arguments) == 0
    assert (folder / "frames.h5").read_bytes() == out.read_bytes()
    assert [path.name for path in folder.iterdir()] == ["frames.h5"]


def test_folder_that_cannot_be_written_to(root, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", Path("/proc")):
        assert main(command(root, folder / "frames.h5")) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {folder}")
        assert "is its folder there and writable?" in error


def test_old_file_stays_where_the_new_one_finds_no_room(root, small_disk, capsys):
    folder, resize = small_disk
    out = folder / "frames.h5"
    resize("400k")
    build(Folder(root), out, steps=2, workers=1)
    before = out.read_bytes()
    resize("190k")
    assert main(command(root, out, "--workers", "1")) == 1
    assert "make room, then run the same command again; 1 of 6 recordings are kept\n" in capsys.readouterr().err
    assert out.read_bytes() == before


DYING = """
import os, signal, sys
from pathlib import Path
from preprocessing import build
from preprocessing.building import local

make_samples = local.make_samples

def dying(task):
    if task.source.name == "box/5.aedat" and not Path(sys.argv[1]).exists():
        Path(sys.argv[1]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return make_samples(task)

if __name__ == "__main__":
    local.make_samples = dying
    sys.exit(build.main(sys.argv[2:]))
"""


def test_worker_killed_by_a_signal(root, out, tmp_path):
    (tmp_path / "dying.py").write_text(DYING)
    arguments = [tmp_path / "dying.py", tmp_path / "flag", *command(root, out, "--workers", "2")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, (tmp_path / "flag").exists()) == (0, True), done.stderr
    build(Folder(root), out.with_name("whole.h5"), steps=4, workers=1)
    assert out.read_bytes() == out.with_name("whole.h5").read_bytes()


def test_two_builds_at_once(root, out):
    """Of two commands started together one is refused, or finds the work done; the file is right."""
    full = [sys.executable, "-m", "preprocessing.build", *command(root, out, "--workers", "1")]
    both = [subprocess.Popen(full, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate()[1] for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 1])
    assert all(b"another process is building" in t for t, p in zip(told, both, strict=True) if p.returncode)
    assert len(FrameCache(out)) == 6
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.exhaustive
def test_killed_at_random_moments_with_workers(tmp_path, out):
    root = recordings(tmp_path / "recordings", bad=True)
    full = [sys.executable, "-m", "preprocessing.build", *command(root, out, "--workers", "2", "--window", "1ms")]

    def started():
        return subprocess.Popen(full, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    begun = time.monotonic()
    assert started().wait() == 0
    seconds = time.monotonic() - begun
    expected = out.read_bytes()
    moments = random.Random(0)
    for _ in range(int(os.environ.get("EVGLIF_KILLS", "10"))):
        out.unlink(missing_ok=True)
        with started() as process:
            try:
                process.wait(moments.uniform(0.3, 1.1) * seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        assert not out.exists() or out.read_bytes() == expected
        assert main(full[3:]) == 0
        assert out.read_bytes() == expected
        assert list(out.parent.iterdir()) == [out]
