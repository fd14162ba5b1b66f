"""An exported ONNX file in onnxruntime: checked, loaded, and run as a whole or step by step."""

from __future__ import annotations

import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deploy.running.contents import check_contents
from deploy.running.interface import FRAME, FRAMES, LOGITS, NEXT, STEP, Interface
from deploy.running.metadata import KEY, ModelMetadata
from deploy.running.protobuf import MessageError
from preprocessing.events import SensorError
from preprocessing.terminal import as_text

if TYPE_CHECKING:  # imported by the first file that needs it
    from deploy.running.quiet import onnxruntime

Floats = NDArray[np.float32]
CPU = "CPUExecutionProvider"
_EXPORT = "export one with python -m deploy.export"
_ZIP = b"PK"
"""What checkpoints begin with, and no model of ONNX."""


class ModelSession(ABC):
    """An exported model, ready to run: what holds for every kind of file.

    Attributes:
        path: of the file.
        metadata: the model's description.
    """

    path: Path
    metadata: ModelMetadata

    @property
    @abstractmethod
    def is_step_model(self) -> bool:
        """Whether it can run one time step at a time, with membranes that the caller keeps."""

    @abstractmethod
    def logits(self, frames: Floats) -> Floats:
        """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``, of all time steps.

        Raises:
            ValueError: for frames of another shape; both are named.
        """

    @abstractmethod
    def at_rest(self, batch: int = 1) -> list[Floats]:
        """The membranes before the first step, one array a layer."""

    @abstractmethod
    def step(self, frame: Floats, step: int, membranes: list[Floats]) -> tuple[Floats, list[Floats]]:
        """One time step: logits ``[B, K]`` of frames ``[B, C, H, W]``, and the next membranes."""

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


class Session(ModelSession):
    """An exported ONNX file, ready to run.

    Args:
        path: an ONNX file written by ``python -m deploy.export``, unrolled or a step model.
        threads: threads of onnxruntime inside an operator; its own choice by default.
        providers: onnxruntime's execution providers, the first that can run an operator does; the CPU by default.

    Attributes:
        path: of the file.
        metadata: the model's description.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an ONNX file or not one of this package, if it holds what no export does
            (``deploy.running.contents``), if its description is damaged or of another graph, or for a provider that
            onnxruntime does not have here.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, providers: Sequence[str] | None = None
    ) -> None:
        self.path = Path(path)
        _check_file(self.path)
        self._session = _open(self.path, threads, list(providers or [CPU]))
        self.metadata = ModelMetadata.from_json(_description(self._session, self.path), str(path))
        self._interface = Interface.of(self.metadata, self.frames_shape)
        mismatch = self._interface.mismatch(self._session.get_inputs(), self._session.get_outputs())
        if mismatch:
            raise ValueError(f"{path}: its graph is not the one that its description is of: {mismatch}; {_EXPORT}")

    @property
    def is_step_model(self) -> bool:
        """Whether it runs one time step at a time, with membranes that the caller keeps."""
        return self.metadata.form == "step"

    def logits(self, frames: Floats) -> Floats:
        """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``, a step model's as the mean over T steps from rest.

        Raises:
            ValueError: for frames of another shape; both are named.
        """
        frames = self.checked(frames)
        if not self.is_step_model:
            return self._run([LOGITS], {FRAMES: frames}, len(frames))[0]
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
        inputs |= {FRAME: np.ascontiguousarray(frame, np.float32), STEP: np.array(step, np.int64)}
        outputs = [LOGITS, *(state.name + NEXT for state in self.metadata.states)]
        logits, *following = self._run(outputs, inputs, len(frame))
        return logits, following

    def _run(self, outputs: list[str], inputs: dict[str, Any], batch: int) -> list[Floats]:
        """Run the graph over a batch.

        Raises:
            ValueError: if it cannot be run, or gives other shapes than the description says.
        """
        try:
            made: list[Floats] = self._session.run(outputs, inputs)
        except Exception as error:  # onnxruntime's own exceptions share no base
            raise ValueError(f"{self.path} cannot be run: {_first_line(error)}; {_EXPORT}") from error
        wrong = self._interface.wrong_output(dict(zip(outputs, (each.shape for each in made), strict=True)), batch)
        if wrong:
            raise ValueError(f"{self.path}: {wrong}; {_EXPORT}")
        return made


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
        raise FileNotFoundError(f"no model at {path}{', a folder' if path.is_dir() else ''}; {_EXPORT}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} cannot be loaded as an ONNX model: it is empty; {_EXPORT}")
    with path.open("rb") as file:
        if file.read(2) == _ZIP:
            raise ValueError(f"{path} is no exported model; if it is a checkpoint: {_EXPORT} {quote(str(path))}")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        check_contents(data, str(path))
    except MessageError as error:
        raise ValueError(f"{path} cannot be loaded as an ONNX model: {error}; {_EXPORT}") from error


def _open(path: Path, threads: int | None, providers: list[str]) -> onnxruntime.InferenceSession:
    from deploy.running.quiet import onnxruntime

    known = onnxruntime.get_available_providers()
    if not set(providers) <= set(known):
        raise ValueError(f"onnxruntime has the providers {', '.join(known)} here, got {', '.join(providers)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told by the exception
    if threads:
        options.intra_op_num_threads = threads
    try:
        # it takes names that are text; a file of another name, as Linux allows, goes by its content
        named = as_text(str(path)) == str(path)
        model = str(path) if named else path.read_bytes()
        return onnxruntime.InferenceSession(model, options, providers=providers)
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise ValueError(f"{path} cannot be loaded as an ONNX model: {_first_line(error)}; {_EXPORT}") from error


def _description(session: onnxruntime.InferenceSession, path: Path) -> str:
    try:
        texts: dict[str, str] = session.get_modelmeta().custom_metadata_map
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: its description is damaged: it is no text; {_EXPORT}") from error
    if KEY not in texts:
        raise ValueError(f"{path} holds no description by evglif; export a checkpoint with python -m deploy.export")
    return texts[KEY]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
