"""How our commands are called: ``evglif train`` where a process was started so, ``python -m evglif.train`` elsewhere.

Examples, errors and next steps are written in the second way, and shown in the one that was used. So what is printed
can be typed.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import PurePath
from shlex import quote

PROGRAM = "evglif"

MODULES = {
    "build": "preprocessing.build",
    "inspect": "preprocessing.inspect",
    "convert": "preprocessing.convert",
    "train": "evglif.train",
    "evaluate": "evglif.evaluate",
    "compare": "evglif.compare",
    "sweep": "evglif.sweep",
    "runs": "evglif.runs",
    "report": "evglif.report",
    "plot": "evglif.plots.__main__",
    "models": "evglif.models.__main__",
    "nir": "evglif.nir.__main__",
    "zoo": "evglif.zoo.__main__",
    "export": "deploy.export",
    "infer": "deploy.infer",
    "bench": "deploy.bench",
    "profile": "deploy.profile",
    "publish": "deploy.publish",
}
"""Name of a command → the module with its ``main``, which takes the arguments; in the order of the work."""

_BY_MODULE = {module.removesuffix(".__main__"): name for name, module in MODULES.items()}
_MODULE_CALL = re.compile(rf"python -m ({'|'.join(map(re.escape, _BY_MODULE))})(?![\w.]*\w)")


def spoken(text: str) -> str:
    """A text with every ``python -m MODULE`` of ours in the words that this process was started with."""
    program, python = program_words(sys.orig_argv, sys.argv[0] if sys.argv else "")
    if program:
        return _MODULE_CALL.sub(lambda match: f"{program} {_BY_MODULE[match[1]]}", text)
    return _MODULE_CALL.sub(lambda match: f"{python} -m {match[1]}", text)


def program_words(words: Sequence[str], name: str) -> tuple[str, str]:
    """What stands before a command's name, "" for a process that was not started by the one command; and the Python.

    Args:
        words: the process's command line, ``sys.orig_argv``.
        name: ``sys.argv[0]``.
    """
    if PurePath(name).name == PROGRAM:
        found = shutil.which(PROGRAM)
        return (PROGRAM if found and PurePath(found) == PurePath(name) else quote(name)), "python"
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
    if module == PROGRAM:
        return f"{quote(words[0])} -m {PROGRAM}", "python"
    return "", quote(words[0]) if module in _BY_MODULE else "python"
