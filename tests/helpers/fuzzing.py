"""Damaged copies of files, and readers that are given them in a process that can be stopped."""

from __future__ import annotations

import faulthandler
import io
import json
import resource
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.helpers import ROOT

SECONDS = 60
MEMORY = 6 << 30
"""Of addresses; what torch and its libraries take is most of it."""


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy that is cut, has bits flipped, bytes overwritten, moved or put in, up to three times."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, how, length = int(rng.integers(0, len(changed) + 1)), rng.integers(0, 6), int(rng.integers(1, 9))
        if how == 0 and rng.random() < 0.3:
            del changed[at:]
        elif how == 1:
            changed[at : at + 1] = bytes(byte ^ 1 << int(rng.integers(0, 8)) for byte in changed[at : at + 1])
        elif how == 2:
            changed[at : at + length] = rng.bytes(length)
        elif how == 3:
            changed[at : at + length] = b"\xff" * length
        elif how == 4:
            changed[at : at + length] = b"\0" * length
        else:
            del changed[at : at + length]
    return bytes(changed)


def damaged_inside(data: bytes, rng: np.random.Generator) -> bytes:
    """A zip archive that is whole, one of whose files is damaged."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    largest = max(files, key=lambda name: name.endswith("data.pkl") * 2 + rng.random())
    files[largest] = damaged(files[largest], rng)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def outcomes(
    read: Callable[[Path], object], path: Path, errors: tuple[type[Exception], ...], numbers: range, is_zip: bool
) -> Counter[str]:
    """How often a reader took a damaged copy of a file, and how often it refused one with an error of ours.

    Raises:
        AssertionError: it ended otherwise; the number of the damage is told.
    """
    data, found = path.read_bytes(), Counter[str]()
    for number in numbers:
        rng = np.random.default_rng(number)
        path.write_bytes((damaged_inside if is_zip and number % 2 else damaged)(data, rng))
        try:
            read(path)
            found["read"] += 1
        except errors as error:
            assert str(path.parent) in str(error), f"damage {number}: {error}"  # noqa: PT017
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"damage {number} of {path.name}") from error
    path.write_bytes(data)
    return found


def apart(call: str, memory: int = MEMORY) -> dict[str, int]:
    """What a call, ``module:function(arguments)`` with its module imported, gives, in a process of limited memory.

    The process ends itself where nothing is printed for a minute. Added is ``"megabytes"``, by how much its memory
    has grown at most.
    """
    module, _, function = call.partition(":")
    code = f"import {module} as module; from tests.helpers.fuzzing import told; told(lambda: module.{function})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return answer


def told(call: Callable[[], Counter[str]]) -> None:
    """Print what a call gives, and by how much the memory of this process has grown."""
    faulthandler.dump_traceback_later(20 * SECONDS, exit=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = call()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({**found, "megabytes": grown >> 10}))
