"""Classify recordings with an exported model: onnxruntime or ``events``, NumPy and ``preprocessing``, no torch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.events.session import open_session
from deploy.running.session import Floats, softmax
from deploy.running.stream import EventStream
from preprocessing.events import (
    EVENT_DTYPE,
    MAX_DISORDER_US,
    Events,
    Reading,
    Recording,
    RecordingWarning,
    check_events,
    joined,
)
from preprocessing.events.clock import forward_jumps
from preprocessing.events.slicing import window_edges
from preprocessing.frames.settings import FrameSettings
from preprocessing.readers import read_recording

MOST_WINDOWS = 100_000
"""Of one recording: a day and a half in windows of 1.3 s."""

Probabilities = Floats
Source = str | os.PathLike[str] | NDArray[Any]
"""Path of a recording; its events, ``[N]`` of ``EVENT_DTYPE``; or frames in events per pixel, ``[T, C, H, W]``."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says of one recording.

    Attributes:
        probabilities: of the classes, ``[K]``, the mean over its windows.
        num_windows: that it was cut into; 1 where it is one sample.
        seconds: to read it, and its windows' share of the run in which their frames were made and answered.
    """

    probabilities: Probabilities
    num_windows: int
    seconds: float


class Classifier:
    """An exported model, ready for recordings.

    The model's own description says how events become frames, so that a recording is treated as the training data
    were. A recording that is longer than the windows the model was trained on is cut into such windows.

    Args:
        path: an ONNX file or a file of events, written by ``python -m deploy.export``.
        threads: that it may use; the runtime's own choice by default.
        providers: onnxruntime's execution providers, best first; the CPU by default.
        time_unit: of the times in recordings that don't say it; that of the training data by default.
        drop_bad: share of a recording's events that may be bad, and are dropped; as in the training data by default.

    Attributes:
        metadata: the model's description.
        classes: names in the order of the probabilities.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such file, or not one of this package, or for an unknown provider.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        time_unit: str | None = None,
        drop_bad: float | None = None,
    ) -> None:
        asked = {"time_unit": time_unit, "drop_bad": drop_bad}
        self._asked = {name: value for name, value in asked.items() if value is not None}
        self._session = open_session(path, threads, providers)
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
        for answer in self.answer_each(recordings, batch):
            yield answer.probabilities if isinstance(answer, Answer) else answer

    def answer_each(self, recordings: Iterable[Source], batch: int = 8) -> Iterator[Answer | ValueError | OSError]:
        """As ``predict_each``, with the number of windows behind each answer and the time it took."""
        waiting: list[_Waiting] = []
        num_windows = 0
        for recording in recordings:
            started = perf_counter()
            windows = self._windows_or_error(recording)
            length = 0 if isinstance(windows, Exception) else len(windows)
            seconds = perf_counter() - started
            if num_windows + length > batch and num_windows:
                yield from self._run(waiting, batch)
                waiting, num_windows = [], 0
            waiting.append(_Waiting(windows, seconds))
            num_windows += length
        yield from self._run(waiting, batch)

    def stream(
        self,
        slicing: str | None = None,
        max_disorder_us: int = MAX_DISORDER_US,
        hop: int | None = None,
        smoothing: int = 1,
    ) -> EventStream:
        """Begin a live stream, for a file of ``--format onnx-step`` or ``events``; see ``deploy.running.stream``.

        Args:
            slicing: length of a slice, ``"duration:50ms"`` or ``"events:2000"``; by default the model's own, if it
                was trained with slices of one length.
            max_disorder_us: how much later than an event of a later time another may come; a slice is done so long
                after its end.
            hop: slices after which a new window begins; by default as many as a window has.
            smoothing: windows whose probabilities are averaged.

        Raises:
            ValueError: for an unrolled model, a slicing or filter that needs the whole recording, or a hop or a
                smoothing out of range.
        """
        return EventStream(self._session, slicing, max_disorder_us, hop, smoothing)

    def frames(self, recording: Source) -> Floats:
        """The frames a model sees of a recording, ``[windows, T, C, H, W]``; raises as ``predict``."""
        return np.stack([frames_of() for frames_of in self._windows(recording)])

    def _windows(self, recording: Source) -> list[Callable[[], Floats]]:
        """What makes the frames of each window of a recording, so that not all are in memory at once."""
        if isinstance(recording, np.ndarray) and recording.dtype != EVENT_DTYPE:
            frames = self._session.checked(recording[None])[0]
            return [lambda: frames]
        sensor, config = self._session.frame_config()
        if isinstance(recording, np.ndarray):
            jumps = forward_jumps(recording["t"]).tolist()
            read = Recording(recording, sensor, "events", "these events", jumps=tuple(jumps))
        else:
            read = self.read(recording)
        with self._session.telling_a_guess():
            check_events(read.events, sensor, read.source)
        settings, source = FrameSettings.from_config(config), read.source
        rasterizer = settings.rasterizer(sensor)
        stretches = [stretch for stretch in settings.filtered(read.stretches(), sensor) if len(stretch)]
        if not stretches:
            raise ValueError(
                f"{source}: no event passes the filters that the model was trained with ({config['filters']})"
            )
        return [partial(rasterizer.frames, part) for part in _windows(stretches, config, source)]

    def read(self, recording: str | os.PathLike[str]) -> Recording:
        """A recording, read as those of the training data were; warns of what is doubtful about it.

        Raises:
            FileNotFoundError, ValueError: as ``predict``.
        """
        sensor, config = self._session.frame_config()
        how = Reading.from_config({**config, **self._asked})
        with self._session.telling_a_guess():
            read = read_recording(recording, sensor, how)
        for doubt in read.doubts:
            warnings.warn(f"{read.source}: {doubt}", RecordingWarning, stacklevel=3)
        return read

    def _windows_or_error(self, recording: Source) -> list[Callable[[], Floats]] | ValueError | OSError:
        try:
            return self._windows(recording)
        except (ValueError, OSError) as error:
            return error

    def _run(self, waiting: Sequence[_Waiting], batch: int) -> Iterator[Answer | ValueError | OSError]:
        """Run the windows of several recordings together; each gets the mean over its own."""
        started = perf_counter()
        windows = [window for each in waiting if not isinstance(each.windows, Exception) for window in each.windows]
        starts = range(0, len(windows), batch)
        parts = (np.stack([frames_of() for frames_of in windows[start : start + batch]]) for start in starts)
        runs = [self._session.logits(part) for part in parts]
        logits = (row for rows in runs for row in rows)
        of_a_window = (perf_counter() - started) / max(1, len(windows))
        for each in waiting:
            if isinstance(each.windows, Exception):
                yield each.windows
            else:
                num = len(each.windows)
                yield _answer(list(islice(logits, num)), each.seconds + num * of_a_window)


class _Waiting(NamedTuple):
    """What makes a recording's windows, or why it cannot be used, and the seconds that it took to know."""

    windows: list[Callable[[], Floats]] | ValueError | OSError
    seconds: float


def _answer(logits: list[Floats], seconds: float) -> Answer | ValueError:
    """The mean of the probabilities of a recording's windows, or why there is none."""
    try:
        return Answer(softmax(np.stack(logits)).mean(0), len(logits), seconds)
    except ValueError as error:
        return error


def _windows(stretches: Sequence[Events], settings: dict[str, Any], source: str) -> list[Events]:
    """The samples of a recording, as a build cuts it: windows begin anew where the clock was set."""
    window_us, hop_us = settings.get("window_us"), settings.get("hop_us")
    if not window_us or not hop_us:
        return [joined(stretches)]
    num = sum(max(0, int(each["t"][-1] - each["t"][0]) + 1 - window_us + hop_us) // hop_us for each in stretches)
    if num > MOST_WINDOWS:
        raise ValueError(
            f"{source} has {num:,} windows of {window_us} µs, one every {hop_us} µs, at most {MOST_WINDOWS:,} are run; "
            "give a part of it"
        )
    edges = [(each, *edge) for each in stretches for edge in window_edges(each["t"], window_us, hop_us)]
    parts = [stretch[start:stop] for stretch, start, stop in edges if start < stop]
    if not parts:
        duration = max(int(stretch["t"][-1] - stretch["t"][0]) for stretch in stretches)
        raise ValueError(f"{source} spans {duration} µs, the model was trained on windows of {window_us} µs")
    return parts
