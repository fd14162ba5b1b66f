"""Loops are compiled also where neither the package nor the user's home can be written to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from preprocessing import compiled, drawing, scratch
from tests.helpers import ROOT

JOB = """
import numpy as np
from preprocessing import rasterize
from preprocessing.events import make_events
n = np.arange(100)
print(rasterize(make_events(n, n, n, n % 2 == 0), steps=2, size=(128, 128)).sum())
import torch
from evglif import LIF
print(LIF()(torch.ones(4, 2, 3)).shape[0])
"""


@pytest.fixture
def _nowhere(monkeypatch):
    """As if no folder could be written to, whoever runs the test."""
    import numba

    monkeypatch.setattr(scratch.os, "access", lambda *_: False)
    scratch.folder_of_this_run.cache_clear()
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("NUMBA_CACHE_DIR", "")


@pytest.mark.usefixtures("_nowhere")
def test_a_folder_of_this_run_is_made_and_told_of(capsys):
    import numba

    compiled.keep_somewhere("/opt/evglif/preprocessing/kernels/__init__.py")
    folder = Path(numba.config.CACHE_DIR)
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)
    assert list(folder.iterdir()) == []
    assert "name a folder in NUMBA_CACHE_DIR to keep them" in capsys.readouterr().err
    compiled.keep_somewhere("/opt/evglif/preprocessing/kernels/__init__.py")  # the second finds it
    assert capsys.readouterr().err == ""
    scratch._remove(str(folder), os.getpid() + 1)
    assert folder.is_dir()
    scratch._remove(str(folder), os.getpid())
    assert not folder.exists()


@pytest.mark.usefixtures("_nowhere")
def test_matplotlib_has_the_same_folder_without_a_word(monkeypatch, capsys):
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    drawing.keep_fonts_somewhere()
    assert os.environ["MPLCONFIGDIR"] == scratch.folder_of_this_run()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("MPLCONFIGDIR", "/mine")
    drawing.keep_fonts_somewhere()
    assert os.environ["MPLCONFIGDIR"] == "/mine"


@pytest.mark.usefixtures("_nowhere")
def test_where_nothing_can_be_written_to_the_variables_are_named(monkeypatch):
    def none(**_):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", none)
    with pytest.raises(FileNotFoundError, match="name a folder in NUMBA_CACHE_DIR or TMPDIR"):
        compiled.keep_somewhere("/opt/evglif/preprocessing/kernels/__init__.py")


def test_a_home_that_nobody_has_is_no_error(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert scratch.home("XDG_CACHE_HOME", "~/.cache") == Path("/cache")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(scratch.os.path, "expanduser", lambda path: path)  # as where no such user is known
    assert not scratch.home("XDG_CACHE_HOME", "~/.cache").is_absolute()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv of util-linux")
def test_a_container_without_a_home_runs_it():
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for package in ("preprocessing", "evglif"):
            shutil.copytree(ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"], "PYTHONPATH": folder}
        pipes = {"cwd": "/", "env": environment, "capture_output": True, "text": True}
        if subprocess.run([*nobody, sys.executable, "-c", ""], check=False, **pipes).returncode:
            pytest.skip(f"{sys.executable} starts for root alone; use a Python whose files all may read")
        done = subprocess.run([*nobody, sys.executable, "-c", JOB], check=False, **pipes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["100.0", "4"]
    assert done.stderr.startswith("note: neither ")


def test_loops_that_are_older_than_a_module_beside_them_are_forgotten(tmp_path):
    """numba looks at the file of a loop alone, and not at those of the loops that it calls."""
    kept = tmp_path / "__pycache__"
    kept.mkdir()
    times = {kept / "one.nbi": 100, kept / "two.nbi": 300, tmp_path / "one.py": 50, tmp_path / "called.py": 200}
    for path, when in times.items():
        path.touch()
        os.utime(path, (when, when))
    compiled.keep_somewhere(str(tmp_path / "one.py"))
    assert list(kept.iterdir()) == [kept / "two.nbi"]


def test_a_clock_that_was_ahead_forgets_nothing(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "one.nbi").touch()
    (tmp_path / "one.py").touch()
    os.utime(tmp_path / "one.py", (4e9, 4e9))
    compiled.keep_somewhere(str(tmp_path / "one.py"))
    assert (tmp_path / "__pycache__" / "one.nbi").exists()
