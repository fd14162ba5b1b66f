"""A model that runs by its events, on some threads: samples beside each other, or the rows of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

import numpy as np

from deploy.events.encode import Floats
from deploy.events.file import Model
from deploy.events.packing import packed
from deploy.events.states import State, States
from deploy.events.values import Value
from deploy.events.worker import Worker


class Engine:
    """A model that is ready to run; may be used by one thread at a time.

    Args:
        model: read from a file.
        threads: that it may use; all processors by default.
        lanes: numbers of 32 bits in a vector, of ``vectors.LANES``; as wide as the processor's by default.
    """

    def __init__(self, model: Model, threads: int | None = None, lanes: int | None = None) -> None:
        self.model = model
        self.threads = threads or _processors()
        self._layers = packed(model, lanes)
        self._states = States(model, self._layers)
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        self._workers: list[Worker] = []
        self._stepper: Worker | None = None

    def logits(self, frames: Floats) -> Floats:
        """Logits ``[B, K]`` of frames ``[B, T, C, H, W]``: a sample a thread, the rest by their rows of pixels.

        Raises:
            ValueError: for frames that are not finite.
        """
        found: list[Floats] = []
        while self._pool is not None and len(frames) - len(found) >= self.threads:
            some = frames[len(found) : len(found) + self.threads]
            workers = [self._worker(number) for number in range(self.threads)]
            jobs = [self._pool.submit(worker.run, sample) for worker, sample in zip(workers, some, strict=True)]
            found += [job.result() for job in jobs]
        found += [self._worker(0).run(sample, self._pool, self.threads) for sample in frames[len(found) :]]
        return np.stack(found) if found else np.empty((0, len(self.model.metadata.classes)), np.float32)

    def values(self, frames: Floats) -> dict[str, Value]:
        """All values of one sample ``[T, C, H, W]``."""
        worker = Worker(self.model, self._layers, self.model.metadata.steps, keep=True)
        worker.run(frames, self._pool, self.threads)
        return worker.values

    def seconds(self, frames: Floats, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
        """How long every value of one sample ``[T, C, H, W]`` takes to make, on one thread, by a clock."""
        return self._worker(0).seconds(frames, clock)

    def at_rest(self) -> State:
        """The state before the first step of one sample."""
        return self._states.at_rest()

    def step(self, frame: Floats, step: int, state: State, after: State | None = None) -> tuple[Floats, State]:
        """One time step of one sample: logits ``[K]`` of a frame ``[C, H, W]``, and the next state.

        Args:
            frame: of this step.
            step: its number.
            state: before it, which stays as it is.
            after: memory for the next; new by default.
        """
        if self._stepper is None:
            self._stepper = Worker(self.model, self._layers, 1)
        after = np.empty_like(state) if after is None else after
        return self._stepper.step(frame, step, state, after, self._pool, self.threads), after

    def _worker(self, number: int) -> Worker:
        while len(self._workers) <= number:
            self._workers.append(Worker(self.model, self._layers, self.model.metadata.steps))
        return self._workers[number]


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
