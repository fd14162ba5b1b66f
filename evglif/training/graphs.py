"""A training step that the GPU does without the host: recorded once as a CUDA graph, and then done again.

A step of a small network takes the host longer to ask for than the GPU to do. Recorded, one call asks for all of it:
augmentation, forward pass, loss, backward pass and optimiser. What is recorded reads and writes the same memory every
time, so that batches are copied to where the first one lay, and learning rates are kept in tensors. Random numbers go
on as they would: the generator's seed and place are read anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from evglif.recipe import Recipe

NUM_PLAIN = 3
"""Steps that are done one operator at a time before one is recorded: they make the optimiser's state, and have
libraries choose their algorithms. They are steps like others."""


class NotRecordedError(RuntimeError):
    """A step that turned out to be one that cannot be recorded."""


class Recorder(Protocol):
    """What records work on a device."""

    def plain(self, work: Callable[[], Tensor]) -> Tensor:
        """Do some work as it is, as a preparation."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record some work without doing it; what is returned does it.

        Raises:
            NotRecordedError: where that cannot be done; nothing has been.
        """


class CudaGraphs:
    """Records what is put into a stream of the current GPU."""

    def plain(self, work: Callable[[], Tensor]) -> Tensor:
        """Work on a stream of its own: gradients must not be bound to the one that cannot be recorded."""
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            result = work()
        here.wait_stream(aside)
        result.record_stream(here)
        return result

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """A CUDA graph; see ``Recorder``. Threads that read ahead may go on taking memory meanwhile."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                work()
        except RuntimeError as error:
            _renew_generator()
            raise NotRecordedError(str(error).strip().splitlines()[0]) from error
        return graph.replay


def _renew_generator() -> None:
    """Give the GPU's generator the state it had: one that took part in a failed recording gives no more numbers."""
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    fresh = torch.Generator(generator.device)
    fresh.manual_seed(generator.initial_seed())
    generator.graphsafe_set_state(fresh.graphsafe_get_state())


class Reading:
    """Figures on their way to the host, which need not wait for what the device is asked for after them.

    Args:
        figures: a tensor on any device.
    """

    def __init__(self, figures: Tensor) -> None:
        self._figures = figures.to("cpu", non_blocking=True)
        self._there: torch.cuda.Event | None = None
        if figures.is_cuda:
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()

    def values(self) -> list[float]:
        """The figures, once they are there."""
        if self._there is not None:
            self._there.synchronize()
        values: list[float] = self._figures.tolist()
        return values


class RecordedStep:
    """A training step on batches of one size.

    Args:
        gradients: stored frames and labels → the loss and how many are right, ``[2]``, and the parameters' gradients.
        update: lets the optimiser make a step of them, and takes them away.
        optimizer: it must be a fused one: those read learning rates on the device, and can leave a step out.
        recorder: what records.
    """

    def __init__(
        self,
        gradients: Callable[[Tensor, Tensor], Tensor],
        update: Callable[[], None],
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
    ) -> None:
        self._gradients = gradients
        self._update = update
        self._optimizer = optimizer
        self._recorder = recorder
        self._num_done = 0
        self._again: Callable[[], None] | None = None
        self._batch: tuple[Tensor, ...] = ()
        self._rates: list[Tensor] = []
        self._figures = torch.empty(0)

    def __call__(self, stored: Tensor, labels: Tensor) -> Tensor:
        """Do a step; of a loss that is not finite, all but the optimiser's part.

        Returns:
            The loss and how many samples are right, ``[2]``.

        Raises:
            NotRecordedError: nothing has been done.
        """
        if self._num_done < NUM_PLAIN:
            self._num_done += 1
            return self._recorder.plain(lambda: self._step(stored, labels))
        if self._again is None:
            self._again = self._record(stored, labels)
        for kept, given in zip(self._batch, (stored, labels), strict=True):
            kept.copy_(given)
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self._again()
        return self._figures.clone()

    def _step(self, stored: Tensor, labels: Tensor) -> Tensor:
        figures = self._gradients(stored, labels)
        # What a gradient scaler says by this attribute, fused optimisers heed: no step where there was no number.
        vars(self._optimizer)["found_inf"] = (~torch.isfinite(figures[0])).to(torch.float32)
        self._update()
        vars(self._optimizer).pop("found_inf", None)
        return figures

    def _record(self, *batch: Tensor) -> Callable[[], None]:
        self._batch = tuple(each.clone() for each in batch)
        self._rates = [torch.empty((), device=batch[0].device) for _ in self._optimizer.param_groups]

        def work() -> None:
            self._figures = self._step(*self._batch)

        with _on_device(self._optimizer, self._rates):
            return self._recorder.record(work)


@contextmanager
def _on_device(optimizer: torch.optim.Optimizer, rates: list[Tensor]) -> Iterator[None]:
    """Let an optimiser read its rates on the device; afterwards they are numbers again, as its state is kept."""
    before: list[dict[str, Any]] = []
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        changed = {"lr": rate, "capturable": True}
        before.append({name: group[name] for name in changed if name in group})
        group.update({name: changed[name] for name in before[-1]})
    try:
        yield
    finally:
        for group, values in zip(optimizer.param_groups, before, strict=True):
            group.update(values)


def recorder_for(
    wanted: bool | None, recipe: Recipe, device: str, num_processes: int, say: Callable[[str], None]
) -> Recorder | None:
    """What records the steps of a recipe; None where they are done one operator at a time.

    Args:
        wanted: whether to record; None for where it is known to be safe.
        recipe: what is trained.
        device: ``"cuda"``, ``"cpu"`` or ``"mps"``.
        num_processes: that train one network.
        say: told where what was wanted cannot be done.
    """
    why_not = obstacle(recipe, device, num_processes)
    if wanted and why_not:
        say(f"graphs: {why_not}; steps are done one operator at a time")
    doubtful = recipe.compile or fp16(recipe, device)
    return CudaGraphs() if not why_not and (wanted or (wanted is None and not doubtful)) else None


def obstacle(recipe: Recipe, device: str, num_processes: int) -> str:
    """Why a recipe's steps cannot be recorded; empty where they can."""
    if device != "cuda":
        return f"CUDA graphs are for NVIDIA GPUs, and this runs on {device}"
    if num_processes > 1:
        return "several processes train one network"
    if recipe.optim.accumulate > 1:
        return f"the gradients of {recipe.optim.accumulate} batches make one step"
    return "" if fusable(recipe, device) else "gradients of fp16 are clipped, for which the host has to look at them"


def fusable(recipe: Recipe, device: str) -> bool:
    """Whether the optimiser takes its step in one kernel: where it runs, and gradients need no unscaling before."""
    return device in ("cpu", "cuda") and not (fp16(recipe, device) and recipe.optim.clip is not None)


def fp16(recipe: Recipe, device: str) -> bool:
    """Whether a recipe is trained in fp16, with its loss scaled."""
    return recipe.precision == "fp16" or (recipe.precision == "auto" and device == "cuda")
