"""Every GPU test and GPU benchmark of the project on the GPU of this machine, into one folder of results.

It needs torch, triton, numpy and pytest; h5py, jsonargparse and lightning-fabric for what trains networks. Tests are
the files under tests/ that speak of CUDA or Triton, benchmarks are scripts/bench/*_gpu.py, each of which takes ``--csv
FILE``. One that fails stops no other. The folder holds machine.md, summary.csv and summary.md, a JUnit report of each
test file, a table of each benchmark as CSV and Markdown, and what everything printed.

Exit code: 0 if all went well, 1 if something failed or could not run, 3 if there is no NVIDIA GPU.

Example:
    scripts/gpu_check
    PYTHON=.venv/bin/python scripts/gpu_check --only test_triton recurrence_gpu --out /tmp/results
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from preprocessing.commands import command

ROOT = Path(__file__).resolve().parents[1]
NO_GPU = 3
LIMIT = 3600
"""Seconds that one test file or benchmark may take."""


@command("what is written so far is kept")
def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_options(arguments)
    jobs = [path for path in [*test_files(), *benchmarks()] if not options.only or path.stem in options.only]
    unknown = set(options.only) - {path.stem for path in jobs}
    if unknown:
        known = ", ".join(path.stem for path in [*test_files(), *benchmarks()])
        print(f"--only names {', '.join(sorted(unknown))}; choose from {known}")
        return 2
    if options.dry_run:
        print(*(path.relative_to(ROOT) for path in jobs), sep="\n")
        return 0
    if not torch.cuda.is_available():
        print("no NVIDIA GPU that torch can use: nothing was run")
        return NO_GPU
    return check(jobs, options.out or default_folder())


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    description, _, example = (__doc__ or "").partition("Example:")
    made = argparse.ArgumentParser(
        prog="scripts/gpu_check",
        description=description,
        epilog="Example:" + example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--out", type=Path, help="folder; default: scripts/bench/results/gpu-<date>-<GPU>")
    made.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names of files, without .py")
    made.add_argument("--dry-run", action="store_true", help="list the files and end")
    return made.parse_args(arguments)


def test_files() -> list[Path]:
    return [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if is_for_gpus(file.read_text())]


def is_for_gpus(text: str) -> bool:
    return re.search(r"cuda|recurrence import .*BACKENDS", text) is not None and "gpu_check" not in text


def benchmarks() -> list[Path]:
    return sorted((ROOT / "scripts/bench").glob("*_gpu.py"))


def default_folder() -> Path:
    name = re.sub(r"[^A-Za-z0-9]+", "-", torch.cuda.get_device_name()).strip("-")
    return ROOT / f"scripts/bench/results/gpu-{datetime.now(UTC):%Y-%m-%d}-{name}"


def check(jobs: list[Path], folder: Path) -> int:
    """Run all, one after the other; 0 if each of them went well."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machine.md").write_text(machine())
    results = []
    for path in jobs:
        print(f"{path.stem} …", flush=True)
        outcome = run_test(path, folder) if path.stem.startswith("test_") else run_benchmark(path, folder)
        results.append((path.stem, outcome))
        print(f"{path.stem}: {outcome}", flush=True)
    write_table(folder / "summary", [("what", "outcome"), *results])
    failed = [name for name, outcome in results if not outcome.startswith("ok")]
    print(f"results are in {folder}" + (f"; failed or not run: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def run_test(path: Path, folder: Path) -> str:
    code, output = run(
        [sys.executable, "-m", "pytest", str(path), f"--junitxml={folder / path.stem}.xml"], folder, path
    )
    missing = re.search(r"No module named '([\w.]+)'", output)
    if code == 2 and missing:
        return f"not run: needs {missing[1]}"
    last = output.strip().splitlines()[-1:] or ["no output"]
    return f"{'ok' if code == 0 else 'failed'}: {last[0].strip('= ')}"


def run_benchmark(path: Path, folder: Path) -> str:
    table = folder / f"{path.stem}.csv"
    table.unlink(missing_ok=True)
    code, output = run([sys.executable, str(path), "--csv", str(table)], folder, path)
    if code != 0:
        return f"failed: {(output.strip().splitlines() or ['no output'])[-1]}"
    if not table.exists():
        return "failed: it wrote no table"
    with table.open(newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
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


def machine() -> str:
    """Hardware, versions and date as Markdown."""
    gpu = torch.cuda.get_device_properties(0)
    rows = [
        ("what", "value"),
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("GPU", f"{gpu.name}, {gpu.total_memory / 1e9:.0f} GB, compute capability {gpu.major}.{gpu.minor}"),
        ("CUDA of torch", str(torch.version.cuda)),
        ("system", f"{platform.platform()}, {os.cpu_count()} processors"),
        ("Python", platform.python_version()),
        *((package, installed(package)) for package in ("torch", "triton", "numpy", "numba", "spikingjelly")),
        ("commit", commit()),
    ]
    return markdown(rows)


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def write_table(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    """A table, its header first, as CSV and as Markdown."""
    with path.with_suffix(".csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    path.with_suffix(".md").write_text(markdown(rows))


def markdown(rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table of rows of the same length, the first of which is the header."""
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
