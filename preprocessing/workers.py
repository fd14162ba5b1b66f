"""Work spread over the cores of this machine: many small tasks in, their results out as they come."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from preprocessing.own_code import imported, run_code

Task = TypeVar("Task")
Result = TypeVar("Result")

DEADLY = (
    "it ended the process that worked on it, and one that did nothing else, too: for want of memory, or by a fault in "
    "a library"
)
"""What to say of a task that kills its workers."""

_IN_FLIGHT_PER_WORKER = 4
_THREAD_COUNTS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerError(RuntimeError):
    """Workers that cannot do the work."""


class WorkerDiedError(WorkerError):
    """A worker process is gone, and its task with it."""


def num_cores() -> int:
    """Cores that this process may use, which under a scheduler is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_workers(wanted: int | None, seconds: float) -> int:
    """How many processes to use for work that would take one of them about ``seconds``.

    As many as ``wanted``; without a wish one per core, but no more than get two seconds of work each, as it takes
    them about one to start.

    Raises:
        ValueError: ``wanted`` is not positive.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"workers must be at least 1, got {wanted}")
    return wanted or max(1, min(num_cores(), int(seconds / 2)))


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    errors: tuple[type[Exception], ...] = (),
    together: int = 1,
) -> Generator[tuple[int, Result | Exception]]:
    """Give ``(index, function(task))`` for each task, in the order in which they are done: a slow one stops no other.

    At most four messages per worker are under way, so neither tasks nor results pile up. Closing the iterator, an
    exception or Ctrl-C stops the workers; they also end when this process is killed.

    Args:
        function: a top-level function of a module, so that a worker process finds it by name.
        tasks: small objects that can be pickled.
        workers: number of processes; 1 runs all tasks in this one.
        errors: exceptions of a task that are given as its result; any other ends the iteration. With
            ``WorkerDiedError`` among them, a task that ends its worker, and then another one alone, is given so.
        together: tasks that a worker is sent in one message: a message takes half a millisecond.

    Raises:
        WorkerDiedError: a worker process ended on its own, and that is none of ``errors``; or none can be started.
    """
    if workers == 1:
        return ((index, attempt(function, task, errors)) for index, task in enumerate(tasks))
    return _run_in_processes(function, tasks, workers, errors, together)


class _Message(NamedTuple):
    """Tasks that a worker is sent together, and the index of the first; how many of them it had begun, if it died.

    ``begun`` is −1 where it had ended all.
    """

    first: int
    tasks: list[Any]
    begun: int = 0


def _run_in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    errors: tuple[type[Exception], ...],
    together: int,
) -> Generator[tuple[int, Result | Exception]]:
    """A task in the middle of which a worker died is done again alone; all others of that moment are done as before."""
    waiting = _messages(tasks, together)
    while True:
        num_done, lost = yield from _run_in_pool(function, waiting, workers, errors)
        if lost is None:
            return
        suspects = [message for message in lost if message.begun > 0]
        if WorkerDiedError not in errors or not (num_done or suspects):
            raise WorkerDiedError("a worker process died, perhaps for want of memory: run again with fewer workers")
        for message in suspects:
            place = message.begun - 1
            yield message.first + place, _alone(function, message.tasks[place], errors)
        waiting = chain(*map(_others, lost), waiting)


def _messages(tasks: Iterable[Task], together: int) -> Iterator[_Message]:
    waiting, first = iter(tasks), 0
    while message := list(islice(waiting, together)):
        yield _Message(first, message)
        first += len(message)


def _others(message: _Message) -> list[_Message]:
    """The tasks of a message but for the one that had begun last."""
    if message.begun <= 0:
        return [message._replace(begun=0)]
    first, tasks, begun = message
    parts = (_Message(first, tasks[: begun - 1]), _Message(first + begun, tasks[begun:]))
    return [part for part in parts if part.tasks]


def _run_in_pool(
    function: Callable[[Task], Result],
    waiting: Iterator[_Message],
    workers: int,
    errors: tuple[type[Exception], ...],
) -> Generator[tuple[int, Result | Exception], None, tuple[int, list[_Message] | None]]:
    """Do messages until all are done, or a worker dies.

    Returns:
        How many were done, and those that were lost with the worker; None if none died.
    """
    # spawn: a forked worker would inherit locks, open files and whatever threads held at that moment
    context = get_context("spawn")
    with _shared_memory():
        begun = context.RawArray("i", workers * _IN_FLIGHT_PER_WORKER)
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(begun, imported()))
    free = list(range(len(begun)))
    under_way: dict[Future[list[Result | Exception]], tuple[_Message, int]] = {}
    done: SimpleQueue[Future[list[Result | Exception]]] = SimpleQueue()
    num_done, message = 0, None
    try:
        while True:
            message = next(waiting, None) if free else None
            if message:
                begun[free[-1]] = 0
                with _inherited_by_workers():  # submitting is what starts a process
                    future = pool.submit(_attempt_each, function, message.tasks, errors, free[-1])
                under_way[future], message = (message, free.pop()), None
                future.add_done_callback(done.put)
                continue
            if not under_way:
                return num_done, None
            future = done.get()
            results = future.result()
            finished, slot = under_way.pop(future)
            free.append(slot)
            num_done += 1
            yield from enumerate(results, finished.first)
    except BrokenProcessPool:
        lost = [each._replace(begun=begun[slot]) for each, slot in under_way.values()]
        return num_done, [*lost, message] if message else lost
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _shared_memory() -> Iterator[None]:
    try:
        yield
    except OSError as error:  # locks of several processes lie there, and a container has little or none
        raise WorkerError(
            f"several processes need shared memory, and /dev/shm takes none ({error.strerror or error}): run again "
            "with --workers 1, make room there, or give the container more, such as --shm-size 64m"
        ) from error


def _alone(function: Callable[[Task], Result], task: Task, errors: tuple[type[Exception], ...]) -> Result | Exception:
    """What comes of a task in a process that does nothing else."""
    with _shared_memory():
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin, initargs=(imported(),))
    with pool:
        try:
            with _inherited_by_workers():
                future = pool.submit(attempt, function, task, errors)
            return future.result()
        except BrokenProcessPool:
            return WorkerDiedError(DEADLY)


def attempt(function: Callable[[Task], Result], task: Task, errors: tuple[type[Exception], ...]) -> Result | Exception:
    """``function(task)``, or the exception it raises where that is one of ``errors``."""
    try:
        return function(task)
    except errors as error:
        return error


_begun: Any = None  # of a worker: how many tasks of each message under way it has begun, seen by its parent


def _attempt_each(
    function: Callable[[Task], Result], tasks: list[Task], errors: tuple[type[Exception], ...], slot: int
) -> list[Result | Exception]:
    results = []
    for number, task in enumerate(tasks, 1):
        _begun[slot] = number
        results.append(attempt(function, task, errors))
    _begun[slot] = -1
    return results


def _start(begun: Any, code: Sequence[str]) -> None:
    global _begun  # noqa: PLW0603 (this process is a worker and nothing else)
    _begun = begun
    _begin(code)


def _begin(code: Sequence[str]) -> None:
    """Know in a worker what the user's own code has registered."""
    _end_with_parent()
    for name in code:
        run_code(name)


def _end_with_parent() -> None:
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _inherited_by_workers() -> Iterator[None]:
    """Let processes that start meanwhile use one thread each, and leave Ctrl-C, which reaches all, to the parent."""
    before = {name: os.environ.get(name) for name in _THREAD_COUNTS}
    os.environ.update(dict.fromkeys(_THREAD_COUNTS, "1"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
