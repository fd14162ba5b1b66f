"""What a frame cache says about itself and its samples: types, ranges, and what must agree with what.

See ``preprocessing.cache.reader`` for the parts of the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from preprocessing.cache.stored import Shard, Stored
from preprocessing.plain import brief, fitting, from_plain, parse_json

KINDS = ("events", "images")
SPLITS = {"train": 0, "validation": 1, "test": 2}
COUNTS = (
    "num_saturated",
    "num_special",
    "num_backward",
    "num_filtered",
    "num_unused",
    "num_dropped",
    "num_resets",
    "num_forward",
)
SENSOR_FROM = ("file", "asked", "guess")
"""Who can say what sensor the recordings are of, the best witness first."""


def canonical(config: Mapping[str, Any]) -> str:
    """The one JSON text of a configuration: sorted keys, no spaces.

    Raises:
        ValueError: a number in it is not finite, which JSON does not have.
    """
    return json.dumps(config, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(config: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a configuration, in hexadecimal."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


class FrameLayout(NamedTuple):
    """Shape (T, C, H, W) and type of the samples of a cache."""

    shape: tuple[int, int, int, int]
    dtype: np.dtype[np.unsignedinteger]

    @property
    def num_bytes(self) -> int:
        """Of one sample."""
        return prod(self.shape) * self.dtype.itemsize


def frame_layout(config: Mapping[str, Any]) -> FrameLayout:
    """The layout of the samples that a build's configuration asks for; of events where it doesn't say the kind."""
    width, height = config["size"]
    shape = int(config["steps"]), int(config.get("channels", 2)), int(height), int(width)
    return FrameLayout(shape, np.dtype("<u1" if config.get("kind") == "images" else "<u2"))


@dataclass(frozen=True)
class Attributes:
    """The attributes of the file, and the scale of its frames.

    Raises:
        ValueError: naming the value that is out of range.
    """

    kind: str
    version: str
    fingerprint: str
    sensor: tuple[int, int]
    sensor_from: str
    sensor_of: str
    num_saturated: int
    num_special: int
    num_backward: int
    num_filtered: int
    num_unused: int
    num_dropped: int
    num_resets: int
    num_forward: int
    scale: float
    sums: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("kind", KINDS), ("sensor_from", SENSOR_FROM)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {brief(getattr(self, name))}; expected one of {', '.join(known)}")
        for name in COUNTS:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if min(self.sensor) < 0:
            raise ValueError(f"sensor is {self.sensor}; expected width and height in px")
        if not self.scale > 0:
            raise ValueError(f"scale is {self.scale}; expected a number above 0")


@dataclass(frozen=True, eq=False)
class Description:
    """All that a cache tells but its frames and the names of its samples' recordings.

    Attributes:
        attributes: of the file.
        config: the build's configuration.
        classes: their names.
        shape: of a sample.
        dtype: of the frames.
        labels, split, num_events, duration_us: of each sample.
        left_out, warnings: pairs of a name and what there is to say about it.
        shards: the files that the frames lie in; none where they lie in this one.
    """

    attributes: Attributes
    config: dict[str, Any]
    classes: tuple[str, ...]
    shape: tuple[int, int, int, int]
    dtype: np.dtype[np.unsignedinteger]
    labels: NDArray[np.int64]
    split: NDArray[np.int64]
    num_events: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    left_out: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]
    shards: tuple[Shard, ...]


def read_description(file: Stored) -> Description:
    """Read what a cache tells, and check it."""
    names = ("kind", "version", "fingerprint", "sensor", "sensor_from", "sensor_of", *COUNTS)
    values = {name: file.attribute(name) for name in names} | {"scale": file.attribute("scale", of="frames")}
    if "sums" in file.attributes:
        values["sums"] = file.attribute("sums")
    try:
        attributes = from_plain(Attributes, values)
    except ValueError as error:
        file.refuse("an attribute", f"wrong: {error}", "what a build writes")
    (num_samples, *shape), dtype = file.frames()
    told = Description(
        attributes,
        read_config(file),
        tuple(file.texts("classes", None)),
        tuple(shape),  # type: ignore[arg-type]
        dtype,
        file.numbers("labels", num_samples),
        file.enumerated("split", num_samples, SPLITS),
        file.numbers("num_events", num_samples),
        file.numbers("duration_us", num_samples),
        tuple((source, why) for source, why in file.texts("left_out", None, 2)),
        tuple((source, text) for source, text in file.texts("warnings", None, 2)),
        file.shards(),
    )
    if file.length("source") != num_samples:
        file.refuse("source", f"of {file.length('source')} samples", f"one for each of {num_samples}")
    _check_samples(file, told)
    _check_frames(file, told)
    return told


def read_config(file: Stored) -> dict[str, Any]:
    """The build's configuration."""
    text = file.attribute("config")
    try:
        config = fitting("it", parse_json(text), dict[str, Any])
        for name, kind in (("steps", int), ("channels", int), ("size", tuple[int, int])):
            fitting(name, {"channels": 2, **config}.get(name), kind)
    except (TypeError, ValueError) as error:
        file.refuse("config", f"{brief(text)} ({error})", "the configuration of a build, in JSON")
    return dict(config)


def _check_samples(file: Stored, told: Description) -> None:
    num_classes = len(told.classes)
    if not num_classes or len(set(told.classes)) < num_classes or "" in told.classes:
        file.refuse("classes", brief(told.classes), "different names, at least one")
    for name, values, most in (
        ("labels", told.labels, num_classes - 1),
        ("num_events", told.num_events, math.inf),
        ("duration_us", told.duration_us, math.inf),
    ):
        wrong = np.flatnonzero((values < 0) | (values > most))
        if len(wrong):
            expected = "0 or more" if math.isinf(most) else f"0 to {most}, for {num_classes} classes"
            file.refuse(f"{name}[{wrong[0]}]", values[wrong[0]], expected)


def _check_frames(file: Stored, told: Description) -> None:
    asked, kind = frame_layout(told.config), told.attributes.kind
    if kind != told.config.get("kind", "events"):
        file.refuse("kind", kind, f"{brief(told.config.get('kind', 'events'))}, as its config has it")
    if (told.shape, told.dtype) != asked:
        found, expected = (f"{dtype} {shape} a sample" for shape, dtype in ((told.shape, told.dtype), asked))
        file.refuse("frames", found, f"{expected}, as its config has it")
    if told.shape[1] not in ((2,) if kind == "events" else (1, 3)):
        file.refuse("frames", f"of {told.shape[1]} channels", "2 of events, 1 or 3 of images")
    of_config = fingerprint(told.config)
    if told.attributes.fingerprint != of_config:
        file.refuse("fingerprint", brief(told.attributes.fingerprint), f"{of_config}, that of its config")
    _check_sums(file, told)


def _check_sums(file: Stored, told: Description) -> None:
    """Σ and Σ² of the training images' values, per channel: such as numbers can have."""
    sums, num = told.attributes.sums, int((told.split == SPLITS["train"]).sum()) * prod(told.shape) // told.shape[1]
    if not sums:
        return
    fit = len(sums) == 2 and all(len(row) == told.shape[1] for row in sums)
    if not fit or any(not 0 <= total**2 <= num * squares for total, squares in zip(*sums, strict=True)):
        file.refuse("sums", brief(sums), f"sums of {num:,} values and of their squares, for each channel")
