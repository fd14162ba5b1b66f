"""A build by the workers of a Dask cluster, in shards on storage that all of them share."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from importlib import import_module
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import Any

from preprocessing.building.plan import Plan, telling_kept, told_resuming
from preprocessing.building.shards import ShardTask, plan_shards, remove_unused_shards, write_joined, write_shard
from preprocessing.cache.contents import Outcome, joined
from preprocessing.files import writing
from preprocessing.progress import progress
from preprocessing.terminal import tell
from preprocessing.workers import WorkerDiedError, WorkerError

CLUSTER_PATIENCE_S = 30.0
"""How long a scheduler may take to answer, if nobody says it otherwise, s."""

_MOST_WAITED_S = 30.0
_QUIET_S = 2.0
_LONGEST_FILE = 1 << 20  # bytes; a scheduler file has a few thousand
_LOOK_EVERY_S = 0.05
_UNDER_WAY = 1000  # shards that the scheduler knows of at once: enough for any cluster, and no load for it


def build_on_cluster(plan: Plan, address: str, begun_ns: int, patience_s: float) -> None:
    """Build what is planned as a cache that refers to shards; those that an earlier run made are taken over.

    Args:
        plan: the build.
        address: of the scheduler, ``tcp://host:port``, or the path of its scheduler file, ``….json``.
        begun_ns: date of the cache.
        patience_s: how long the scheduler may take to answer, s.

    Raises:
        ValueError: Dask isn't installed, or as in a build without a cluster; then no shard is kept.
        WorkerError: no scheduler answers, a shard ends every worker that makes it, or workers see other files.
        WriteError: a shard or the cache cannot be written.
    """
    shards = plan_shards(plan)
    with writing(plan.out):
        shards[0].path.parent.mkdir(parents=True, exist_ok=True)
    outcomes = {number: shard.outcome() for number, shard in enumerate(shards) if shard.is_done()}
    told_resuming(plan, _num_recordings(shards, outcomes))
    with telling_kept(plan, lambda: _num_recordings(shards, outcomes)), _client(address, patience_s) as client:
        try:
            _fill(plan, client, shards, outcomes)
        except ValueError:
            _wait_for_workers(client)
            remove_unused_shards(plan.out)
            raise
        write_joined(plan, shards, [outcomes[number] for number in range(len(shards))], begun_ns)


def _distributed() -> Any:
    """Dask's library for clusters."""
    try:
        return import_module("distributed")
    except ImportError:
        raise ValueError("a cluster needs Dask: pip install 'evglif[cluster]', here and where workers run") from None


def _client(address: str, patience_s: float) -> Any:
    """A connection to the scheduler. Dask's own time limit covers no peer that accepts and then says nothing."""
    connect = _distributed().Client
    answers: SimpleQueue[Any] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(connect(_scheduler(address), timeout=patience_s))
        except Exception as error:  # what is no scheduler answers anything, and Dask raises what comes of it
            answers.put(error)

    Thread(target=ask, name="asking the scheduler", daemon=True).start()
    with suppress(Empty):
        return _connected(address, answers.get(timeout=min(_QUIET_S, patience_s)))
    tell(f"waiting for the Dask scheduler at {address}, {patience_s:g} s at most")
    try:
        return _connected(address, answers.get(timeout=max(0.0, patience_s - _QUIET_S)))
    except Empty:
        told = f"{patience_s:g} s are over; --cluster-timeout SECONDS waits longer"
        return _connected(address, TimeoutError(told))


def _connected(address: str, answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise WorkerError(
            f"{address}: no Dask scheduler answers ({answer}); expected tcp://host:port or a scheduler file FILE.json"
        ) from answer
    if not answer.nthreads():
        tell(f"{address}: the scheduler has no workers; what is to be done waits until one comes")
    return answer


def _scheduler(address: str) -> str:
    """The address, or that in a scheduler file; Dask would wait without an end for one that is not there."""
    if not address.endswith(".json"):
        return address
    with Path(address).open("rb") as file:
        content = json.loads(file.read(_LONGEST_FILE))
    if not isinstance(content, dict) or not isinstance(content.get("address"), str):
        raise ValueError("it holds no address, as a scheduler file of Dask does")
    return str(content["address"])


def _fill(plan: Plan, client: Any, shards: Sequence[ShardTask], outcomes: dict[int, Outcome]) -> None:
    first: Outcome | None = None
    for outcome in outcomes.values():
        first = plan.checked(first, outcome)
    missing = [number for number in range(len(shards)) if number not in outcomes]
    with (
        closing(_run(client, [shards[number] for number in missing])) as finished,
        closing(progress(finished, len(shards), "building", "shards", len(outcomes))) as shown,
    ):
        for position in shown:
            number = missing[position]
            outcome = _outcome(shards[number])
            first = plan.checked(first, outcome)
            outcomes[number] = outcome
    plan.require_samples(joined(outcomes[number] for number in range(len(shards))))


def _run(client: Any, shards: Sequence[ShardTask]) -> Generator[int]:
    """Have shards made; give their positions as they are done. Dask repeats what was lost with a worker.

    Where it gives up on a shard, whose workers died again and again, this is made once more with every recording in a
    process of its own, so that only what ends these is left out.
    """
    waiting = iter(enumerate(shards))
    under_way: dict[Any, tuple[int, bool]] = {}

    def submitted(positions: Iterable[int], carefully: bool = False) -> list[Any]:
        # not pure: a result that the cluster still holds of an earlier build is no shard on the disk
        new = {client.submit(write_shard, shards[p], carefully, pure=False): (p, carefully) for p in positions}
        under_way.update(new)
        return list(new)

    def next_ones(most: int) -> list[Any]:
        return submitted(position for position, _ in islice(waiting, most))

    done = _distributed().as_completed(next_ones(_UNDER_WAY))
    try:
        for future in done:
            position, was_careful = under_way.pop(future)
            try:
                _finish(future, shards[position])
            except WorkerDiedError:
                if was_careful:
                    raise
                done.update(submitted([position], carefully=True))
                continue
            yield position
            done.update(next_ones(1))
    finally:
        client.cancel(list(under_way))


def _wait_for_workers(client: Any) -> None:
    """Let shards end that workers are in the middle of: a task that has begun cannot be cancelled."""
    give_up = monotonic() + _MOST_WAITED_S
    while monotonic() < give_up and any(client.run(_is_writing).values()):
        sleep(_LOOK_EVERY_S)


def _is_writing(dask_worker: Any) -> bool:
    """Whether a worker, from which Dask calls this, is making a shard."""
    return any(str(task.key).startswith(write_shard.__name__) for task in dask_worker.state.executing)


def _finish(future: Any, shard: ShardTask) -> None:
    try:
        future.result()
    except _distributed().KilledWorker as error:
        names = f"{shard.tasks[0].source.name} to {shard.tasks[-1].source.name}"
        raise WorkerDiedError(
            f"{shard.path}: {error.allowed_failures + 1} workers died that had this shard, perhaps for want of memory; "
            f"its recordings are {names}"
        ) from error
    except CancelledError as error:
        raise WorkerError(f"the cluster is gone ({error})") from error


def _outcome(shard: ShardTask) -> Outcome:
    try:
        return shard.outcome()
    except FileNotFoundError:
        raise WorkerError(
            f"{shard.path}: written by a worker, but not seen from here; use storage that all share"
        ) from None


def _num_recordings(shards: Sequence[ShardTask], outcomes: dict[int, Outcome]) -> int:
    return sum(len(shards[number].tasks) for number in outcomes)
