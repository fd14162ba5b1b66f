"""A job on as many threads as torch uses: on torch's own ones, where its OpenMP library lends them.

After each of torch's operations its threads wait for the next one without giving up their processors. A thread of ours
beside them has to share one, and on two cores a short call took up to half as long again. Where there is no such
library, and in a forked process, which has none of its parent's threads, a pool of our own does the work.

The job is a C function, which no thread needs the interpreter for: one that waited for its lock came too late to help.
"""

from __future__ import annotations

import ctypes
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""A job: a C function of an address, at which it finds what to do."""

_FIRST_PROCESS = os.getpid()


def number(most: int) -> int:
    """How many threads come to a job that has work for ``most``: as many as torch uses, at most."""
    return max(1, min(torch.get_num_threads(), most))


def run(job: Any, argument: int, num_threads: int) -> None:
    """Call a job on each of so many threads, of which the calling one is one.

    Threads come when a processor is free. What there is to do should be taken bit by bit.

    Args:
        job: a ``FUNCTION``.
        argument: address that it is called with.
        num_threads: as ``number`` says.
    """
    if num_threads == 1:
        job(argument)
    elif (team := _team(os.getpid())) is not None:
        team(job, argument, num_threads, 0)
    else:
        _on_pool(job, argument, num_threads)


def _on_pool(job: Any, argument: int, num_threads: int) -> None:
    helpers = [_pool(num_threads, os.getpid()).submit(job, argument) for _ in range(num_threads - 1)]
    job(argument)
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
    function.argtypes = [FUNCTION, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    function.restype = None
    return function


@cache
def _pool(num_threads: int, process: int) -> ThreadPoolExecutor:  # noqa: ARG001 (a forked one has no threads)
    return ThreadPoolExecutor(num_threads, thread_name_prefix="evglif")
