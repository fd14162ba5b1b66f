"""One sample on its way through a plan: the buffers of its values, and the compiled loops over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from deploy.events import kernels
from deploy.events.encode import Floats, encoded
from deploy.events.file import Model
from deploy.events.packing import PackedLayer
from deploy.events.plan import INPUT, LOGITS, Join, Layer, Mean, Operation, Pool
from deploy.events.values import Buffers, Value

Counter = NDArray[np.int64]
Job = Callable[[Counter], None]
"""Does row after row as long as the counter, the same for all threads, has one that is not taken."""

State = list[Floats]
"""Membranes and spikes of every layer of neurons, ``[H, W, 2, C]``."""

_HOW = {"add": kernels.ADD, "and": kernels.AND, "iand": kernels.IAND}
_NO_STATE = np.empty((0, 0, 0, 0), np.float32)
_LEAST_WORK = 500_000
"""Additions, about, that one thread does in the time in which another is woken."""
_USUAL_ACTIVITY = 0.2


class Worker:
    """Runs samples one after another, all time steps or one of them at a time.

    Args:
        model: that is run.
        layers: its layers, packed.
        steps: of a run.
        keep: use no buffer twice, so that all values are there afterwards.

    Attributes:
        values: of the last sample, by name.
    """

    def __init__(self, model: Model, layers: Mapping[str, PackedLayer], steps: int, keep: bool = False) -> None:
        self._model, self._layers, self._steps = model, layers, steps
        self.values: dict[str, Value] = Buffers(model, steps, keep).values
        self._state: dict[str, tuple[Floats, Floats, Floats]] = {}
        self._jobs = [self._job(each) for each in model.plan.operations]

    def run(self, frames: Floats, threads: Executor | None = None, num_threads: int = 1) -> Floats:
        """Logits ``[K]`` of a sample ``[T, C, H, W]``, from rest; its rows are shared out if there are threads."""
        return self._run(encoded(self._model, frames), threads, num_threads)

    def step(
        self, frame: Floats, step: int, state: State, threads: Executor | None = None, num_threads: int = 1
    ) -> tuple[Floats, State]:
        """Logits ``[K]`` of one step's frame ``[C, H, W]``, and the state after it."""
        after = [np.empty_like(each) for each in state]
        neurons = [(name, layer.gain) for name, layer in self._layers.items() if layer.fires]
        for (name, gain), old, new in zip(neurons, state, after, strict=True):
            self._state[name] = (gain if len(gain) == 1 else gain[step : step + 1], old, new)
        return self._run(encoded(self._model, frame[None], step), threads, num_threads), after

    def seconds(self, frames: Floats) -> dict[str, float]:
        """How long every value of a sample takes to make."""
        self.values[INPUT].numbers[:] = encoded(self._model, frames).transpose(2, 0, 3, 1)
        taken = {}
        for operation, (job, _) in zip(self._model.plan.operations, self._jobs, strict=True):
            start = perf_counter()
            job(np.zeros(1, np.int64))
            taken[operation.out] = perf_counter() - start
        return taken

    def _run(self, given: Floats, threads: Executor | None, num_threads: int) -> Floats:
        self.values[INPUT].numbers[:] = given.transpose(2, 0, 3, 1)
        for job, work in self._jobs:
            counter = np.zeros(1, np.int64)
            num_others = min(num_threads, 1 + work // _LEAST_WORK) - 1
            others = [threads.submit(job, counter) for _ in range(num_others)] if threads else []
            job(counter)
            for other in others:
                if not other.cancel():
                    other.result()
        logits: Floats = self.values[LOGITS].numbers[0, 0, 0].copy()
        return logits

    def _job(self, operation: Operation) -> tuple[Job, int]:
        """What runs an operation, and about how many additions that takes; 0 where it cannot be shared out."""
        out = self.values[operation.out]
        if isinstance(operation, Layer):
            layer = self._layers[operation.out]
            pixels = out.shape.height * out.shape.width * out.shape.channels * out.steps
            return self._layer(operation, out), int(pixels * layer.additions * _USUAL_ACTIVITY)
        if isinstance(operation, Mean):
            return _mean(self.values[operation.source], out), 0
        if isinstance(operation, Pool):
            return _pool(operation, self.values[operation.source], out), out.bits.size * 4
        return _join(operation, self.values[operation.first], self.values[operation.second], out), out.bits.size

    def _layer(self, layer: Layer, out: Value) -> Job:
        packed = self._layers[layer.out]
        terms = packed.table([self.values[term.source] for term in layer.terms])
        at_rest = packed.gain, _NO_STATE, _NO_STATE

        def run(counter: Counter) -> None:
            gain, before, after = self._state.get(layer.out, at_rest)
            kernels.layer(
                counter, terms, packed.scales, packed.bias, packed.coefficients, gain, packed.rest, packed.strict,
                int(layer.rectify), out.shape.channels, before, after, out.bits, out.events, out.ends, out.numbers,
            )  # fmt: skip

        return run


def _mean(source: Value, out: Value) -> Job:
    def run(_: Counter) -> None:
        out.numbers[:] = source.mean_over_time()[:, None]

    return run


def _pool(operation: Pool, source: Value, out: Value) -> Job:
    y, x = operation.size
    largest = operation.how == "max"
    if source.shape.unit is None:
        height, width, channels = out.shape.height, out.shape.width, out.shape.channels

        def run(_: Counter) -> None:
            cut = source.numbers[: height * y, :, : width * x].reshape(height, y, -1, width, x, channels)
            out.numbers[:] = cut.max((1, 4)) if largest else cut.mean((1, 4), dtype=np.float32)

        return run

    def count(counter: Counter) -> None:
        kernels.pool(counter, int(largest), source.bits, y, x, out.shape.channels, out.bits, out.events, out.ends)

    return count


def _join(operation: Join, first: Value, second: Value, out: Value) -> Job:
    if first.shape.unit is None or second.shape.unit is None or out.shape.unit is None:
        return _join_numbers(operation.how, first.numbers, second.numbers, out.numbers)
    shifts = [round(each / out.shape.unit).bit_length() - 1 for each in (first.shape.unit, second.shape.unit)]
    how = _HOW[operation.how]

    def run(counter: Counter) -> None:
        kernels.join(
            counter, how, first.bits, shifts[0], second.bits, shifts[1], out.shape.channels, out.bits, out.events,
            out.ends,
        )  # fmt: skip

    return run


def _join_numbers(how: str, first: Floats, second: Floats, out: Floats) -> Job:
    def run(_: Counter) -> None:
        if how == "add":
            np.add(first, second, out=out)
        else:
            np.multiply(first if how == "and" else 1 - first, second, out=out)

    return run
