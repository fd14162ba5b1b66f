"""Checkpoints: weights, the model's specification and what its data looked like; nothing that could run code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any, get_type_hints

import torch
from torch import Tensor

from evglif.models import MODELS, Network, model_from_spec, spec_from_dict, spec_to_dict
from evglif.models.registry import own_code
from evglif.neurons import NEURONS, SpikingNeuron
from evglif.provenance import Origin, Seen
from evglif.tensor_files import load_tensors, save_tensors
from preprocessing.own_code import CodeOrigin
from preprocessing.plain import brief, fitting, from_plain

FORMAT = "evglif-checkpoint"
VERSION = 2
COUNTS_OF_LAYERS = ("repeats", "stages")
"""Fields of specifications that say how often something is repeated, each with weights of its own."""


@dataclass(frozen=True)
class DataSpec:
    """What a classifier must know of the data it was trained on, to take a raw recording later.

    Attributes:
        classes: names in the order of the logits.
        scale: value of a frame = stored integer × scale.
        sensor: (width, height) of the camera, px.
        preprocessing: the build configuration of the cache: size, steps, slicing, resize, transpose, window_us, …
        fingerprint: of that configuration.
        sensor_from: who says the sensor: a "file", or whoever "asked" for it, or nobody: a "guess"; empty where an
            older file doesn't tell.
        sensor_of: the recording that it was taken from.

    Raises:
        ValueError: naming the value that is out of range.
    """

    classes: tuple[str, ...]
    scale: float
    sensor: tuple[int, int]
    preprocessing: dict[str, Any]
    fingerprint: str
    sensor_from: str = ""
    sensor_of: str = ""

    def __post_init__(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes are {brief(self.classes)}; expected different names, at least one")
        if not self.scale > 0 or min(self.sensor) < 0:
            raise ValueError(
                f"scale is {self.scale} and sensor {self.sensor}; expected numbers above 0, and sides in px"
            )


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        model: in eval mode; ``model.spec`` says what it is.
        data: what it was trained on; None where it was saved without.
        metrics: figures of the training run, e.g. ``{"epoch": 12, "validation_accuracy": 0.96}``.
        seen: the samples that it learnt from; None where it was saved without.
        code: what the network needs that a user registered, "neuron NAME" or "network NAME" → where that was from when
            the checkpoint was written.
        origins: the checkpoints that its training began with, the oldest first.
    """

    model: Network
    data: DataSpec | None
    metrics: dict[str, Any]
    seen: Seen | None = None
    origins: tuple[Origin, ...] = ()
    code: Mapping[str, CodeOrigin] = field(default_factory=dict)

    def changed_code(self) -> list[str]:
        """Warnings of code that is not what it was when the checkpoint was written."""
        now = own_code(self.model.spec)
        return [
            f"the {what} is from {now[what]} here, and was from {origin} when the checkpoint was written"
            for what, origin in self.code.items()
            if what in now and now[what].sha256 != origin.sha256
        ]


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Network,
    data: DataSpec | None = None,
    metrics: dict[str, Any] | None = None,
    seen: Seen | None = None,
    origins: tuple[Origin, ...] = (),
) -> None:
    """Write a checkpoint atomically: the file under ``path`` is the old one or the whole new one.

    Raises:
        OSError: where it cannot be written; the message of a full disk says what stands there.
    """
    path = Path(path)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec_to_dict(model.spec),
        "weights": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "data": None if data is None else asdict(data),
        "metrics": metrics or {},
        "seen": None if seen is None else seen.to_tensors(),
    }
    if code := own_code(model.spec):
        content["code"] = {what: asdict(origin) for what, origin in code.items()}
    if origins:
        content["origins"] = [asdict(origin) for origin in origins]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, content)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Load a checkpoint with everything it holds, on the CPU, model in eval mode.

    Only tensors and plain values are unpickled, so a hostile file cannot run code. Where the network needs a user's
    own, the file says which; nothing runs it but ``--import``, or who imports it in Python.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint of this package, is damaged, holds weights that are not finite, or comes
            from a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one with python -m evglif.train")
    content = load_tensors(path, FORMAT, VERSION)
    try:
        return from_plain(
            Held, {name: value for name, value in content.items() if name not in ("format", "version")}
        ).checkpoint()
    except NOT_USABLE as error:
        raise ValueError(f"{path}: this checkpoint cannot be used: {error}") from error


NOT_USABLE = (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)
"""What values that nobody wrote on purpose end in."""


@dataclass(frozen=True)
class Held:
    """What a file holds of a checkpoint, whatever its format; fields as those of ``Checkpoint``."""

    spec: dict[str, Any]
    weights: dict[str, Tensor]
    data: DataSpec | None = None
    metrics: dict[str, Any] | None = None
    seen: dict[str, Tensor] | None = None
    code: dict[str, CodeOrigin] | None = None
    origins: tuple[Origin, ...] = ()

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, whose network is made once it is known to be of the size of the weights.

        Raises:
            Exception: one of ``NOT_USABLE``, where it holds what doesn't belong together.
        """
        _check_code(self)
        model = _model(self)
        if self.data is not None and len(self.data.classes) != model.spec.num_classes:
            raise ValueError(f"data: {len(self.data.classes)} classes, but {model.spec.num_classes} in spec")
        seen = Seen.from_tensors(self.seen) if self.seen else None
        return Checkpoint(model, self.data, self.metrics or {}, seen, self.origins, self.code or {})


def _check_code(held: Held) -> None:
    """Make sure that what the network needs of a user's own code is registered."""
    known = {f"network {name}" for name in MODELS} | {f"neuron {name}" for name in NEURONS}
    missing = {what: origin for what, origin in (held.code or {}).items() if what not in known}
    if missing:
        said = ", ".join(f"the {what} of {origin}" for what, origin in missing.items())
        files = " ".join(dict.fromkeys(f"--import {quote(origin.path or 'FILE.py')}" for origin in missing.values()))
        raise ValueError(f"it needs {said}, which is not run unasked: look at it, then add {files}")


def _model(held: Held) -> Network:
    """The network, in eval mode; made only once it is known to be of the size of the weights in the file."""
    spec = spec_from_dict(held.spec)
    for name, hint in get_type_hints(type(spec)).items():
        fitting(f"spec.{name}", getattr(spec, name), hint)
    num_values = sum(weight.numel() for weight in held.weights.values())
    for name, value in vars(spec).items():
        most = len(held.weights) if name in COUNTS_OF_LAYERS else num_values
        if any(isinstance(each, int) and each > most for each in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"spec.{name} is {brief(value)}, for {len(held.weights)} weights of {num_values} values")
    with torch.device("meta"):
        _check_fit(held.weights, model_from_spec(spec).state_dict())
    model = model_from_spec(spec)
    model.load_state_dict(held.weights)
    _check_finite(model)
    return model.eval()


def _check_fit(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Make sure that weights are those of a network, whose own may lie nowhere."""
    wrong = [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{brief(name)} is not in the network" for name in weights if name not in expected]
    for name, weight in weights.items():
        wanted = expected.get(name, weight)
        if weight.shape != wanted.shape:
            wrong.append(f"size mismatch: {name} is {list(weight.shape)}, expected {list(wanted.shape)}")
        elif weight.is_floating_point() != wanted.is_floating_point():
            wrong.append(f"{name} is of {weight.dtype}, expected {wanted.dtype}")
    if wrong:
        others = f", and {len(wrong) - 1} more like it" if len(wrong) > 1 else ""
        raise ValueError(f"weights: {wrong[0]}{others}")


def _check_finite(model: Network) -> None:
    neurons = (module for module in model.modules() if isinstance(module, SpikingNeuron))
    # Gates that are fixed at 0 or 1 are stored as infinite logits.
    fixed = {buffer.data_ptr() for neuron in neurons for buffer in neuron.buffers()}
    weights = model.state_dict()
    broken = [
        name
        for name, weight in weights.items()
        if weight.isnan().any() or (weight.isinf().any() and weight.data_ptr() not in fixed)
    ]
    if broken:
        raise ValueError(
            f"{len(broken)} of {len(weights)} weights are NaN or infinite, the first is {broken[0]}: the training that "
            "wrote it diverged; train with a lower learning rate, or take an earlier checkpoint"
        )


def load_checkpoint(path: str | os.PathLike[str]) -> Network:
    """Load the model of a checkpoint, in eval mode; raises as ``read_checkpoint``."""
    return read_checkpoint(path).model
