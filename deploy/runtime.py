"""Classify recordings with an exported model: onnxruntime, NumPy and ``preprocessing``, no torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.running.session import Floats, Session, softmax
from deploy.running.stream import EventStream
from preprocessing.events import EVENT_DTYPE, MAX_DISORDER_US, Events, check_events
from preprocessing.events.slicing import window_edges
from preprocessing.frames.settings import FrameSettings
from preprocessing.readers import read_recording

Probabilities = Floats
Source = str | os.PathLike[str] | NDArray[Any]
"""Path of a recording; its events, ``[N]`` of ``EVENT_DTYPE``; or frames in events per pixel, ``[T, C, H, W]``."""


class Classifier:
    """An exported model, ready for recordings.

    The model's own description says how events become frames, so that a recording is treated as the training data
    were. A recording that is longer than the windows the model was trained on is cut into such windows.

    Args:
        path: an ONNX file written by ``python -m deploy.export``.
        threads: threads of onnxruntime; its own choice by default.
        providers: onnxruntime's execution providers, best first; the CPU by default.

    Attributes:
        metadata: the model's description.
        classes: names in the order of the probabilities.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not an ONNX file, or not one of this package, or for an unknown provider.
    """

    def __init__(
        self, path: str | os.PathLike[str], threads: int | None = None, providers: Sequence[str] | None = None
    ) -> None:
        self._session = Session(path, threads, providers)
        self.path = self._session.path
        self.metadata = self._session.metadata
        self.classes = self.metadata.classes

    def predict(self, recording: Source) -> Probabilities:
        """Class probabilities ``[K]`` of a recording, ``[B, K]`` of a batch of frames.

        Args:
            recording: path of a recording; or its events, ``[N]`` of ``EVENT_DTYPE``; or frames in events per
                pixel, ``[T, 2, H, W]`` or ``[B, T, 2, H, W]``. Windows of one recording are averaged.

        Raises:
            FileNotFoundError: if there is no such recording.
            ValueError: for a recording that cannot be used, comes from another sensor, is shorter than the model's
                window, or frames of another shape; what was found and what was expected are named.
        """
        if isinstance(recording, np.ndarray) and recording.dtype != EVENT_DTYPE and recording.ndim != 4:
            return softmax(self._session.logits(recording))
        outcome = next(self.predict_each([recording]))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def predict_each(
        self, recordings: Iterable[Source], batch: int = 8
    ) -> Iterator[Probabilities | ValueError | OSError]:
        """What ``predict`` gives for each recording, in their order, several in one run of the model.

        A recording that cannot be used yields the error that says why, and the others go on.

        Args:
            recordings: as for ``predict``; frames are those of one sample.
            batch: windows that are run together, at most; at least one recording is.
        """
        waiting: list[Floats | ValueError | OSError] = []
        num_windows = 0
        for recording in recordings:
            frames = self._frames_or_error(recording)
            length = len(frames) if isinstance(frames, np.ndarray) else 0
            if num_windows + length > batch and num_windows:
                yield from self._run(waiting, batch)
                waiting, num_windows = [], 0
            waiting.append(frames)
            num_windows += length
        yield from self._run(waiting, batch)

    def read(self, path: str | os.PathLike[str]) -> Events:
        """The events of a recording of the model's camera, a path.

        A format that doesn't tell its sensor is taken as the model's; one that does is held to it.

        Raises:
            FileNotFoundError: there is no such recording.
            ValueError: it cannot be used, or comes from another sensor.
        """
        with self._session.telling_a_guess():
            return read_recording(path, sensor=self.metadata.sensor).events

    def stream(self, slicing: str | None = None, max_disorder_us: int = MAX_DISORDER_US) -> EventStream:
        """Begin a live stream, for a model exported with ``--format onnx-step``; see ``deploy.running.stream``.

        Args:
            slicing: length of a slice, ``"duration:50ms"`` or ``"events:2000"``; by default the model's own, if it
                was trained with slices of one length.
            max_disorder_us: how much later than an event of a later time another may come; a slice is done so long
                after its end.

        Raises:
            ValueError: for an unrolled model, a slicing or filter that needs the whole recording.
        """
        return EventStream(self._session, slicing, max_disorder_us)

    def frames(self, recording: Source) -> Floats:
        """The frames a model sees of a recording, ``[windows, T, C, H, W]``; raises as ``predict``."""
        if isinstance(recording, np.ndarray) and recording.dtype != EVENT_DTYPE:
            return recording[None]
        sensor, config = self._session.frame_config()
        if isinstance(recording, np.ndarray):
            events, source = recording, "these events"
        else:
            events, source = self.read(recording), str(recording)
        with self._session.telling_a_guess():
            check_events(events, sensor, source)
        settings = FrameSettings.from_config(config)
        rasterizer = settings.rasterizer(sensor)
        events = settings.filtered(events, sensor)
        if not len(events):
            raise ValueError(
                f"{source}: no event passes the filters that the model was trained with ({config['filters']})"
            )
        return np.stack([rasterizer.frames(part) for part in _windows(events, config, source)])

    def _frames_or_error(self, recording: Source) -> Floats | ValueError | OSError:
        try:
            return self._session.checked(self.frames(recording))
        except (ValueError, OSError) as error:
            return error

    def _run(
        self, waiting: list[Floats | ValueError | OSError], batch: int
    ) -> Iterator[Probabilities | ValueError | OSError]:
        """Run the windows of several recordings together; each gets the mean over its own."""
        frames = [each for each in waiting if isinstance(each, np.ndarray)]
        windows = np.concatenate(frames) if frames else np.empty((0, *self._session.frames_shape), np.float32)
        starts = range(0, len(windows), batch)
        probabilities = (
            row for start in starts for row in softmax(self._session.logits(windows[start : start + batch]))
        )
        for each in waiting:
            yield np.mean(list(islice(probabilities, len(each))), 0) if isinstance(each, np.ndarray) else each


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
