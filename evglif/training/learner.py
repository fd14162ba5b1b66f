"""A network while it learns: one epoch at a time, on this process's share of the samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from evglif.data import DeviceFrames, HostFrames
from evglif.models import Network, NetworkSpec, model_from_spec
from evglif.recipe import Recipe
from evglif.training.diagnose import first_not_finite
from evglif.training.ema import moving_average
from evglif.training.optim import build_optimizer, build_schedule
from evglif.training.order import Piece, seed_of
from evglif.training.sync import synchronise_norms
from evglif.training.task import ClassificationTask

if TYPE_CHECKING:
    from lightning_fabric import Fabric

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
        sums = torch.tensor([self.loss, self.right, self.num_samples], dtype=torch.float64, device=fabric.device)
        loss, right, num_samples = cast(torch.Tensor, fabric.all_reduce(sums, reduce_op="sum")).tolist()
        return Means(loss, right, int(num_samples))

    def figures(self, stage: str) -> dict[str, float]:
        """``{"<stage>_loss": …, "<stage>_accuracy": …}``."""
        return {f"{stage}_loss": self.loss / self.num_samples, f"{stage}_accuracy": self.right / self.num_samples}


class Learner:
    """A network, its optimiser, schedule and moving average.

    Everything random in an epoch follows from the recipe's seed, the epoch and the process, so that no state of a
    generator has to be kept to go on after an epoch.

    Args:
        recipe: how it learns.
        spec: the network.
        scale: of the stored frames.
        fabric: the processes.

    Attributes:
        threads: of the processor, where a number was chosen.
    """

    threads: int | None = None

    def __init__(self, recipe: Recipe, spec: NetworkSpec, scale: float, fabric: Fabric) -> None:
        self.recipe = recipe
        self.fabric = fabric
        torch.manual_seed(recipe.seed)
        self.model = model_from_spec(spec)
        if fabric.world_size > 1:
            synchronise_norms(self.model)
        if recipe.checkpoint and fabric.world_size > 1:
            raise ValueError("checkpoint: true is for one process; statistics of several would be exchanged twice")
        self.model.recompute = recipe.checkpoint
        if recipe.channels_last:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.task = ClassificationTask(self.model, scale, recipe.loss, recipe.augment)
        optimizer = build_optimizer(self.model, recipe.optim)
        self.schedule = build_schedule(optimizer, recipe.optim, recipe.epochs)
        if recipe.compile:
            self.task.compile_for(recipe.loader.batch_size)
        self.module, self.optimizer = fabric.setup(self.task, optimizer)
        self.average = moving_average(self.model, recipe.ema) if recipe.ema else None
        self.judged = ClassificationTask(self.weights, scale, recipe.loss, recipe.augment)

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
        for piece, batch in zip(pieces, frames.batches([piece.rows for piece in pieces]), strict=True):
            with self.fabric.no_backward_sync(self.module, enabled=not piece.steps):
                loss, right = self.module(*batch)
                self.fabric.backward(loss * piece.share)
            value, num_right = torch.stack([loss.detach(), right]).tolist()
            if not math.isfinite(value):
                cause = first_not_finite(self.task, *batch)
                raise FloatingPointError(f"the loss became {value} in epoch {epoch}, step {step}: {cause}")
            means.add(value, num_right, len(piece.rows))
            if piece.steps:
                self._step()
                step += 1
            watch(means)
        self.schedule.step()
        return means.over_processes(self.fabric)

    def _step(self) -> None:
        clip = self.recipe.optim.clip
        if clip is not None:  # under fp16 a step of infinite gradients is left out by the scaler, not an error
            self.fabric.clip_gradients(self.module, self.optimizer, max_norm=clip, error_if_nonfinite=False)
        self.optimizer.step()
        self.optimizer.zero_grad()
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
        """Go back to where ``state()`` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
