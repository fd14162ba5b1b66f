"""Runs whose pages are looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evglif.checkpoint import DataSpec, save_checkpoint
from evglif.reporting import read_run

HOSTILE = ("<script>alert(1)</script>", 'a"><img src=http://127.0.0.1:1/x onerror=alert(1)>')


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """The run in a folder of its own."""
    folder = tmp_path / "sides"
    shutil.copytree(run, folder)
    return folder


@pytest.fixture
def hostile(copied: Path) -> Path:
    """The run with classes that are called like code."""
    held = read_run(copied).checkpoint
    data = DataSpec(**{**vars(held.data), "classes": HOSTILE})
    for name in ("best.pt", "last.pt"):
        save_checkpoint(copied / name, held.model, data, held.metrics, held.seen)
    return copied
