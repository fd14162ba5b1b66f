"""One sample on its way through a plan, all of its time steps or one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from time import perf_counter

import numpy as np

from deploy.events import kernels
from deploy.events.encode import Floats, encoded
from deploy.events.file import Model
from deploy.events.packing import PackedLayer
from deploy.events.plan import INPUT, LOGITS
from deploy.events.program import Program
from deploy.events.states import State, States
from deploy.events.values import Value

_LEAST_WORK = 1_000_000
"""Additions, about, that one thread does in the time in which another is woken."""


class Worker:
    """Runs samples one after another, all time steps or one of them at a time.

    Args:
        model: that is run.
        layers: its layers, packed.
        steps: of a run.
        keep: use no buffer twice, so that all values are there afterwards.
    """

    def __init__(self, model: Model, layers: Mapping[str, PackedLayer], steps: int, keep: bool = False) -> None:
        self._model, self._program = model, Program(model, layers, steps, keep)
        self._states = States(model, layers)

    @property
    def values(self) -> dict[str, Value]:
        """Those of the last sample, by name."""
        return self._program.buffers

    def run(self, frames: Floats, threads: Executor | None = None, num_threads: int = 1) -> Floats:
        """Logits ``[K]`` of a sample ``[T, C, H, W]``, from rest; its rows are shared out if there are threads."""
        return self._run(encoded(self._model, frames), threads, num_threads)

    def step(
        self, frame: Floats, step: int, state: State, after: State, threads: Executor | None = None,
        num_threads: int = 1,
    ) -> Floats:  # fmt: skip
        """Logits ``[K]`` of one step's frame ``[C, H, W]``; the state before it stays, that after it is written."""
        self._states.bind(self._program.operations, step, state, after)
        return self._run(encoded(self._model, frame[None], step), threads, num_threads)

    def seconds(self, frames: Floats, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
        """How long every value of a sample takes to make."""
        program = self._program
        self.values[INPUT].numbers[:] = encoded(self._model, frames).transpose(2, 0, 3, 1)
        taken = {}
        for number, operation in enumerate(self._model.plan.operations):
            one = program.operations[number : number + 1]
            counters = np.zeros((2, 1, 1), np.int64)
            start = clock()
            kernels.run(one, program.terms, program.values, counters, program.room_bytes)
            taken[operation.out] = clock() - start
        return taken

    def _run(self, given: Floats, threads: Executor | None, num_threads: int) -> Floats:
        self.values[INPUT].numbers[:] = given.transpose(2, 0, 3, 1)
        program = self._program
        counters = np.zeros((2, len(program.operations), 1), np.int64)
        job = program.operations, program.terms, program.values, counters, program.room_bytes
        num_others = min(num_threads, 1 + sum(program.work) // _LEAST_WORK) - 1
        others = [threads.submit(partial(kernels.run, *job)) for _ in range(num_others)] if threads else []
        kernels.run(*job)
        for other in others:
            if not other.cancel():
                other.result()
        logits: Floats = self.values[LOGITS].numbers[0, 0, 0].copy()
        return logits
