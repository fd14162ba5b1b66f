"""One exported model for all tests: exporting takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.export import export


@pytest.fixture(scope="session")
def exported(run: Path, cache_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model of left and right as an ONNX file."""
    path, _ = export(run / "best.pt", out=tmp_path_factory.mktemp("models") / "sides.onnx", data=cache_path)
    return path
