"""Recordings and a network for the examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evglif import save_checkpoint
from evglif.checkpoint import DataSpec
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from tests.helpers.checkpoints import lively
from tests.helpers.examples import CLASSES, REFERENCE


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """A recording whose clock wraps, with an external event and an event that comes late."""
    generator = np.random.default_rng(0)
    t = np.sort(generator.integers(0, 70_000, 3000))
    x, y = generator.integers(0, 128, 3000), generator.integers(0, 128, 3000)
    data = aedat2.encode(make_events(t, x, y, generator.random(3000) < 0.5), ["# one more", "très joli"])
    records = np.frombuffer(data[-8 * 3000 :], ">u4").reshape(-1, 2).copy()
    records[:, 1] += np.uint32(2**32 - 40_000)
    records[[700, 720]] = records[[720, 700]]
    records[1500, 0] |= 0x8000
    path = tmp_path_factory.mktemp("awkward") / "awkward.aedat"
    path.write_bytes(data[: -8 * 3000] + records.tobytes())
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network for recordings of a DVS128."""
    model = lively("7b-widenet", "glif", num_classes=3)
    config = {**REFERENCE, "steps": 3, "size": list(model.spec.size), "resize": "area"}
    path = tmp_path_factory.mktemp("narrow") / "narrow.pt"
    save_checkpoint(path, model, DataSpec(tuple(CLASSES), 1.0, (128, 128), config, "made up"))
    return path
