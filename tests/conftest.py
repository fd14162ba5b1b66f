"""Fixtures that several tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.helpers.spots import SIDES, small_recipe, spot

# Kernels for GPUs run in Triton's interpreter where there is none. It has to know before it is imported.
os.environ.setdefault("TRITON_INTERPRET", "0" if torch.cuda.is_available() else "1")

if TYPE_CHECKING:  # fixtures import what they need, so that tests of the neurons run where little is installed
    pass

# A shell that runs the tests in its background has them ignore Ctrl-C, and so would the programs that they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

if find_spec("hypothesis"):  # a machine with a GPU may have no more than torch, triton, numpy and pytest
    from hypothesis import settings

    settings.register_profile("patient", deadline=None)  # a first example may wait for a compiler
    settings.load_profile("patient")


@pytest.fixture(autouse=True)
def device_of_the_backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """On a machine with a GPU, a test with the parameter ``triton`` makes its tensors there.

    A test with the parameter ``cpu`` needs numba.
    """
    callspec = getattr(request.node, "callspec", None)
    parameters = [] if callspec is None else [value for value in callspec.params.values() if isinstance(value, str)]
    if "cpu" in parameters and find_spec("numba") is None:
        pytest.skip("the backend cpu needs numba")
    if torch.cuda.is_available() and "triton" in parameters:
        with torch.device("cuda"):
            yield
    else:
        yield


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings beside the checkout; they may not be redistributed."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"real recordings are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    """Neuron trajectories and gradients in float64, computed apart from this code."""
    path = SHARED / "golden" / "neurons_float64.npz"
    if not path.is_file():
        pytest.skip(f"the neuron oracle is not at {path}")
    return path


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AEDAT-2.0 recordings ``<split>/<side>/<n>.aedat`` of a spot on the left or on the right."""
    from preprocessing.readers import aedat2

    root = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 4)):
        for side, (low, high) in SIDES.items():
            folder = root / split / side
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.aedat").write_bytes(aedat2.encode(spot(generator, low, high)))
    return root


@pytest.fixture(scope="session")
def cache_path(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recordings as a cache of 3 × 2 × 16 × 16 frames, 32 to train on and 8 to test on."""
    from preprocessing.build import build
    from preprocessing.datasets.recordings.folder import Folder

    out = tmp_path_factory.mktemp("cache") / "sides.h5"
    build(Folder(recordings), out, steps=3, size=(16, 16), workers=1)
    return out


@pytest.fixture(scope="session")
def run(cache_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a training run on that cache."""
    from evglif.train import train

    out = tmp_path_factory.mktemp("runs") / "sides"
    train(small_recipe(), cache_path, out, progress=False)
    return out
