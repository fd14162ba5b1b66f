"""An exported ONNX file in onnxruntime: checked, loaded, and run as a whole or step by step."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.running.metadata import KEY, ModelMetadata
from deploy.running.protobuf import external_files
from preprocessing.events import SensorError

if TYPE_CHECKING:  # imported by the first file that needs it
    from deploy.running.quiet import onnxruntime

Floats = NDArray[np.float32]
CPU = "CPUExecutionProvider"
_EXPORT = "export one with python -m deploy.export"


class Session:
    """An exported model, ready to run.

    Args:
        path: an ONNX file written by ``python -m deploy.export``, unrolled or a step model.
        threads: threads of onnxruntime inside an operator; its own choice by default.
        providers: onnxruntime's execution providers, the first that can run an operator does; the CPU by default.

    Attributes:
        path: of the file.
        metadata: the model's description.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an ONNX file or not one of this package, if it refers to other files, or for a
            provider that onnxruntime does not have here.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, providers: Sequence[str] | None = None
    ) -> None:
        self.path = Path(path)
        _check_file(self.path)
        self._session = _open(self.path, threads, list(providers or [CPU]))
        description = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if description is None:
            raise ValueError(f"{path} holds no description by evglif; export a checkpoint with python -m deploy.export")
        self.metadata = ModelMetadata.from_json(description, str(path))

    @property
    def is_step_model(self) -> bool:
        """Whether it runs one time step at a time, with membranes that the caller keeps."""
        return self.metadata.form == "step"

    @property
    def frames_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W) of one sample; T is 1 for still images."""
        metadata = self.metadata
        width, height = metadata.size
        return metadata.steps if self._sees_events else 1, len(metadata.channels), height, width

    @property
    def _sees_events(self) -> bool:
        return bool(self.metadata.model.get("encoder", "frames") == "frames")

    def frame_config(self) -> tuple[tuple[int, int], dict[str, Any]]:
        """The camera's (width, height), px, and the build configuration by which events become frames.

        Raises:
            ValueError: where the model does not know them, or was trained on images.
        """
        sensor, config = self.metadata.sensor, self.metadata.preprocessing
        if not self._sees_events:
            raise ValueError(f"{self.path} was trained on images, not on events; give it frames {self.frames_shape}")
        if sensor is None or config is None:
            raise ValueError(f"{self.path} does not know how its training data were made; give it frames instead")
        return sensor, config

    @contextmanager
    def telling_a_guess(self) -> Iterator[None]:
        """Say of a recording that does not go with the model's sensor that this was only guessed, where it was.

        Raises:
            SensorError: the same, with what to do.
        """
        try:
            yield
        except SensorError as error:
            if self.metadata.sensor_from != "guess":
                raise
            raise SensorError(
                f"{error}; the model's sensor was guessed from {self.metadata.sensor_of}, of its training data, "
                "as no file says it: build them with --sensor WIDTHxHEIGHT, train and export anew"
            ) from error

    def checked(self, frames: NDArray[Any]) -> Floats:
        """Frames ``[B, T, C, H, W]`` as float32.

        Raises:
            ValueError: for frames of another shape; both are named.
        """
        if frames.ndim != 5 or frames.shape[1:] != self.frames_shape:
            raise ValueError(f"the model takes frames [B, T, C, H, W] = [B, {self.frames_shape}], got {frames.shape}")
        return np.ascontiguousarray(frames, np.float32)

    def logits(self, frames: Floats) -> Floats:
        """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``, a step model's as the mean over T steps from rest.

        Raises:
            ValueError: for frames of another shape; both are named.
        """
        frames = self.checked(frames)
        if not self.is_step_model:
            logits: Floats = self._session.run(["logits"], {"frames": frames})[0]
            return logits
        membranes, total = self.at_rest(len(frames)), np.zeros((), np.float32)
        for step in range(self.metadata.steps):
            frame = frames[:, step if self._sees_events else 0]
            of_step, membranes = self.step(frame, step, membranes)
            total = total + of_step
        return total / np.float32(self.metadata.steps)

    def at_rest(self, batch: int = 1) -> list[Floats]:
        """The membranes before the first step, in the order of ``metadata.states``."""
        return [np.full((batch, *state.shape), state.rest, np.float32) for state in self.metadata.states]

    def step(self, frame: Floats, step: int, membranes: list[Floats]) -> tuple[Floats, list[Floats]]:
        """One time step of a step model: logits ``[B, K]`` of frames ``[B, C, H, W]``, and the next membranes."""
        inputs = {state.name: membrane for state, membrane in zip(self.metadata.states, membranes, strict=True)}
        known = {value.name for value in self._session.get_inputs()}
        inputs |= {"frame": np.ascontiguousarray(frame, np.float32), "step": np.array(step, np.int64)}
        outputs = ["logits", *(f"{state.name}_next" for state in self.metadata.states)]
        logits, *following = self._session.run(outputs, {name: inputs[name] for name in known})
        return logits, following


def softmax(logits: Floats) -> Floats:
    """Probabilities ``[…, K]`` of logits.

    Raises:
        ValueError: for logits that are not finite; there is no answer in them.
    """
    if not np.isfinite(logits).all():
        raise ValueError(
            "the model answers with NaN or infinite values: what it was given or its weights are not finite; export "
            "it anew from a checkpoint that python -m evglif.evaluate takes"
        )
    exponentials = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities


def _check_file(path: Path) -> None:
    """Make sure that a file is there and loads nothing but itself; it is looked through, not loaded."""
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}; {_EXPORT}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} cannot be loaded as an ONNX model: it is empty; {_EXPORT}")
    with path.open("rb") as file:
        outside = _outside(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), path)
    if outside:
        raise ValueError(
            f"{path} keeps weights in another file ({outside[0]!r}), which is not opened; an export of this package is "
            "one file: export the checkpoint anew"
        )


def _outside(data: memoryview, path: Path) -> list[str]:
    try:
        return external_files(data)
    except ValueError as error:
        raise ValueError(f"{path} cannot be loaded as an ONNX model: {error}; {_EXPORT}") from error


def _open(path: Path, threads: int | None, providers: list[str]) -> onnxruntime.InferenceSession:
    from deploy.running.quiet import onnxruntime

    known = onnxruntime.get_available_providers()
    if not set(providers) <= set(known):
        raise ValueError(f"onnxruntime has the providers {', '.join(known)} here, got {', '.join(providers)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise ValueError(
            f"{path} cannot be loaded as an ONNX model: {str(error).splitlines()[0]}; {_EXPORT}"
        ) from error
