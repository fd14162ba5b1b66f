"""A NIR file as a network that trains, is evaluated, saved and exported like any other."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import torch

from evglif.checkpoint import DataSpec
from evglif.models import GraphNet, GraphSpec
from evglif.neurons import ChannelLIF
from evglif.neurons.lif import RESETS
from evglif.nir.file import File, read_nir_file
from evglif.nir.graph import Graph, build_graph
from preprocessing.plain import brief, from_plain, parse_json

DESCRIPTION, DT, RESET = "evglif", "dt", "reset"
"""Names in the metadata of our own exports: a description as JSON, the time step, s, and "soft" for soft resets."""

USUAL_DT_S = 1e-4
"""Of snnTorch and SpikingJelly; a file of theirs does not state it."""

USUAL_STEPS = 16

Frame = tuple[int, int, int]


@dataclass(frozen=True)
class Imported:
    """A network out of a file.

    Attributes:
        model: in eval mode.
        data: what it was trained on, where one of our own exports says so.
        dt: the time step for which its time constants were taken, s.
        dt_from: who says that: ``"asked"``, the ``"file"``, or nobody: ``"usual"``.
    """

    model: GraphNet
    data: DataSpec | None
    dt: float
    dt_from: str


@dataclass(frozen=True)
class _Trained:
    """What a description says of the training."""

    steps: int
    size: tuple[int, int]
    in_channels: int
    encoder: str = "frames"


def load_nir(
    path: str | os.PathLike[str],
    dt: float | None = None,
    steps: int | None = None,
    reset: str | None = None,
    frame: Frame | None = None,
) -> GraphNet:
    """The network of a NIR file, in eval mode; ``model.spec`` holds its graph, so that a checkpoint needs no file.

    It takes frames ``[B, T, C, H, W]`` and gives the mean over T of what the graph gives, ``[B, K]``. Weights learn,
    values of neurons stay as they are.

    Args:
        path: any program's.
        dt: time step that the time constants were written for, s; as the file states it, else ``USUAL_DT_S``.
        steps: T of the specification; the network takes others too.
        reset: ``"hard"`` as NIR has it, or ``"soft"`` for files of programs that take away the threshold, as sinabs;
            as the file states it, else hard.
        frame: (C, H, W), where the graph takes vectors of so many values.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no NIR file, is damaged, or holds what no network here can be; node and reason are named.
    """
    return read_nir(path, dt, steps, reset, frame).model


def read_nir(
    path: str | os.PathLike[str],
    dt: float | None = None,
    steps: int | None = None,
    reset: str | None = None,
    frame: Frame | None = None,
) -> Imported:
    """The network of a NIR file with what the file says of it; arguments and errors as of ``load_nir``."""
    path = Path(path)
    if reset not in (None, *RESETS):
        raise ValueError(f"unknown reset {reset!r}; choose one of {', '.join(RESETS)}")
    file = read_nir_file(path)
    try:
        taken, dt_from = _time_step(file, dt)
        graph = build_graph(file, taken, reset or _reset(file))
        described = _described(file)
        trained = _trained(described)
        if trained and frame is None:
            frame = (trained.in_channels, trained.size[1], trained.size[0])
        spec = _spec(graph, steps, frame)
        if trained:
            spec = replace(spec, steps=steps or trained.steps, encoder=trained.encoder)
        return Imported(_model(spec, graph), _data(described, spec.num_classes), taken, dt_from)
    except (ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error


def _time_step(file: File, asked: float | None) -> tuple[float, str]:
    stated = file.metadata.get(DT)
    dt = asked if asked is not None else USUAL_DT_S if stated is None else stated
    try:
        dt = float(dt)
    except (TypeError, ValueError):
        raise ValueError(f"its time step is {brief(stated)}; state one with dt") from None
    if not 0 < dt < math.inf:
        raise ValueError(f"the time step is {dt}; expected seconds, such as {USUAL_DT_S:g}")
    return dt, "asked" if asked is not None else "usual" if stated is None else "file"


def _reset(file: File) -> str:
    """NIR's, unless one of our own exports says that it is for a program that takes the threshold away."""
    return "soft" if file.metadata.get(RESET) == "soft" else "hard"


def _spec(graph: Graph, steps: int | None, frame: Frame | None) -> GraphSpec:
    flat = len(graph.input) == 1
    if frame is None:
        frame = (1, 1, graph.input[0]) if flat else (graph.input[0], graph.input[1], graph.input[2])
    if frame != graph.input and (not flat or prod(frame) != graph.input[0]):
        raise ValueError(f"it takes {list(graph.input)}, which frames {list(frame)} (C, H, W) do not fit")
    return GraphSpec(
        num_classes=graph.output[0],
        in_channels=frame[0],
        steps=steps or USUAL_STEPS,
        size=(frame[2], frame[1]),
        nodes=tuple(graph.nodes),
        outputs=graph.outputs,
        flat=flat,
    )


def _model(spec: GraphSpec, graph: Graph) -> GraphNet:
    model = GraphNet(spec)
    with torch.no_grad():
        for name, (weight, bias) in graph.weights.items():
            module = model.module(name)
            module.get_parameter("weight").copy_(torch.from_numpy(weight))
            if bias is not None:
                module.get_parameter("bias").copy_(torch.from_numpy(bias))
    for name, values in graph.neurons.items():
        neuron = model.module(name)
        assert isinstance(neuron, ChannelLIF)
        neuron.set_values(**{key: torch.from_numpy(value) for key, value in asdict(values).items() if key != "rest"})
    broken = [name for name, value in model.state_dict().items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{broken[0]} holds values beyond those of float32")
    return model.eval()


def _described(file: File) -> Mapping[str, Any]:
    """What our own exports say of themselves; nothing in others."""
    text = file.metadata.get(DESCRIPTION)
    if text is None:
        return {}
    described = parse_json(text) if isinstance(text, str) else None
    if not isinstance(described, dict):
        raise ValueError(f"its description is {brief(text)}; expected an object of JSON: export the checkpoint anew")
    return described


def _trained(described: Mapping[str, Any]) -> _Trained | None:
    if not described:
        return None
    model = described.get("model")
    named = (
        {name: model[name] for name in ("in_channels", "encoder") if name in model} if isinstance(model, dict) else {}
    )
    return from_plain(_Trained, {"steps": described.get("steps"), "size": described.get("size"), **named})


def _data(described: Mapping[str, Any], num_classes: int) -> DataSpec | None:
    """Of what the network was trained on; nothing where the checkpoint of the export did not know it."""
    if not described.get("preprocessing"):
        return None
    names = ("classes", "scale", "sensor", "preprocessing", "sensor_from", "sensor_of")
    data = from_plain(DataSpec, {"fingerprint": "", **{name: described[name] for name in names if name in described}})
    if len(data.classes) != num_classes:
        raise ValueError(f"its description names {len(data.classes)} classes, its output has {num_classes}")
    return data
