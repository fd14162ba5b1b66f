"""Export to files of events, with fp32 weights or with int8 ones where spikes are seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deploy.events.engine import Engine
from deploy.events.file import Model, model_of, read, write
from deploy.events.plan import Layer
from deploy.exporting.events.graph import plan_of
from deploy.exporting.events.quantize import in_int8
from deploy.exporting.verify import Frames, Run, Spikes
from deploy.running.metadata import ModelMetadata
from evglif.models import Network


class EventsModel:
    """A network as a plan and its weights.

    Args:
        network: with folded norms; stays as it is.
        precision: ``"fp32"``, or ``"int8"`` for the weights of whatever sees spikes.

    Raises:
        ValueError: for an operator that the plan has no place for; the layer is named.
    """

    def __init__(self, network: Network, precision: str = "fp32") -> None:
        spec = network.spec
        self.plan, self.tensors, self._vectors = plan_of(network)
        if precision == "int8":
            frame = (spec.in_channels, *spec.size[::-1])
            self.plan, self.tensors = in_int8(self.plan, self.tensors, frame, spec.steps)
        self._metadata: ModelMetadata | None = None

    def model(self, metadata: ModelMetadata) -> Model:
        """With its description."""
        return model_of(self.plan, self.tensors, metadata)

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write it."""
        self._metadata = metadata
        write(path, self.model(metadata))

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer of neurons, ``[T, B, C, …]``; once it has been written."""
        assert self._metadata is not None
        engine = Engine(self.model(self._metadata))
        samples = [engine.values(each) for each in frames]
        neurons = [each.out for each in self.plan.operations if isinstance(each, Layer) and each.neuron]
        found = {name: np.stack([values[name].counts() for values in samples], 1) for name in neurons}
        return {name: each[..., 0, 0] if name in self._vectors else each for name, each in found.items()}


def open_events(path: Path) -> Run:
    """Load an exported file as a function of frames ``[B, T, C, H, W]`` that gives logits ``[B, K]``."""
    return Engine(read(path)).logits
