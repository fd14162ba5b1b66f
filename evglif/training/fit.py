"""The training loop: epochs, from where a run stands to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np

from evglif.data import DeviceFrames, FrameDataset, HostFrames, Rows, consecutive
from evglif.evaluation.epochs import Row
from evglif.neurons import layer_values
from evglif.training.interrupt import between_batches
from evglif.training.learner import Frames, Learner, Means
from evglif.training.order import Order
from evglif.training.run import STATE, Run, State
from evglif.training.watch import Watch

Sets = Mapping[str, FrameDataset]
"""Samples by stage: ``"train"``, and those that are judged after every epoch."""


def fit(learner: Learner, sets: Sets, run: Run, former: State | None, watch: Watch, data_on_device: bool) -> list[Row]:
    """Train from where a run stands to its last epoch, writing to its folder after each.

    Args:
        learner: the network, fresh.
        sets: the samples; stages without any are passed over.
        run: its folder.
        former: where the run stands; None at the beginning.
        watch: what shows it.
        data_on_device: keep all samples on the device.

    Returns:
        Figures of all epochs.

    Raises:
        ValueError: where there are more processes than training samples, or the state of the run does not fit it.
        FloatingPointError: where the loss is not finite; the run stands where it did after the epoch before.
        OSError: where there is no room for an epoch's files; likewise.
        KeyboardInterrupt: after the batch in which Ctrl-C came; likewise.
    """
    order = _order(learner, len(sets["train"]))
    history: list[Row] = []
    writes = learner.fabric.is_global_zero
    if former is not None:
        try:
            learner.restore(former.learner)
        except ValueError as error:
            raise ValueError(f"{run.folder / STATE} is damaged: {error}; pass --overwrite to begin anew") from error
        history = former.history
        if writes:
            run.follow(history, learner.weights)
    frames = {stage: _frames(each, learner, data_on_device) for stage, each in sets.items() if len(each)}
    num_judged = sum(len(each) for stage, each in sets.items() if stage != "train")
    with between_batches() as check:
        for epoch in range(len(history) + 1, learner.recipe.epochs + 1):
            with watch.epoch(epoch, order.num_samples // order.num_processes, num_judged // order.num_processes):
                row = _epoch(epoch, learner, order, sets, frames, watch, check)
                watch.figures(row)
            history.append(row)
            if writes:
                run.save(State(history, learner.state(), learner.threads), learner.weights)
                watch.log(row)
            check()
    return history


def _epoch(
    number: int,
    learner: Learner,
    order: Order,
    sets: Sets,
    frames: Mapping[str, Frames],
    watch: Watch,
    check: Callable[[], None],
) -> Row:
    def after_batch(means: Means) -> None:
        watch.batch(means)
        check()

    rate, started = learner.rate, perf_counter()
    means = learner.train(number, order.epoch(number), frames["train"], after_batch)
    seconds = perf_counter() - started
    row: Row = {"epoch": number, **means.figures("train")}
    for stage in frames:
        if stage != "train":
            row |= learner.judge(frames[stage], _own(len(sets[stage]), order)).figures(stage)
    row |= {"lr": rate, "seconds": seconds, "samples_per_second": means.num_samples / seconds}
    return row | layer_values(learner.weights)


def _order(learner: Learner, num_samples: int) -> Order:
    recipe, fabric = learner.recipe, learner.fabric
    processes = fabric.global_rank, fabric.world_size
    return Order(num_samples, recipe.loader.batch_size, recipe.seed, *processes, recipe.optim.accumulate)


def _frames(dataset: FrameDataset, learner: Learner, data_on_device: bool) -> Frames:
    if data_on_device:
        return DeviceFrames(dataset, learner.fabric.device)
    return HostFrames(dataset, learner.fabric.device, learner.recipe.loader.workers)


def _own(num_samples: int, order: Order) -> list[Rows]:
    """This process's batches of samples that are judged."""
    mine = np.arange(order.rank, num_samples, order.num_processes)
    return [mine[rows] for rows in consecutive(len(mine), order.batch_size)]
