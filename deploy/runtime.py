"""Classify recordings with an exported model: onnxruntime, NumPy and ``preprocessing``, no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from deploy.metadata import KEY, ModelMetadata
from preprocessing.events import EVENT_DTYPE, Events, check_events
from preprocessing.readers import read_recording
from preprocessing.settings import FrameSettings
from preprocessing.slicing import window_edges

Probabilities = NDArray[np.float32]


class Classifier:
    """An exported model, ready for recordings.

    The model's own description says how events become frames, so that a recording is treated as the training data
    were. A recording that is longer than the windows the model was trained on is cut into such windows.

    Args:
        path: an ONNX file written by ``python -m deploy.export``.
        threads: threads of onnxruntime; its own choice by default.

    Attributes:
        metadata: the model's description.
        classes: names in the order of the probabilities.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an ONNX file, or not one of this package.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        self.path = Path(path)
        self._session = _open_session(self.path, threads)
        description = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if description is None:
            raise ValueError(f"{path} holds no description by evglif; export a checkpoint with python -m deploy.export")
        self.metadata = ModelMetadata.from_json(description, str(path))
        self.classes = self.metadata.classes

    def predict(self, recording: str | os.PathLike[str] | NDArray[Any]) -> Probabilities:
        """Class probabilities ``[K]`` of a recording, ``[B, K]`` of a batch of frames.

        Args:
            recording: path of a recording; or its events, ``[N]`` of ``EVENT_DTYPE``; or frames in events per
                pixel, ``[T, 2, H, W]`` or ``[B, T, 2, H, W]``. Windows of one recording are averaged.

        Raises:
            FileNotFoundError: if there is no such recording.
            ValueError: for a recording that cannot be used, comes from another sensor, is shorter than the model's
                window, or frames of another shape; what was found and what was expected are named.
        """
        if isinstance(recording, np.ndarray) and recording.dtype != EVENT_DTYPE:
            batch = recording[None] if recording.ndim == 4 else recording
            probabilities = self._run(batch)
            return probabilities[0] if recording.ndim == 4 else probabilities
        mean: Probabilities = self._run(self.frames(recording)).mean(0)
        return mean

    def frames(self, recording: str | os.PathLike[str] | NDArray[Any]) -> NDArray[np.float32]:
        """The frames a model sees of a recording, ``[windows, T, 2, H, W]``; raises as ``predict``."""
        sensor, config = self.metadata.sensor, self.metadata.preprocessing
        if sensor is None or config is None:
            raise ValueError(f"{self.path} does not know how its training data were made; give it frames instead")
        if isinstance(recording, np.ndarray):
            events, source = recording, "these events"
        else:
            # A format that doesn't tell its sensor is taken as the model's; one that does is held to it.
            events, source = read_recording(recording, sensor=sensor).events, str(recording)
        check_events(events, sensor, source)
        settings = FrameSettings.from_config(config)
        rasterizer = settings.rasterizer(sensor)
        events = settings.filtered(events, sensor)
        if not len(events):
            raise ValueError(
                f"{source}: no event passes the filters that the model was trained with ({config['filters']})"
            )
        return np.stack([rasterizer.frames(part) for part in _windows(events, config, source)])

    def _run(self, frames: NDArray[np.float32]) -> Probabilities:
        width, height = self.metadata.size
        expected = (self.metadata.steps, 2, height, width)
        if frames.ndim != 5 or frames.shape[1:] != expected:
            raise ValueError(f"the model takes frames [B, T, C, H, W] = [B, {expected}], got {frames.shape}")
        inputs = {"frames": np.ascontiguousarray(frames, np.float32)}
        logits: NDArray[np.float32] = self._session.run(["logits"], inputs)[0]
        return _softmax(logits)


def _windows(events: Events, settings: dict[str, Any], source: str) -> list[Events]:
    window_us, hop_us = settings.get("window_us"), settings.get("hop_us")
    if not window_us or not hop_us:
        return [events]
    parts = [events[start:stop] for start, stop in window_edges(events["t"], window_us, hop_us)]
    parts = [part for part in parts if len(part)]
    if not parts:
        duration = int(events["t"][-1] - events["t"][0])
        raise ValueError(f"{source} spans {duration} µs, the model was trained on windows of {window_us} µs")
    return parts


def _open_session(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}; export one with python -m deploy.export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base
        raise ValueError(f"{path} cannot be loaded as an ONNX model: {str(error).splitlines()[0]}") from error


def _softmax(logits: NDArray[np.float32]) -> Probabilities:
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Probabilities = exponentials / exponentials.sum(1, keepdims=True)
    return probabilities
