"""A network while it learns: one epoch at a time, on this process's share of the samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from evglif.data import Batch, DeviceFrames, HostFrames
from evglif.models import Network, NetworkSpec, model_from_spec
from evglif.recipe import Recipe
from evglif.training.diagnose import first_not_finite
from evglif.training.ema import moving_average
from evglif.training.graphs import NotRecordedError, Reading, RecordedStep, Recorder, fusable
from evglif.training.optim import build_optimizer, build_schedule
from evglif.training.order import Piece, seed_of
from evglif.training.sync import synchronise_norms
from evglif.training.task import ClassificationTask
from preprocessing.plain import brief

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MOST_SAID = 300
"""Letters of what torch says about a state; of many weights it names each."""

Frames = HostFrames | DeviceFrames


@dataclass
class Means:
    """Mean loss and accuracy of the samples seen so far.

    Attributes:
        loss: sum of their losses.
        right: how many were classified right.
        num_samples: how many there were.
    """

    loss: float = 0.0
    right: float = 0.0
    num_samples: int = 0

    def add(self, loss: float, right: float, num_samples: int) -> None:
        """Count a batch of the given mean loss."""
        self.loss += loss * num_samples
        self.right += right
        self.num_samples += num_samples

    def over_processes(self, fabric: Fabric) -> Means:
        """Those of all processes together."""
        if fabric.world_size == 1:
            return self  # not every device has double precision
        sums = torch.tensor([self.loss, self.right, self.num_samples], dtype=torch.float64, device=fabric.device)
        loss, right, num_samples = cast(torch.Tensor, fabric.all_reduce(sums, reduce_op="sum")).tolist()
        return Means(loss, right, int(num_samples))

    def figures(self, stage: str) -> dict[str, float]:
        """``{"<stage>_loss": …, "<stage>_accuracy": …}``."""
        return {f"{stage}_loss": self.loss / self.num_samples, f"{stage}_accuracy": self.right / self.num_samples}


class _Done(NamedTuple):
    """A piece of an epoch whose work the device has been asked for, and its loss and right samples."""

    piece: Piece
    batch: Batch
    figures: Reading


class Learner:
    """A network, its optimiser, schedule and moving average.

    Everything random in an epoch follows from the recipe's seed, the epoch and the process, so that no state of a
    generator has to be kept to go on after an epoch.

    Args:
        recipe: how it learns.
        spec: the network.
        scale: of the stored frames.
        fabric: the processes.
        recorder: what records steps on full batches, to do them as a whole; None for one operator at a time.
        say: told where a step cannot be recorded after all.
        prepare: does to the fresh network what it begins with.

    Attributes:
        threads: of the processor, where a number was chosen.
    """

    threads: int | None = None

    def __init__(
        self,
        recipe: Recipe,
        spec: NetworkSpec,
        scale: float,
        fabric: Fabric,
        recorder: Recorder | None = None,
        say: Callable[[str], None] = print,
        prepare: Callable[[Network], None] = lambda _: None,
    ) -> None:
        self.recipe = recipe
        self.fabric = fabric
        torch.manual_seed(recipe.seed)
        self.model = model_from_spec(spec)
        prepare(self.model)
        if fabric.world_size > 1:
            synchronise_norms(self.model)
        if recipe.checkpoint and fabric.world_size > 1:
            raise ValueError("checkpoint: true is for one process; statistics of several would be exchanged twice")
        self.model.recompute = recipe.checkpoint
        if recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task = ClassificationTask(self.model, scale, recipe.loss, recipe.augment)
        self.fused = recorder is not None or fusable(recipe, fabric.device.type)
        optimizer = build_optimizer(self.model, recipe.optim, self.fused)
        self.schedule = build_schedule(optimizer, recipe.optim, recipe.epochs)
        if recipe.compile:
            self.task.compile_for(recipe.loader.batch_size)
        self.module, self.optimizer = fabric.setup(self.task, optimizer)
        self.say = say
        self.recorded: RecordedStep | None = None
        if recorder is not None:
            self.recorded = RecordedStep(self._gradients, self._update, optimizer, recorder)
        self.average = moving_average(self.model, recipe.ema) if recipe.ema else None
        self.judged = ClassificationTask(self.weights, scale, replace(recipe.loss, rate_weight=0.0), recipe.augment)

    @property
    def weights(self) -> Network:
        """The network that is evaluated and saved: the moving average where there is one."""
        return self.model if self.average is None else cast(Network, self.average.module)

    @property
    def rate(self) -> float:
        """Learning rate of the weights."""
        return float(self.optimizer.param_groups[0]["lr"])

    def train(
        self, epoch: int, pieces: Sequence[Piece], frames: Frames, watch: Callable[[Means], None] = lambda _: None
    ) -> Means:
        """Learn for one epoch.

        Args:
            epoch: its number, from 1.
            pieces: this process's share of its batches.
            frames: the training samples.
            watch: told how it goes after every batch.

        Returns:
            Figures of the epoch, over all processes.

        Raises:
            FloatingPointError: where the loss is not finite; epoch, step and the cause are named.
        """
        torch.manual_seed(seed_of(self.recipe.seed, epoch, self.fabric.global_rank))
        self.task.train()
        means = Means()
        step = 1
        for piece, batch, figures in self._steps(pieces, frames):
            value, num_right = figures.values()
            if not math.isfinite(value):
                cause = first_not_finite(self.task, *batch)
                raise FloatingPointError(f"the loss became {value} in epoch {epoch}, step {step}: {cause}")
            means.add(value, num_right, len(piece.rows))
            step += piece.steps
            watch(means)
        self.schedule.step()
        return means.over_processes(self.fabric)

    def _steps(self, pieces: Sequence[Piece], frames: Frames) -> Iterator[_Done]:
        """Do an epoch's steps. Where one is done as a whole, the next is begun before its figures are waited for."""
        waiting: list[_Done] = []
        for piece, batch in zip(pieces, frames.batches([piece.rows for piece in pieces]), strict=True):
            whole = self._whole_step(piece, batch)
            if whole is not None:
                self._follow()
                yield from waiting
                waiting = [_Done(piece, batch, Reading(whole))]
                continue
            yield from waiting
            waiting = []
            with self.fabric.no_backward_sync(self.module, enabled=not piece.steps):
                figures = self._gradients(*batch, piece.share)
            yield _Done(piece, batch, Reading(figures))
            if piece.steps:  # and the loss was a number
                self._update()
                self._follow()
        yield from waiting

    def _whole_step(self, piece: Piece, batch: Batch) -> Tensor | None:
        """Loss and right samples of a recorded step; None where it has to be done one operator at a time."""
        if self.recorded is None or len(piece.rows) != self.recipe.loader.batch_size:
            return None
        try:
            return self.recorded(*batch)
        except NotRecordedError as error:
            self.say(f"graphs: the step cannot be recorded ({error}); steps are done one operator at a time")
            self.recorded = None
            return None

    def _gradients(self, stored: Tensor, labels: Tensor, share: float = 1.0) -> Tensor:
        loss, right = self.module(stored, labels)
        self.fabric.backward(loss * share)
        return torch.stack([loss.detach(), right])

    def _update(self) -> None:
        clip = self.recipe.optim.clip
        if clip is not None:  # under fp16 a step of infinite gradients is left out by the scaler, not an error
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _follow(self) -> None:
        if self.average is not None:
            self.average.update_parameters(self.model)

    def judge(self, frames: Frames, rows: Sequence[Any]) -> Means:
        """Loss and accuracy on samples that are not learnt from, over all processes.

        Args:
            frames: where they are.
            rows: this process's batches.
        """
        torch.manual_seed(seed_of(self.recipe.seed, 0, self.fabric.global_rank))  # a noisy encoder's, alike every time
        self.judged.eval()
        means = Means()
        with torch.no_grad(), self.fabric.autocast():
            for each, batch in zip(rows, frames.batches(rows), strict=True):
                loss, right = torch.stack(self.judged(*batch)).tolist()
                means.add(loss, right, len(each))
        return means.over_processes(self.fabric)

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on, tensors and plain values."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where ``state()`` was taken.

        Raises:
            ValueError: it is not the state of such a learner.
        """
        try:
            self.model.load_state_dict(state["model"])
            groups = [{**group, "fused": self.fused or None} for group in state["optimizer"]["param_groups"]]
            self.optimizer.load_state_dict({**state["optimizer"], "param_groups": groups})  # kept on whatever device
            self._restore_schedule(state["schedule"])
            self.fabric.strategy.precision.load_state_dict(state["precision"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(" ".join(str(error).split())[:MOST_SAID]) from error
        for weight, kept in self.optimizer.state.items():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.shape not in (weight.shape, torch.Size()):
                    raise ValueError(
                        f"{name} of the optimiser has the shape {list(value.shape)}, of {list(weight.shape)}"
                    )

    def _restore_schedule(self, state: dict[str, Any]) -> None:
        """Take over numbers alone: torch would take any attribute, methods among them."""
        own = self.schedule.state_dict()
        wrong = [name for name in {**own, **state} if type(own.get(name)) is not type(state.get(name))]
        if wrong:
            raise ValueError(f"{brief(wrong[0])} of the schedule is {brief(state.get(wrong[0]))}")
        self.schedule.load_state_dict(state)
