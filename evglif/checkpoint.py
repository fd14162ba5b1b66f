"""Checkpoints: weights, the model's specification and what its data looked like; nothing that could run code."""

from __future__ import annotations

import os
import pickle
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from evglif.models import Model, build_model, spec_to_dict

FORMAT = "evglif-checkpoint"
VERSION = 1

UNREADABLE = (pickle.UnpicklingError, BadZipFile, RuntimeError, ValueError, LookupError, EOFError, OSError)
"""What ``torch.load`` raises for files that it did not write, or that are cut short."""


@dataclass(frozen=True)
class DataSpec:
    """What a classifier must know of the data it was trained on, to take a raw recording later.

    Attributes:
        classes: names in the order of the logits.
        scale: value of a frame = stored integer × scale.
        sensor: (width, height) of the camera, px.
        preprocessing: the build configuration of the cache: size, steps, slicing, resize, transpose, window_us, …
        fingerprint: of that configuration.
    """

    classes: tuple[str, ...]
    scale: float
    sensor: tuple[int, int]
    preprocessing: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Attributes:
        model: in eval mode; ``model.spec`` says what it is.
        data: what it was trained on; None where it was saved without.
        metrics: figures of the training run, e.g. ``{"epoch": 12, "validation_accuracy": 0.96}``.
    """

    model: Model
    data: DataSpec | None
    metrics: dict[str, Any]


def save_checkpoint(
    path: str | os.PathLike[str],
    model: Model,
    data: DataSpec | None = None,
    metrics: dict[str, Any] | None = None,
) -> None:
    """Write a checkpoint atomically: the file under ``path`` is the old one or the whole new one."""
    path = Path(path)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec_to_dict(model.spec),
        "weights": {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()},
        "data": None if data is None else asdict(data),
        "metrics": metrics or {},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Load a checkpoint with everything it holds, on the CPU, model in eval mode.

    Only tensors and plain values are unpickled, so a hostile file cannot run code.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a checkpoint of this package, is damaged, or comes from a newer version.
    """
    content = _read_content(Path(path))
    try:
        model = build_model(**content["spec"])
        model.load_state_dict(content["weights"])
        data = content["data"]
        if data is not None:
            data = DataSpec(**{**data, "classes": tuple(data["classes"]), "sensor": tuple(data["sensor"])})
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: weights and specification of this checkpoint do not fit: {error}") from error
    return Checkpoint(model.eval(), data, dict(content.get("metrics") or {}))


def load_checkpoint(path: str | os.PathLike[str]) -> Model:
    """Load the model of a checkpoint, in eval mode; raises as ``read_checkpoint``."""
    return read_checkpoint(path).model


def _read_content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}; train one with python -m evglif.train")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*pickle protocol.*", category=UserWarning)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise ValueError(f"{path} is not a checkpoint written by evglif, or it is damaged") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint written by evglif")
    if content.get("version") != VERSION:
        raise ValueError(f"{path}: checkpoint version {content.get('version')}, this evglif reads version {VERSION}")
    return content
