"""Ctrl-C while a command of ours still imports its libraries, which takes seconds: the process ends, without a word.

Nothing has begun then, and as an exception it would end in some library's traceback, or be taken for another error
there. So packages import this module first. In other programs that import them nothing is changed.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import PurePath

_PACKAGES = ("preprocessing", "evglif", "deploy", "scripts")


def is_command(words: Sequence[str], name: str) -> bool:
    """Whether a process was started as a command of this project.

    Args:
        words: its command line, ``sys.orig_argv``.
        name: ``sys.argv[0]``, which is ``-m`` as long as Python imports the packages around a module that it is to run.
    """
    if name != "-m":
        return PurePath(name).name.partition("-")[0] == "evglif"  # a device has evglif-infer
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    return module.partition(".")[0] in _PACKAGES


if (
    is_command(sys.orig_argv, sys.argv[0] if sys.argv else "")
    and threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until commands.command takes it back
