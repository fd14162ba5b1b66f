"""Export to TorchScript: the traced, unrolled network, for C++ programs on libtorch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import torch

from deploy.exporting.prepare import example_frames, freeze
from deploy.exporting.verify import Frames, Run, Spikes, layer_spikes
from deploy.running.metadata import EXTRA_FILE, ModelMetadata
from evglif.models import Network


class TorchScriptModel:
    """A traced network: frames ``[batch, T, C, H, W]`` → logits ``[batch, K]``.

    Args:
        network: stays as it is.
    """

    def __init__(self, network: Network) -> None:
        self._frozen = freeze(network, as_operator=False)
        with torch.no_grad(), _quiet():
            self._traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                self._frozen, example_frames(self._frozen), check_trace=False
            )

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write it; the description lies in the file as ``evglif.json``."""
        written = BytesIO()  # torch's own writer of files aborts on a full disk, and leaves what it wrote
        with _quiet():
            torch.jit.save(self._traced, written, _extra_files={EXTRA_FILE: metadata.to_json()})
        path.write_bytes(written.getbuffer())

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer, of the network as it was traced."""
        return layer_spikes(self._frozen, frames)


def open_torchscript(path: Path) -> Run:
    """Load an exported file as a function of frames ``[B, T, C, H, W]`` that gives logits ``[B, K]``."""
    with _quiet():
        module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]

    def run(frames: Frames) -> Frames:
        with torch.no_grad():
            logits: Frames = module(torch.from_numpy(frames)).numpy()
        return logits

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back two warnings: torch.jit gives way to torch.export, but libtorch's loaders still take it; and shapes

    other than the batch size are constants of an exported model.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield
