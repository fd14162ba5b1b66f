"""Export to TorchScript: the traced, unrolled network, for C++ programs on libtorch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.metadata import KEY
from deploy.prepare import describe, example_frames, freeze
from evglif.checkpoint import Checkpoint

EXTRA_FILE = f"{KEY}.json"


def export_torchscript(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as TorchScript: frames ``[batch, T, C, H, W]`` → logits ``[batch, K]``.

    The model's description lies in the file as ``evglif.json``.
    """
    model = freeze(checkpoint.model, as_operator=False)
    with torch.no_grad(), warnings.catch_warnings():
        # torch.jit is deprecated in favour of torch.export, but libtorch's loaders still take it.
        warnings.filterwarnings("ignore", ".*torch.jit.*", category=DeprecationWarning)
        # Shapes other than the batch size are constants of an exported model.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(model, example_frames(model), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, str(path), _extra_files={EXTRA_FILE: describe(checkpoint).to_json()})


def torchscript_session(path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Load an exported file as a function of frames ``[B, T, C, H, W]`` that gives logits ``[B, K]``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.*", category=DeprecationWarning)
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = module(torch.from_numpy(frames)).numpy()
        return logits

    return run
