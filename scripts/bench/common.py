"""What the benchmarks share: their options, jobs that take turns, and the line that says where they ran."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter

from deploy.bench import machine as described
from preprocessing.arguments import positive

SHARED = Path(__file__).resolve().parents[2].parent / "shared/data"


def parser(document: str | None, repeats: int) -> argparse.ArgumentParser:
    """A parser with the script's own text and example, and ``--repeats``."""
    description, _, example = (document or "").partition("Example:")
    made = argparse.ArgumentParser(
        description=description, epilog="Example:" + example, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--repeats", type=positive, default=repeats, help="runs of each")
    return made


def timed(job: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    """Seconds that a job takes."""
    start = clock()
    job()
    return clock() - start


def timed_warm(job: Callable[[], object]) -> float:
    """Seconds of a job that has just been done: what another's turn left in the caches weighs on a short one."""
    job()
    return timed(job)


def in_turns(
    jobs: Mapping[str, Callable[[], float]], repeats: int, of: Callable[[list[float]], float] = median
) -> dict[str, float]:
    """Medians of what the jobs say they took; they take turns, so that a busy machine slows all. The first warms up."""
    turns = [{name: job() for name, job in jobs.items()} for _ in range(repeats + 1)][1:]
    return {name: of([turn[name] for turn in turns]) for name in jobs}


def machine(*packages: str) -> str:
    """The processor, the versions and the date."""
    return described(packages)
