"""Export to pt2, torch.export's own format, for AOTInductor and ExecuTorch."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import torch

from deploy.exporting.capture import capture
from deploy.exporting.prepare import example_frames, freeze
from deploy.exporting.verify import Frames, Run, Spikes, layer_spikes
from deploy.running.metadata import EXTRA_FILE, ModelMetadata
from evglif.models import Network


class ExportedModel:
    """A captured network in torch's own operators: frames ``[batch, T, C, H, W]`` → logits ``[batch, K]``.

    Args:
        network: stays as it is.
    """

    def __init__(self, network: Network) -> None:
        self._frozen = freeze(network, as_operator=False)
        self._program = capture(self._frozen, (example_frames(self._frozen),), batched=(True,))

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write it; the description lies in the file as ``evglif.json``."""
        written = BytesIO()  # torch's own writer of files aborts on a full disk, and leaves what it wrote
        torch.export.save(self._program, written, extra_files={EXTRA_FILE: metadata.to_json()})
        path.write_bytes(written.getbuffer())

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer, of the network as it was captured."""
        return layer_spikes(self._frozen, frames)


def open_pt2(path: Path) -> Run:
    """Load an exported file as a function of frames ``[B, T, C, H, W]`` that gives logits ``[B, K]``."""
    module = torch.export.load(path).module()

    def run(frames: Frames) -> Frames:
        with torch.no_grad():
            logits: Frames = module(torch.from_numpy(frames)).numpy()
        return logits

    return run
