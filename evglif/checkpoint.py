"""Checkpoints: weights, the model's specification and what its data looked like; nothing that could run code."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evglif.models import Network, build_model, spec_to_dict
from evglif.neurons import SpikingNeuron
from evglif.provenance import Seen
from evglif.tensor_files import load_tensors, save_tensors

FORMAT = "evglif-checkpoint"
VERSION = 2


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
    """

    classes: tuple[str, ...]
    scale: float
    sensor: tuple[int, int]
    preprocessing: dict[str, Any]
    fingerprint: str
    sensor_from: str = ""
    sensor_of: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        model: in eval mode; ``model.spec`` says what it is.
        data: what it was trained on; None where it was saved without.
        metrics: figures of the training run, e.g. ``{"epoch": 12, "validation_accuracy": 0.96}``.
        seen: the samples that it learnt from; None where it was saved without.
    """

    model: Network
    data: DataSpec | None
    metrics: dict[str, Any]
    seen: Seen | None = None


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Network,
    data: DataSpec | None = None,
    metrics: dict[str, Any] | None = None,
    seen: Seen | None = None,
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
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, content)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Load a checkpoint with everything it holds, on the CPU, model in eval mode.

    Only tensors and plain values are unpickled, so a hostile file cannot run code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint of this package, is damaged, holds weights that are not finite, or comes
            from a newer version.
    """
    content = _read_content(Path(path))
    try:
        model = build_model(**content["spec"])
        model.load_state_dict(content["weights"])
        _check_finite(model)
        data = content["data"]
        if data is not None:
            data = DataSpec(**{**data, "classes": tuple(data["classes"]), "sensor": tuple(data["sensor"])})
        seen = Seen.from_tensors(content["seen"]) if content.get("seen") else None
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: this checkpoint cannot be used: {_shortly(error)}") from error
    return Checkpoint(model.eval(), data, dict(content.get("metrics") or {}), seen)


def _shortly(error: Exception) -> str:
    """What is wrong, in a line: of all the weights that do not fit a network, the first."""
    first, *more = [line.strip() for line in str(error).splitlines()] or ["no reason given"]
    others = f", and {len(more) - 1} more like it" if len(more) > 1 else ""
    return f"{more[0].rstrip('.')}{others}" if more else first


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


def _read_content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one with python -m evglif.train")
    return load_tensors(path, FORMAT, VERSION)
