"""How a command ends: in its exit status and at most one line, whatever stopped it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec

from preprocessing.calling import spoken
from preprocessing.files import BusyError
from preprocessing.outlet import OutputError, any_text
from preprocessing.terminal import tell
from preprocessing.workers import WorkerError

P = ParamSpec("P")

FAILED, INTERRUPTED, NOBODY_READS = 1, 128 + signal.SIGINT, 141
"""Exit statuses: of an error, of Ctrl-C, and of a reader that ended first, as a shell has it for SIGPIPE (13)."""

ERRORS = (ValueError, OSError, ImportError, FloatingPointError, BusyError, WorkerError)
"""What a user can mend; their message says how. Any other is a fault of ours, and ends with where it came about."""


def command(kept: str) -> Callable[[Callable[P, int | None]], Callable[P, int]]:
    """Make a function a command: it gives an exit status, 0 for None, and what stops it is told in one line.

    Args:
        kept: what Ctrl-C leaves, for its line, where the interruption doesn't say it.
    """

    def decorate(main: Callable[P, int | None]) -> Callable[P, int]:
        @wraps(main)
        def run(*args: P.args, **kwargs: P.kwargs) -> int:
            _heed_ctrl_c()
            with any_text():
                try:
                    try:
                        return main(*args, **kwargs) or 0
                    finally:
                        sys.stdout.flush()
                except OutputError as error:
                    return _without_output(error)
                except ERRORS as error:
                    tell(f"error: {spoken(str(error))}")
                    return FAILED
                except MemoryError as error:
                    tell(f"error: memory is full ({error}): end other programs, or do less at once")
                    return FAILED
                except KeyboardInterrupt as interruption:
                    tell(f"interrupted: {str(interruption) or kept}")
                    return INTERRUPTED

        return run

    return decorate


def _heed_ctrl_c() -> None:
    """From now on Ctrl-C is told; while modules were imported it ended the process, see ``starting``."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _without_output(error: OutputError) -> int:
    """The end of a command that nobody reads any more, as ``| head`` leaves it, or whose output has no room."""
    if sys.__stdout__ is not None:  # what Python still holds for it must not fail once more at the very end
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())
    if error.is_pipe:
        return NOBODY_READS
    tell(f"error: standard output cannot be written to ({error}); make room, or send it elsewhere, such as > FILE")
    return FAILED
