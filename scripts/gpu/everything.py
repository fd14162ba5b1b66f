"""Every GPU test and every GPU benchmark of the checkout, one after the other; it may take hours.

Tests are the files under tests/ that speak of CUDA or Triton, benchmarks are scripts/bench/*_gpu.py, each of which
takes ``--csv FILE``. One that fails stops no other. The folder holds machine.md, summary.csv and summary.md, a JUnit
report of each test file, a table of each benchmark as CSV and Markdown, and what everything printed.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.gpu.machine import ROOT, machine
from scripts.gpu.tables import Table, markdown

LIMIT = 3600
"""Seconds that one test file or benchmark may take."""


def jobs(only: list[str]) -> list[Path]:
    """The files to run.

    Raises:
        ValueError: for a name that none of them has; those there are, are listed.
    """
    found = [*test_files(), *benchmarks()]
    unknown = set(only) - {path.stem for path in found}
    if unknown:
        known = ", ".join(path.stem for path in found)
        raise ValueError(f"--only names {', '.join(sorted(unknown))}; choose from {known}")
    return [path for path in found if not only or path.stem in only]


def test_files() -> list[Path]:
    """Tests that speak of GPUs."""
    return [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if is_for_gpus(file.read_text())]


def is_for_gpus(text: str) -> bool:
    """Whether a test speaks of GPUs, and is not about this program."""
    return re.search(r"cuda|recurrence import .*BACKENDS", text) is not None and "gpu_check" not in text


def benchmarks() -> list[Path]:
    """Benchmarks for GPUs."""
    return sorted((ROOT / "scripts/bench").glob("*_gpu.py"))


def check(files: list[Path], folder: Path) -> int:
    """Run all, one after the other; 0 if each of them went well."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.md").write_text(machine("cuda"))
    table, failed = Table(folder / "summary.csv", ("what", "outcome")), []
    for path in files:
        print(f"{path.stem} …", flush=True)
        outcome = run_test(path, folder) if path.stem.startswith("test_") else run_benchmark(path, folder)
        table.add(path.stem, outcome)
        failed += [] if outcome.startswith("ok") else [path.stem]
    print(f"results are in {folder}" + (f"; failed or not run: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run_test(path: Path, folder: Path) -> str:
    """How a test file went."""
    code, output = run(
        [sys.executable, "-m", "pytest", str(path), f"--junitxml={folder / path.stem}.xml"], folder, path
    )
    missing = re.search(r"No module named '([\w.]+)'", output)
    if code == 2 and missing:
        return f"not run: needs {missing[1]}"
    last = output.strip().splitlines()[-1:] or ["no output"]
    return f"{'ok' if code == 0 else 'failed'}: {last[0].strip('= ')}"


def run_benchmark(path: Path, folder: Path) -> str:
    """How a benchmark went; its table is written as Markdown too."""
    table = folder / f"{path.stem}.csv"
    table.unlink(missing_ok=True)
    code, output = run([sys.executable, str(path), "--csv", str(table)], folder, path)
    if code != 0:
        return f"failed: {(output.strip().splitlines() or ['no output'])[-1]}"
    if not table.exists():
        return "failed: it wrote no table"
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    table.with_suffix(".md").write_text(markdown(rows))
    return f"ok: {len(rows) - 1} rows"


def run(command: list[str], folder: Path, path: Path) -> tuple[int, str]:
    """Exit code and output, which is also kept in the folder; the package is found without being installed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    log = folder / f"{path.stem}.log"
    with log.open("w") as file:
        try:
            job = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, timeout=LIMIT, check=False
            )
            code = job.returncode
        except subprocess.TimeoutExpired:
            code = -1
            file.write(f"\nstopped after {LIMIT} s\n")
    return code, log.read_text(errors="replace")
