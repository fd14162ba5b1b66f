"""What an exported model says of itself: enough to take a raw recording without the training code."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.running.consistency import check_together
from deploy.running.schema import UnfitError, choice, number, optional, record, some, table, text, whole

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
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> ModelMetadata:
        """From JSON text, checked: every field of its kind and in its range, and all of them together.

        Raises:
            ValueError: naming ``source``, the field and its value, if the text is not such a description; or if it
                comes from another version.
        """
        try:
            values = _loaded(text)
            if values.get("version") != VERSION:
                raise ValueError(
                    f"{source}: its description has version {values.get('version')!r:.40}, this package reads "
                    f"{VERSION}; export the checkpoint anew"
                )
            known = _description(values, "")
            metadata = cls(**{**known, "states": tuple(MembraneState(**state) for state in known["states"])})
            check_together(metadata)
        except UnfitError as error:
            raise ValueError(f"{source}: its description is damaged: {error}; export the checkpoint anew") from error
        return metadata


MOST_STEPS = 100_000
LONGEST_SIDE = 4096
MOST_CLASSES = 100_000
MOST_STATES = 10_000

_side = whole(1, LONGEST_SIDE)
_state = record(
    {
        "name": text(),
        "layer": text(),
        "shape": some(whole(1, 1 << 24), 1, 3),
        "rest": number(-1e6, 1e6),
    }
)
_description = record(
    {
        "classes": some(text(), 1, MOST_CLASSES),
        "steps": whole(1, MOST_STEPS),
        "size": some(_side, 2, 2),
        "channels": some(text(), 1, 1024),
        "scale": number(1e-9, 1e6),
        "sensor": optional(some(_side, 2, 2)),
        "preprocessing": optional(table),
        "model": table,
        "versions": table,
        "weights_sha256": text(),
        "form": choice("unrolled", "step"),
        "states": some(_state, 0, MOST_STATES),
        "precision": choice("fp32", "fp16", "int8"),
        "batch_norm": choice("kept", "folded"),
        "parity": table,
        "metrics": table,
        "sensor_from": choice("", "file", "asked", "guess"),
        "sensor_of": text(10_000),
        "version": whole(VERSION, VERSION),
    },
    may_lack=frozenset({"sensor_from", "sensor_of"}),
)


def _loaded(text: str) -> dict[str, Any]:
    """JSON text as a table.

    Raises:
        UnfitError: if it is none, holds NaN, or is nested so deep that nobody wrote it.
    """
    try:
        return table(json.loads(text, parse_constant=_refused), "")
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnfitError):
            raise
        raise UnfitError("", text, f"JSON ({error})") from error


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON")
