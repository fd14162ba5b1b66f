import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from preprocessing import workers as of_workers
from preprocessing.workers import WorkerDiedError, WorkerError, num_workers, run_tasks
from tests.helpers import ROOT


def test_shared_memory_that_is_full_is_named(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(of_workers, "ProcessPoolExecutor", full)
    with pytest.raises(WorkerError, match=r"/dev/shm takes none \(No space left on device\).*--workers 1.*--shm-size"):
        list(run_tasks(abs, [1, 2], workers=2))


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_has_one_result_that_says_which_it_is(workers):
    assert sorted(run_tasks(operator.neg, range(20), workers)) == [(i, -i) for i in range(20)]


def test_slow_task_stops_no_other(tmp_path):
    """The first task ends only once the last has run; with the results in order it would never."""
    flag = tmp_path / "flag"
    wait = f"[__import__('time').sleep(0.01) for _ in iter(__import__('pathlib').Path({str(flag)!r}).exists, True)]"
    results = run_tasks(eval, [wait, *["1"] * 40, f"open({str(flag)!r}, 'w').close()"], 2)
    indices = [index for index, _ in results]
    assert sorted(indices) == list(range(42))
    assert indices.index(0) >= 41 - 8


@pytest.mark.parametrize("workers", [1, 2])
def test_expected_errors_are_results(workers):
    results = dict(run_tasks(int, ["1", "no number", "3"], workers, errors=(ValueError,)))
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    assert "no number" in str(results[1])
    assert results[2] == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_other_errors_end_the_work(workers):
    with pytest.raises(TypeError):
        list(run_tasks(int, ["1", None, "3"], workers, errors=(ValueError,)))


def test_no_more_tasks_under_way_than_four_per_worker():
    taken = []
    results = run_tasks(operator.neg, (taken.append(i) or i for i in range(100)), 2)
    next(results)
    assert len(taken) <= 8
    results.close()


def test_worker_that_dies_is_told():
    with pytest.raises(WorkerDiedError, match="worker process died"):
        list(run_tasks(os._exit, [1, 1], 2))


def test_workers_have_one_thread_each_and_the_parent_keeps_its_own(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS"]
    assert dict(run_tasks(os.getenv, names, 2)) == {0: "1", 1: "1"}
    assert [os.getenv(name) for name in names] == ["7", None]


def test_number_of_workers(monkeypatch):
    monkeypatch.setattr("preprocessing.workers.num_cores", lambda: 8)
    assert num_workers(3, seconds=0.1) == 3
    assert num_workers(None, seconds=0.1) == 1
    assert num_workers(None, seconds=6.5) == 3
    assert num_workers(None, seconds=1e6) == 8
    with pytest.raises(ValueError, match="at least 1, got 0"):
        num_workers(0, seconds=1.0)


SLEEPERS = """
import os, time
from preprocessing.workers import run_tasks
if __name__ == "__main__":
    pids = run_tasks(eval, ["__import__('os').getpid()"] + ["__import__('time').sleep(60)"] * 9, 2)
    print(next(pids)[1], flush=True)
    next(pids)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_when_their_parent_is_killed(tmp_path, how):
    script = tmp_path / "sleepers.py"
    script.write_text(SLEEPERS)
    command = [sys.executable, str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        worker = int(parent.stdout.readline())
        parent.send_signal(how)
    assert ends(worker)


INTERRUPTED = """
from preprocessing.workers import run_tasks
if __name__ == "__main__":
    task = "(__import__('time').sleep(0.05), __import__('os').getpid())[1]"
    for _, worker in run_tasks(eval, [task] * 10_000, 2):
        print(worker, flush=True)
"""


def test_ctrl_c_ends_all_and_only_the_parent_speaks(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        worker = int(parent.stdout.readline())
        os.killpg(parent.pid, signal.SIGINT)
        error = parent.communicate()[1]
    assert error.count("Traceback") == error.count("KeyboardInterrupt") == 1
    assert ends(worker)


def ends(pid):
    for _ in range(300):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("together", [1, 3, 100])
def test_tasks_that_are_sent_together_are_all_done_once(together):
    results = dict(run_tasks(abs, range(-7, 0), 2, together=together))
    assert results == {index: 7 - index for index in range(7)}


def kills_its_worker(task):
    if task == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if isinstance(task, Path):  # only the first worker that has it
        if not task.exists():
            task.touch()
            os.kill(os.getpid(), signal.SIGSEGV)
        return "second time"
    return task


@pytest.mark.parametrize("together", [1, 4])
def test_a_task_that_kills_its_workers_is_told_and_all_others_are_done(tmp_path, together):
    tasks = [*range(9), "deadly", *range(10, 15), tmp_path / "flag", *range(16, 30)]
    found = dict(run_tasks(kills_its_worker, tasks, 2, errors=(WorkerDiedError,), together=together))
    assert sorted(found) == list(range(30))
    assert isinstance(found[9], WorkerDiedError)
    assert found[15] == "second time"
    assert [found[i] for i in range(30) if i not in (9, 15)] == [i for i in range(30) if i not in (9, 15)]


def test_workers_that_cannot_even_start_are_told():
    with pytest.raises(WorkerDiedError, match="run again with fewer workers"):
        list(run_tasks(operator.neg, [Unreadable()], 2, errors=(WorkerDiedError,)))


class Unreadable:
    """What ends a worker before it begins a task."""

    def __reduce__(self):
        return os._exit, (1,)
