"""A job on as many threads as torch uses: on torch's own ones, where its OpenMP library lends them.

After each of torch's operations its threads wait for the next one without giving up their processors. A thread of ours
beside them has to share one, and on two cores a short call took up to half as long again. Where there is no such
library, and in a forked process, which has none of its parent's threads, a pool of our own does the work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_FIRST_PROCESS = os.getpid()


def run(work: Callable[[], None], most: int) -> None:
    """Call ``work`` on each of as many threads as torch uses, ``most`` at most; the calling one is one of them.

    Threads come when a processor is free. What there is to do should be taken bit by bit, without the interpreter lock.
    """
    num_threads = min(torch.get_num_threads(), most)
    if num_threads <= 1:
        work()
    elif (team := _team(os.getpid())) is not None:
        _on_team(team, work, num_threads)
    else:
        _on_pool(work, num_threads)


def _on_team(team: Any, work: Callable[[], None], num_threads: int) -> None:
    raised: list[BaseException] = []

    def guarded(_: object) -> None:
        try:
            work()
        except BaseException as error:  # C would lose it
            raised.append(error)

    function = _FUNCTION(guarded)
    team(function, None, num_threads, 0)
    if raised:
        raise raised[0]


def _on_pool(work: Callable[[], None], num_threads: int) -> None:
    helpers = [_pool(num_threads, os.getpid()).submit(work) for _ in range(num_threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


@cache
def _team(process: int) -> Any:
    """OpenMP's ``GOMP_parallel(function, data, num_threads, flags)``; None where there is none or it would hang.

    GNU's, Intel's and LLVM's libraries have it, and a symbol is looked for in all that torch is linked to.
    """
    function = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
    if function is None or process != _FIRST_PROCESS:
        return None
    function.argtypes = [_FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function


@cache
def _pool(num_threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001 (a forked one has no threads)
    return ThreadPoolExecutor(num_threads, thread_name_prefix="evglif")
