"""The formats: name → what builds the model, what suffix its file has, and what runs that file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Protocol

from deploy.events.session import open_session
from deploy.exporting.events.model import EventsModel, open_events
from deploy.exporting.nir.graph import NIRModel, open_nir
from deploy.exporting.nir.readers import READERS
from deploy.exporting.onnx.model import open_onnx, step_model, unrolled_model
from deploy.exporting.onnx.quantize import reduced
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import prepared
from deploy.exporting.pt2 import ExportedModel, open_pt2
from deploy.exporting.step import StepNetwork
from deploy.exporting.torchscript import TorchScriptModel, open_torchscript
from deploy.exporting.verify import Frames, Run, Spikes
from deploy.running.metadata import ModelMetadata
from deploy.running.slices import slicing_option
from evglif.checkpoint import Checkpoint
from evglif.models import Network


class Built(Protocol):
    """An exported model in memory."""

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write it with its description."""

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer for frames ``[B, T, C, H, W]``."""


Build = Callable[[Checkpoint, ExportOptions], tuple[Built, dict[str, Any]]]
"""What makes the model of a checkpoint; with it, the fields of its description that are its own."""


@dataclass(frozen=True)
class Format:
    """A format of exported files.

    Attributes:
        suffix: of its files.
        build: what makes the model.
        open: what loads a file, as a function of frames.
        next: what to do with it, given the options and where it is.
    """

    suffix: str
    build: Build
    open: Callable[[Path], Run]
    next: Callable[[ExportOptions, Path], str]


def _onnx(checkpoint: Checkpoint, options: ExportOptions) -> tuple[Built, dict[str, Any]]:
    return reduced(unrolled_model(prepared(checkpoint.model, options.fold), options), checkpoint, options), {}


def _onnx_step(checkpoint: Checkpoint, options: ExportOptions) -> tuple[Built, dict[str, Any]]:
    network = StepNetwork(prepared(checkpoint.model, options.fold))
    model = reduced(step_model(network, options), checkpoint, options)
    return model, {"form": "step", "states": network.states}


def _events(checkpoint: Checkpoint, options: ExportOptions) -> tuple[Built, dict[str, Any]]:
    return EventsModel(prepared(checkpoint.model, options.fold), options.precision), {}


def _of_network(kind: Callable[[Network], Built]) -> Build:
    return lambda checkpoint, options: (kind(prepared(checkpoint.model, options.fold)), {})


def _nir(checkpoint: Checkpoint, options: ExportOptions) -> tuple[Built, dict[str, Any]]:
    network = prepared(checkpoint.model, options.fold)
    return NIRModel(network, options.dt, options.reader, options.sum_pools), {}


def _says(text: str) -> Callable[[ExportOptions, Path], str]:
    return lambda _, out: text.format(out=out)


def _infers(_: ExportOptions, out: Path) -> str:
    return f"python -m deploy.infer {quote(str(out))} RECORDING"


def _streams(options: ExportOptions, out: Path) -> str:
    config = open_session(out).metadata.preprocessing
    known = config is not None and "slicing" in config  # not of still images
    return f"{_infers(options, out)} --stream{slicing_option(config) if config and known else ''}"


def _read_by(options: ExportOptions, out: Path) -> str:
    if options.reader:
        return READERS[options.reader].call.format(out=out, dt=options.dt)
    return f'nir.read("{out}"); for a simulator add --for {", ".join(READERS)}'


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", _onnx, open_onnx, _infers),
    "onnx-step": Format(".step.onnx", _onnx_step, open_onnx, _streams),
    "torchscript": Format(
        ".ts",
        _of_network(TorchScriptModel),
        open_torchscript,
        _says('torch.jit.load("{out}"), or load it with libtorch'),
    ),
    "pt2": Format(".pt2", _of_network(ExportedModel), open_pt2, _says('torch.export.load("{out}").module()')),
    "events": Format(".events", _events, open_events, _infers),
    "nir": Format(".nir", _nir, open_nir, _read_by),
}
"""Every format of ``deploy.exporting.options.FORMATS``."""
