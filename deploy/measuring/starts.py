"""What an exported file costs that is opened for one answer: a fresh process, from its start to the first class."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import time

_BEFORE, _AFTER = (
    "import json, sys\nfrom time import process_time, time\nfrom deploy.runtime import Classifier\n",
    "end, processor = time(), process_time()\n"
    "try:\n"
    "    lines = open('/proc/self/status').read().splitlines()\n"  # of the process itself, not of who started it
    "    peak = int(next(line for line in lines if line.startswith('VmHWM')).split()[1])\n"
    "except OSError:\n"
    "    import resource\n"
    "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == 'darwin' else 1)\n"
    "print(json.dumps([end, processor, peak / 1024]))\n",
)
_ANSWER = "Classifier(sys.argv[1], int(sys.argv[2])).predict(sys.argv[3])\n"


@dataclass(frozen=True)
class Start:
    """A fresh process from its start to the first class of a recording.

    Attributes:
        name: what ran.
        wall_s: seconds that passed.
        processor_s: seconds of the processor, of all threads; what else a machine does hardly shows in them.
        peak_mb: the most memory that the process held, MB.
    """

    name: str
    wall_s: float
    processor_s: float
    peak_mb: float


def starts(models: Mapping[str, Path], recording: Path, threads: int, repeats: int) -> list[Start]:
    """Fresh processes in turns: median times and most memory.

    Each first one is left out, as it may compile what the next ones find.

    Args:
        models: exported files by name.
        recording: what is classified.
        threads: of each process.
        repeats: processes of each that count.

    Raises:
        ValueError: if a file or the recording cannot be run; the message is the process's.
    """
    arguments = {name: (str(path), str(threads), str(recording)) for name, path in models.items()}
    turns = [{name: _fresh(name, _ANSWER, each) for name, each in arguments.items()} for _ in range(repeats + 1)][1:]
    by_name = {name: [turn[name] for turn in turns] for name in arguments}
    return [
        Start(
            name,
            wall_s=median(start.wall_s for start in each),
            processor_s=median(start.processor_s for start in each),
            peak_mb=max(start.peak_mb for start in each),
        )
        for name, each in by_name.items()
    ]


def imports_alone() -> Start:
    """The same of a process that imports the runtime and opens nothing."""
    return _fresh("imports", "", ())


def _fresh(name: str, answer: str, arguments: Sequence[str]) -> Start:
    begin = time()
    code = _BEFORE + answer + _AFTER
    finished = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if finished.returncode:
        last = (finished.stderr.strip().splitlines() or ["its process ended"])[-1]
        raise ValueError(f"{name}: {last.partition(': ')[2] or last}")
    end, processor, peak = json.loads(finished.stdout.splitlines()[-1])
    return Start(name, end - begin, processor, peak)
