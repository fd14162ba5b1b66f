"""A file of events in the place of an ONNX file: all steps of a recording, or one at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.engine import Engine
from deploy.events.file import is_events_file, read
from deploy.running.session import Floats, ModelSession, Session


class EventsSession(ModelSession):
    """An exported model that runs by its events; it takes the same calls as one in onnxruntime.

    Args:
        path: a file written by ``python -m deploy.export --format events``.
        threads: that it may use; all processors by default.

    Attributes:
        path: of the file.
        metadata: the model's description.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged; see ``deploy.events.file.read``.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        self.path = Path(path)
        model = read(self.path)
        self.metadata = model.metadata
        self._engine = Engine(model, threads)

    @property
    def is_step_model(self) -> bool:
        """That it can run one time step at a time."""
        return True

    def logits(self, frames: Floats) -> Floats:
        """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``.

        Raises:
            ValueError: for frames of another shape, or that are not finite.
        """
        return self._engine.logits(self.checked(frames))

    def at_rest(self, batch: int = 1) -> list[NDArray[Any]]:
        """What all neurons are before the first step, in one array ``[B, bytes]``."""
        return [np.stack([self._engine.at_rest()] * batch)]

    def step(self, frame: Floats, step: int, membranes: list[NDArray[Any]]) -> tuple[Floats, list[NDArray[Any]]]:
        """One time step: logits ``[B, K]`` of frames ``[B, C, H, W]``, and what ``at_rest`` gives, after it."""
        (states,) = membranes
        after = np.empty_like(states)
        logits = [self._engine.step(each, step, *both)[0] for each, *both in zip(frame, states, after, strict=True)]
        return np.stack(logits), [after]


def open_session(
    path: str | os.PathLike[str], threads: int | None = None, providers: Sequence[str] | None = None
) -> ModelSession:
    """An exported model, ready to run in what its file is for: a file of events here, any other in onnxruntime.

    Raises:
        FileNotFoundError, ValueError: as ``EventsSession`` and ``Session``; for providers, which are onnxruntime's.
    """
    if not is_events_file(path):
        return Session(path, threads, providers)
    if providers:
        raise ValueError(f"{path} runs on the processor, without onnxruntime; leave out the providers")
    return EventsSession(path, threads)
