"""The parts of a recurrence on several threads: torch's own, or a pool of ours."""

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from evglif.recurrence import threads

PARTS = [(i, i + 1) for i in range(16)]
WAYS = ["team", "pool"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if request.param == "pool":
        monkeypatch.setattr(threads, "_team", lambda _: None)
    elif threads._team(os.getpid()) is None:
        pytest.skip("torch has no OpenMP library here that lends its threads")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.usefixtures("way")
def test_every_part_is_done_once_and_on_two_threads():
    done, seen = [], set()

    def work(number, part):
        time.sleep(0.01)
        done.append((number, part))
        seen.add(threading.get_native_id())

    threads.run(work, PARTS)
    assert sorted(done) == list(enumerate(PARTS))
    assert len(seen) == 2


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("raiser", ["calling", "other"])
def test_what_a_part_raises_is_raised(raiser):
    caller, reached = threading.get_native_id(), threading.Event()

    def work(*_):
        if (threading.get_native_id() == caller) == (raiser == "calling"):
            reached.set()
            raise KeyboardInterrupt(raiser)
        reached.wait(5)

    with pytest.raises(KeyboardInterrupt, match=raiser):
        threads.run(work, PARTS)


def test_one_thread_and_no_parts():
    done = []
    threads.run(lambda number, _: done.append(number), [(0, 3)])
    threads.run(lambda number, _: done.append(number), [])
    assert done == [0]


FORKS = """
import os
import torch
from evglif import GLIF
torch.set_num_threads(2)
neuron, current = GLIF(4, 16), torch.randn(16, 4, 4, 64, 64)
expected = neuron(current).detach().numpy()  # starts the threads
child = os.fork()
if child == 0:  # where NumPy compares, as torch's own operations would hang
    os._exit(0 if (neuron(current).detach().numpy() == expected).all() else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_process_has_threads_of_its_own():
    run = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120, check=False)
    assert run.stdout.strip() == "0", run.stderr
