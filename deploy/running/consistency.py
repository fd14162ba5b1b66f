"""Whether the fields of a description go together: shapes with sizes, classes with outputs, slices with windows."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING, Any

from deploy.running.schema import Kind, UnfitError, choice, flag, number, optional, record, some, text, whole
from preprocessing.events.reading import TIME_UNITS
from preprocessing.events.slicing import Slicing
from preprocessing.frames.rasterize import RESIZES, VALUES
from preprocessing.frames.settings import FrameSettings

if TYPE_CHECKING:
    from deploy.running.metadata import ModelMetadata

ENCODERS = ("frames", "direct", "poisson", "latency")
MOST_SAMPLE_BYTES = 1 << 30
"""Of the float32 frames of one sample."""

MOST_OVERLAP = 1000
"""How many windows of a recording an event can lie in."""

RESERVED = frozenset({"frame", "step", "logits"})
"""Names of a step model's other inputs and outputs."""

LONGEST_US = 10**12
"""Eleven days, the longest slice and window."""

_any_whole = whole(1, 1 << 31)
_model = record(
    {
        "encoder": choice(*ENCODERS),
        "steps": _any_whole,
        "num_classes": _any_whole,
        "in_channels": _any_whole,
        "size": some(_any_whole, 2, 2),
    },
    may_lack=frozenset({"encoder", "steps", "num_classes", "in_channels", "size"}),
    others=True,
)
_FRAMES: dict[str, Kind] = {
    "steps": _any_whole,
    "size": some(_any_whole, 2, 2),
    "slicing": text(),
    "resize": choice(*RESIZES),
    "value": choice(*VALUES),
    "transpose": flag,
    "half_turn": flag,
    "filters": some(text(), 0, 100),
    "window_us": optional(whole(1, LONGEST_US)),
    "hop_us": optional(whole(1, LONGEST_US)),
    "time_unit": optional(choice(*TIME_UNITS)),
    "drop_bad": number(0, 1),
}
_frames = record(_FRAMES, may_lack=frozenset(_FRAMES) - {"steps", "size"}, others=True)


def check_together(metadata: ModelMetadata) -> None:
    """Make sure that the fields of a description go together.

    Raises:
        UnfitError: naming one that does not, its value and what the others ask for.
    """
    _check_names(metadata)
    width, height = metadata.size
    num_bytes = 4 * metadata.steps * len(metadata.channels) * width * height
    if num_bytes > MOST_SAMPLE_BYTES:
        what = f"frames of at most {MOST_SAMPLE_BYTES:,} bytes a sample; with size {metadata.size} it is {num_bytes:,}"
        raise UnfitError("steps", metadata.steps, what)
    model = _model(metadata.model, "model")
    said = {
        "steps": metadata.steps,
        "num_classes": len(metadata.classes),
        "in_channels": len(metadata.channels),
        "size": metadata.size,
    }
    for name, value in said.items():
        if model.get(name, value) != value:
            raise UnfitError(f"model.{name}", metadata.model[name], f"{value}, as in the rest of it")
    if metadata.preprocessing is not None:
        _check_preprocessing(metadata, metadata.preprocessing)


def _check_names(metadata: ModelMetadata) -> None:
    names = [state.name for state in metadata.states]
    for field, values in (("classes", metadata.classes), ("states", names)):
        twice, num = Counter(values).most_common(1)[0] if values else ("", 0)
        if num > 1:
            raise UnfitError(field, twice, "each name once")
    if not RESERVED.isdisjoint(names):
        raise UnfitError("states", names, f"names other than {', '.join(sorted(RESERVED))}")
    if names and metadata.form != "step":
        raise UnfitError("states", names, f"none for a model of the form {metadata.form!r}")
    for index, state in enumerate(metadata.states):
        if 4 * prod(state.shape) > MOST_SAMPLE_BYTES:
            raise UnfitError(f"states[{index}].shape", state.shape, f"at most {MOST_SAMPLE_BYTES:,} bytes")


def _check_preprocessing(metadata: ModelMetadata, settings: dict[str, Any]) -> None:
    """Of frames of events; pictures have no settings that a run depends on."""
    kind = choice("events", "images")(settings.get("kind", "events"), "preprocessing.kind")
    if kind == "images" or metadata.model.get("encoder", "frames") != "frames":
        return
    config = _frames(settings, "preprocessing")
    for name, value in (("steps", metadata.steps), ("size", metadata.size)):
        if config[name] != value:
            raise UnfitError(f"preprocessing.{name}", config[name], f"{value}, as in the rest of it")
    if len(metadata.channels) != 2:
        raise UnfitError("channels", metadata.channels, "OFF and ON, as the model sees events")
    _check_windows(config, metadata.steps)
    _check_slicing(config.get("slicing", "count"), config.get("filters", ()))
    try:
        FrameSettings.from_config(config).rasterizer(metadata.sensor or (1, 1))
    except ValueError as error:
        raise UnfitError("preprocessing", settings, str(error)) from error


def _check_slicing(slicing: str, filters: tuple[str, ...]) -> None:
    try:
        each = Slicing.parse(slicing).each
    except ValueError as error:
        raise UnfitError("preprocessing.slicing", slicing, str(error)) from error
    if each > LONGEST_US:
        raise UnfitError("preprocessing.slicing", slicing, f"slices of at most {LONGEST_US:,} µs or events")
    try:
        FrameSettings(filters=filters)
    except ValueError as error:
        raise UnfitError("preprocessing.filters", filters, str(error)) from error


def _check_windows(config: dict[str, Any], steps: int) -> None:
    window_us, hop_us = config.get("window_us"), config.get("hop_us")
    if (window_us is None) != (hop_us is None):
        raise UnfitError("preprocessing.hop_us", hop_us, f"a number beside window_us {window_us}, or neither")
    if window_us is None or hop_us is None:
        return
    if window_us < steps:
        raise UnfitError("preprocessing.window_us", window_us, f"at least 1 µs for each of {steps} steps")
    if hop_us * MOST_OVERLAP < window_us:
        least = -(-window_us // MOST_OVERLAP)
        raise UnfitError(
            "preprocessing.hop_us",
            hop_us,
            f"at least {least} for windows of {window_us} µs: an event then lies in {MOST_OVERLAP} windows",
        )
