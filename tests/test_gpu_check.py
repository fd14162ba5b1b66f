"""The command that runs everything for GPUs, where there is none; and a GPU benchmark at toy size."""

import csv
import os
import subprocess
import sys

import pytest
import torch

from scripts import gpu_check
from tests.helpers import ROOT


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so_in_one_line_and_exits_with_3():
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run([ROOT / "scripts/gpu_check"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout == "no NVIDIA GPU that torch can use: nothing was run\n"


def test_a_dry_run_lists_tests_and_benchmarks(capsys):
    assert gpu_check.main(["--dry-run"]) == 0
    listed = capsys.readouterr().out.split()
    assert {"tests/evglif/recurrence/test_triton.py", "tests/evglif/recurrence/test_backends.py"} < set(listed)
    assert "scripts/bench/recurrence_gpu.py" in listed
    assert gpu_check.main(["--dry-run", "--only", "recurrence_gpu"]) == 0
    assert capsys.readouterr().out.split() == ["scripts/bench/recurrence_gpu.py"]


def test_an_unknown_name_is_refused_with_those_there_are(capsys):
    assert gpu_check.main(["--only", "warp_drive"]) == 2
    assert "--only names warp_drive; choose from" in capsys.readouterr().out


def test_tables_are_written_as_csv_and_markdown(tmp_path):
    rows = [("what", "value"), ("a|b", "1"), ("two\nlines", "2,5")]
    gpu_check.write_table(tmp_path / "table", rows)
    with (tmp_path / "table.csv").open(newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == rows
    expected = "| what | value |\n|---|---|\n| a\\|b | 1 |\n| two lines | 2,5 |\n"
    assert (tmp_path / "table.md").read_text() == expected


def test_one_that_fails_stops_no_other_and_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gpu_check, "machine", lambda: "")
    (tmp_path / "bad_gpu.py").write_text("raise SystemExit('out of memory')")
    write = "import sys; open(sys.argv[2], 'w').write('a,b\\n1,2\\n')"
    (tmp_path / "good_gpu.py").write_text(write)
    (tmp_path / "silent_gpu.py").write_text("")
    (tmp_path / "test_odd.py").write_text("import a_package_that_nobody_has\n")
    jobs = [tmp_path / f"{name}.py" for name in ("bad_gpu", "good_gpu", "silent_gpu", "test_odd")]
    assert gpu_check.check(jobs, tmp_path / "out") == 1
    assert "failed or not run: bad_gpu, silent_gpu, test_odd" in capsys.readouterr().out
    assert (tmp_path / "out/good_gpu.md").read_text() == "| a | b |\n|---|---|\n| 1 | 2 |\n"
    with (tmp_path / "out/summary.csv").open(newline="") as file:
        outcomes = dict(csv.reader(file))
    assert outcomes["bad_gpu"] == "failed: out of memory"
    assert outcomes["good_gpu"] == "ok: 1 rows"
    assert outcomes["silent_gpu"] == "failed: it wrote no table"
    assert outcomes["test_odd"] == "not run: needs a_package_that_nobody_has"


def test_the_gpu_benchmark_runs_at_toy_size_on_a_processor(tmp_path):
    table = tmp_path / "table.csv"
    toy = {"--device": "cpu", "--backend": "cpu", "--side": "2", "--batch": "1", "--dtypes": "fp32", "--repeats": "1"}
    options = [part for pair in toy.items() for part in pair]
    command = [
        sys.executable,
        "-m",
        "scripts.bench.recurrence_gpu",
        *options,
        "--steps",
        "1",
        "2",
        "--no-compile",
        "--csv",
        table,
    ]
    subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({(row["layout"], row["T"]) for row in rows}) == 4
    assert {"ours", "eager"} <= {row["contender"] for row in rows}


def test_a_python_without_torch_is_told_what_to_do(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(bare)}
    done = subprocess.run([ROOT / "scripts/gpu_check"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no torch; run scripts/setup, or name another" in done.stderr


def test_the_benchmark_of_training_runs_at_toy_size_on_a_processor(tmp_path):
    table = tmp_path / "table.csv"
    command = [sys.executable, "-m", "scripts.bench.training_gpu", "--device", "cpu", "--repeats", "1"]
    subprocess.run([*command, "--csv", table], cwd=ROOT, capture_output=True, text=True, check=True)
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["precision"] for row in rows} == {"fp32", "bf16"}
    twins = [row for row in rows if row["neuron"] == "ReLU twin"]
    assert [float(row["times the twin"]) for row in twins] == [1.0, 1.0]
    assert {"GLIF", "GLIF, eager loop"} <= {row["neuron"] for row in rows}
