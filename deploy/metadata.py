"""What an exported model says of itself: enough to take a raw recording without the training code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

KEY = "evglif"
"""Key of the JSON text in an ONNX file's metadata; a TorchScript file holds it as ``evglif.json``."""
VERSION = 1


@dataclass(frozen=True)
class ModelMetadata:
    """The description that travels inside an exported model.

    Attributes:
        classes: names in the order of the logits.
        steps: T.
        size: (width, height) of a frame, px.
        scale: value of a stored frame = integer × scale.
        sensor: (width, height) of the camera, px; as the next, None where the checkpoint did not know it.
        preprocessing: build configuration of the training data: slicing, resize, transpose, window_us, hop_us, …
        model: specification of the network.
        versions: of the packages that made the file.
        metrics: of the checkpoint, e.g. its validation accuracy.
        version: of this description.
    """

    classes: tuple[str, ...]
    steps: int
    size: tuple[int, int]
    scale: float
    sensor: tuple[int, int] | None
    preprocessing: dict[str, Any] | None
    model: dict[str, Any]
    versions: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)
    version: int = VERSION

    def to_json(self) -> str:
        """As JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, source: str) -> ModelMetadata:
        """From JSON text.

        Raises:
            ValueError: naming ``source``, if the text is not such a description or comes from a newer version.
        """
        try:
            values: Mapping[str, Any] = json.loads(text)
            if values["version"] != VERSION:
                found = values["version"]
                raise ValueError(f"{source}: its description has version {found}, this package reads {VERSION}")
            sensor = None if values["sensor"] is None else tuple(values["sensor"])
            pairs = {"size": tuple(values["size"]), "sensor": sensor, "classes": tuple(values["classes"])}
            return cls(**{**values, **pairs})
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{source}: its description is damaged ({error}); export the checkpoint anew") from error
