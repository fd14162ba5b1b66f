"""What an exported model says of itself: enough to take a raw recording without the training code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KEY = "evglif"
"""Key of the JSON text in an ONNX file's metadata; a TorchScript or pt2 file holds it as ``evglif.json``."""
EXTRA_FILE = f"{KEY}.json"
VERSION = 2


@dataclass(frozen=True)
class MembraneState:
    """What one layer of neurons carries from a step to the next, an input and an output of the step model.

    Attributes:
        name: of the input; the output is ``<name>_next``.
        layer: of the network.
        shape: of one sample, (C, H, W) or (F,); the batch comes before it.
        rest: its value before the first step.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    rest: float


@dataclass(frozen=True)
class ModelMetadata:
    """The description that travels inside an exported model.

    Attributes:
        classes: names in the order of the logits.
        steps: T.
        size: (width, height) of a frame, px.
        channels: of a frame, in their order: OFF and ON events, or those of an image.
        scale: value of a stored frame = integer × scale.
        sensor: (width, height) of the camera, px; as the next, None where the checkpoint did not know it.
        preprocessing: build configuration of the training data: slicing, resize, transpose, half_turn, window_us, …
        model: specification of the network.
        versions: of the packages that made the file.
        weights_sha256: of the checkpoint's weights, see ``deploy.exporting.prepare.weights_sha256``.
        form: ``"unrolled"``, all time steps in one run, or ``"step"``, one time step a run.
        states: of the step model, in the order of its layers; none where the model is unrolled.
        precision: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        batch_norm: ``"kept"`` or ``"folded"`` into convolutions.
        parity: summary of how the file agrees with the checkpoint; the report beside it says more.
        metrics: of the checkpoint, e.g. its validation accuracy.
        sensor_from: who said the sensor: a "file", or whoever "asked" for it, or nobody: a "guess"; empty where an
            older file doesn't tell.
        sensor_of: the recording of the training data that it was taken from.
        version: of this description.
    """

    classes: tuple[str, ...]
    steps: int
    size: tuple[int, int]
    channels: tuple[str, ...]
    scale: float
    sensor: tuple[int, int] | None
    preprocessing: dict[str, Any] | None
    model: dict[str, Any]
    versions: dict[str, str]
    weights_sha256: str
    form: str = "unrolled"
    states: tuple[MembraneState, ...] = ()
    precision: str = "fp32"
    batch_norm: str = "kept"
    parity: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    sensor_from: str = ""
    sensor_of: str = ""
    version: int = VERSION

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> ModelMetadata:
        """From JSON text.

        Raises:
            ValueError: naming ``source``, if the text is not such a description or comes from another version.
        """
        try:
            values: Mapping[str, Any] = json.loads(text)
            if values["version"] != VERSION:
                found = values["version"]
                raise ValueError(
                    f"{source}: its description has version {found}, this package reads {VERSION}; "
                    "export the checkpoint anew"
                )
            tuples = {name: tuple(values[name]) for name in ("size", "classes", "channels")}
            sensor = None if values["sensor"] is None else tuple(values["sensor"])
            states = tuple(MembraneState(**{**state, "shape": tuple(state["shape"])}) for state in values["states"])
            return cls(**{**values, **tuples, "sensor": sensor, "states": states})
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{source}: its description is damaged ({error}); export the checkpoint anew") from error
