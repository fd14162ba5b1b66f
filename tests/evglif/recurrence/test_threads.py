"""The recurrence on several threads: torch's own, or a pool of ours."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from evglif import GLIF
from evglif.recurrence import threads

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


def threads_that_come(most):
    """Who does a job in which a thread waits for another one, if it may."""
    seen, both = set(), threading.Barrier(min(most, 2))

    def work():
        seen.add(threading.get_native_id())
        both.wait(30)

    threads.run(threads.FUNCTION(lambda _: work()), 0, threads.number(most))
    return seen


@pytest.mark.usefixtures("way")
def test_as_many_threads_as_torch_uses_and_never_more_than_asked_for():
    caller = threading.get_native_id()
    assert len(threads_that_come(16)) == 2
    assert caller in threads_that_come(2)
    assert threads_that_come(1) == {caller}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("order", ["contiguous", "channels last"])
def test_threads_that_race_for_parts_give_what_one_gives(order):
    neuron, current = GLIF(8, 16), torch.randn(16, 2, 32, 32, 8).movedim(-1, 2)
    current = current.contiguous() if order == "contiguous" else current

    def run():
        leaf = current.detach().requires_grad_()
        spikes = neuron(leaf)
        return spikes, *torch.autograd.grad(spikes, [leaf, *neuron.parameters()], current)

    torch.set_num_threads(1)
    alone = run()
    torch.set_num_threads(2)
    for _ in range(20):  # a part done twice, or not at all, would show in the sums over the neurons
        assert all(torch.equal(one, other) for one, other in zip(alone, run(), strict=True))


FORKS = """
import os, sys
import torch
from evglif import GLIF
torch.set_num_threads(2)
neuron, current = GLIF(4, 16), torch.randn(16, 4, 4, 64, 64)
if sys.argv[1] == "after":
    neuron(current)
else:
    torch.relu(current)  # starts the threads of torch, and none of ours
neuron.requires_grad_(False)
child = os.fork()
if child == 0:  # torch's own operations on several threads hang here
    os._exit(0 if 0 < neuron(current).numpy().mean() < 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("when", ["before", "after"])
def test_forked_process_has_threads_of_its_own(when):
    """Before and after its parent has run a neuron."""
    command = [sys.executable, "-c", FORKS, when]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.communicate(timeout=120)[0].strip() == "0"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a child that hangs outlives its parent
