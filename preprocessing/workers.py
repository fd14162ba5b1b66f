"""Work spread over the cores of this machine: many small tasks in, their results out as they come."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context, parent_process
from queue import SimpleQueue
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

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
        errors: exceptions of a task that are given as its result; any other ends the iteration.
        together: tasks that a worker is sent in one message: a message takes half a millisecond.

    Raises:
        WorkerDiedError: a worker process ended on its own.
    """
    if workers == 1:
        return ((index, attempt(function, task, errors)) for index, task in enumerate(tasks))
    return _run_in_processes(function, tasks, workers, errors, together)


def _run_in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    workers: int,
    errors: tuple[type[Exception], ...],
    together: int,
) -> Generator[tuple[int, Result | Exception]]:
    # spawn: a forked worker would inherit locks, open files and whatever threads held at that moment
    pool = _pool(workers)
    under_way: dict[Future[list[Result | Exception]], int] = {}
    done: SimpleQueue[Future[list[Result | Exception]]] = SimpleQueue()

    def next_done() -> Iterable[tuple[int, Result | Exception]]:
        future = done.get()
        return enumerate(future.result(), under_way.pop(future))

    waiting, first = iter(tasks), 0
    try:
        while message := list(islice(waiting, together)):
            with _inherited_by_workers():  # submitting is what starts a process
                future = pool.submit(_attempt_each, function, message, errors)
            under_way[future] = first
            first += len(message)
            future.add_done_callback(done.put)
            if len(under_way) >= workers * _IN_FLIGHT_PER_WORKER:
                yield from next_done()
        while under_way:
            yield from next_done()
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            "a worker process died, perhaps for want of memory: run again with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    try:
        return ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent)
    except OSError as error:  # their locks lie in shared memory, of which a container has little or none
        raise WorkerError(
            f"several processes need shared memory, and /dev/shm takes none ({error.strerror or error}): run again "
            "with --workers 1, make room there, or give the container more, such as --shm-size 64m"
        ) from error


def attempt(function: Callable[[Task], Result], task: Task, errors: tuple[type[Exception], ...]) -> Result | Exception:
    """``function(task)``, or the exception it raises where that is one of ``errors``."""
    try:
        return function(task)
    except errors as error:
        return error


def _attempt_each(
    function: Callable[[Task], Result], tasks: list[Task], errors: tuple[type[Exception], ...]
) -> list[Result | Exception]:
    return [attempt(function, task, errors) for task in tasks]


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
