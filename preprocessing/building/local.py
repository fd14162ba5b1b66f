"""A build by processes of this machine."""

from __future__ import annotations

from contextlib import closing

from preprocessing.building.journal import Journal
from preprocessing.building.plan import Plan, telling_kept, told_resuming
from preprocessing.building.samples import make_samples, outcome_of
from preprocessing.cache.contents import Outcome, joined
from preprocessing.events import RecordingError
from preprocessing.progress import progress
from preprocessing.terminal import tell
from preprocessing.workers import WorkerDiedError, num_workers, run_tasks

_SECONDS_TOGETHER = 0.005
_MOST_TOGETHER = 64


def build_here(plan: Plan, workers: int | None) -> None:
    """Build what is planned, from where an earlier run of the same build ended.

    Args:
        plan: the build; this process is the only one to do it.
        workers: number of processes; by default all cores, fewer for what is done in a moment.

    Raises:
        ValueError: nothing can be used, or recordings of different sensors.
        RecordingError: something is left out, and the build is strict.
        WorkerDiedError: worker processes end before they do anything.
        WriteError: the cache or the work beside it cannot be written.
    """
    with (
        Journal(plan.out, plan.config, plan.sources) as journal,
        telling_kept(plan, lambda: len(journal.outcomes)),
    ):
        if journal.started_anew:
            tell("starting anew: the work kept beside it is another build's, or damaged")
        told_resuming(plan, len(journal.outcomes))
        _fill(journal, plan, workers)
        journal.commit(plan.classes, plan.left_out)


def _fill(journal: Journal, plan: Plan, workers: int | None) -> None:
    first: Outcome | None = None
    for outcome in journal.outcomes.values():
        first = plan.checked(first, outcome)
    missing = [index for index in range(len(plan.tasks)) if index not in journal.outcomes]
    seconds = sum(plan.tasks[index].seconds() for index in missing)
    processes = num_workers(workers, seconds)
    together = max(1, min(_MOST_TOGETHER, int(_SECONDS_TOGETHER * len(missing) / max(seconds, 1e-9))))
    tasks = (plan.tasks[index] for index in missing)
    with (
        closing(run_tasks(make_samples, tasks, processes, (RecordingError, WorkerDiedError), together)) as results,
        closing(progress(results, len(plan.tasks), "building", plan.unit, len(journal.outcomes))) as shown,
    ):
        for number, result in shown:
            index = missing[number]
            outcome, frames = outcome_of(plan.sources[index], result)
            first = plan.checked(first, outcome)
            journal.add(index, outcome, frames, index if plan.one_each else None)
    plan.require_samples(joined(journal.outcomes[index] for index in sorted(journal.outcomes)))
