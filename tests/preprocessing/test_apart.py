import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from preprocessing import apart
from preprocessing.blocks import MOST_KEPT, Block, Blocks, new_file
from tests.helpers import ROOT

GENEROUS = apart.Bounds(1 << 29, 60)


def columns(number):
    values = apart.empty(number, np.dtype("<i8"))
    values[:] = np.arange(number)
    return {"values": values, "others": np.arange(3)}, os.getpid()


def content(file, more):
    return file.read() + more


def fails(kind, text):
    raise kind(text)


def grows(num_bytes):
    return len(bytearray(num_bytes))


def spins():
    while True:
        pass


def test_it_is_done_by_another_process_and_arrays_come_back():
    found, pid = apart.call(columns, 100_000, bounds=GENEROUS)
    np.testing.assert_array_equal(found["values"], np.arange(100_000))
    np.testing.assert_array_equal(found["others"], np.arange(3))
    found["values"][0] = 7  # it is ours alone
    assert pid != os.getpid()
    assert apart.call(columns, 0)[1] == pid, "the process stays"
    assert apart.empty(3, np.dtype("u1")).shape == (3,)


def test_it_is_given_a_file():
    assert apart.call(content, b"!", data=b"bytes" * 10**6) == b"bytes" * 10**6 + b"!"


def test_errors_come_back_and_the_process_stays():
    pid = apart.call(os.getpid)
    for kind in (ValueError, OSError, KeyError):
        with pytest.raises(kind, match="what went wrong"):
            apart.call(fails, kind, "what went wrong", bounds=GENEROUS)
    assert apart.call(os.getpid) == pid


def test_memory_is_bounded_for_this_call_alone():
    bounds = apart.Bounds(1 << 26, 60)
    with pytest.raises(apart.StoppedError, match=r"more than 67 MB of memory; if .* set EVGLIF_MEMORY=135MB"):
        apart.call(grows, 1 << 28, bounds=bounds)
    assert apart.call(grows, 1 << 24, bounds=bounds) == 1 << 24
    assert apart.call(grows, 1 << 28) == 1 << 28


def test_files_are_bounded(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="File too large"):
        apart.call(os.truncate, str(tmp_path / "file"), 1 << 31, bounds=GENEROUS)


def test_what_goes_on_and_on_is_ended():
    with pytest.raises(apart.StoppedError, match="no end after 0 s of a processor"):
        apart.call(spins, bounds=apart.Bounds(1 << 26, 0.2))
    assert apart.call(abs, -1) == 1


def test_what_ends_its_process_is_told():
    with pytest.raises(apart.StoppedError, match="ended by the signal SIGSEGV"):
        apart.call(signal.raise_signal, signal.SIGSEGV, bounds=GENEROUS)
    with pytest.raises(apart.StoppedError, match="ended by itself, with status 3"):
        apart.call(os._exit, 3)
    assert apart.call(abs, -1) == 1


def test_threads_take_turns():
    found = {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: apart.call(abs, -i)})) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: i for i in range(20)}


INTERRUPTED = """
import os, sys
from preprocessing import apart
from preprocessing.blocks import MOST_KEPT, Block, Blocks, new_file
from tests.preprocessing.test_apart import spins
print(apart.call(os.getpid), flush=True)
try:
    apart.call(spins)
except KeyboardInterrupt:
    print(apart.call(abs, -1))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_is_heeded_and_nothing_stays_behind(how):
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        busy_ticks = ticks(pid)
        wait_for(lambda: ticks(pid) > busy_ticks + 20)
        parent.send_signal(how)
        assert parent.stdout.read() == ("1\n" if how == signal.SIGINT else "")
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or is_dead(pid))


def is_dead(pid):
    """Whether a process has ended, of which nobody has taken note yet."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def ticks(pid):
    """Time that a processor was busy with a process."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))


def wait_for(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError


WAITING = """
import sys, threading, time
from preprocessing import apart
from preprocessing.blocks import MOST_KEPT, Block, Blocks, new_file
threading.Thread(target=apart.call, args=(time.sleep, 600), daemon=True).start()
while not (apart._helper and apart._helper.process.pid):
    time.sleep(0.01)
print(apart._helper.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="only Linux shows which processes there are")
def test_it_ends_with_the_process_that_it_works_for_even_if_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", WAITING], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or is_dead(pid))


def filled(number, value):
    values = apart.empty(number, np.dtype("<i8"))
    values[:] = value
    return values


def test_memory_is_used_again_once_nobody_holds_it_and_not_before():
    first = apart.call(filled, 100_000, 1)
    second = apart.call(filled, 100_000, 2)
    assert (first == 1).all()
    assert (second == 2).all()
    place, part = second.ctypes.data, first[10:20]
    del first, second
    third = apart.call(filled, 50_000, 3)
    assert third.ctypes.data == place
    assert (third == 3).all()
    assert len(third) == 50_000
    assert (part == 1).all()


def test_memory_is_used_again_after_an_error_and_after_another_result():
    place = apart.call(filled, 200_000, 1).ctypes.data
    with pytest.raises(ValueError, match="wrong"):
        apart.call(fails, ValueError, "wrong")
    assert apart.call(abs, -2) == 2
    assert apart.call(filled, 200_000, 2).ctypes.data == place


def test_memory_that_a_fork_sees_is_not_written_to_again():
    held = apart.call(filled, 100_000, 1)
    child = os.fork()
    if child == 0:
        time.sleep(0.5)
        os._exit(int(not (held == 1).all()))
    del held
    assert (apart.call(filled, 100_000, 2) == 2).all()
    assert os.waitpid(child, 0)[1] == 0


def test_no_more_memory_is_kept_than_it_says():
    blocks = Blocks()
    blocks.keep(Block(new_file(MOST_KEPT + 1), MOST_KEPT + 1))
    assert blocks.take() is None
    for num_bytes in (2000, 5000, 1000):
        blocks.keep(Block(new_file(num_bytes), num_bytes))
    assert blocks.take().num_bytes == 5000
    assert blocks.take() is None
