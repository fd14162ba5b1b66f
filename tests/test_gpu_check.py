"""The command for the day a GPU is at hand, where there is none: its order, its budgets, and all of it at toy size."""

import csv
import gzip
import os
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest
import torch

from scripts.gpu import day, everything, kit, summary
from scripts.gpu.__main__ import main
from scripts.gpu.tables import Table, exit_code, left_out, read, work_off
from tests.helpers import ROOT


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
@pytest.mark.parametrize("options", [[], ["--minutes", "8"]])
def test_without_a_gpu_it_says_so_in_one_line_and_exits_with_3(options):
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [ROOT / "scripts/gpu_check", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stdout == "no NVIDIA GPU that torch can use: nothing was run\n"


def test_a_python_without_torch_is_told_what_to_do(tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(bare)}
    done = subprocess.run([ROOT / "scripts/gpu_check"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "has no torch; run scripts/setup, or name another" in done.stderr


def test_a_dry_run_lists_tests_and_benchmarks(capsys):
    assert main(["--dry-run"]) == 0
    listed = capsys.readouterr().out.split()
    assert {"tests/evglif/recurrence/test_triton.py", "tests/evglif/training/test_graphs.py"} < set(listed)
    assert "scripts/bench/recurrence_gpu.py" in listed
    assert main(["--dry-run", "--only", "recurrence_gpu"]) == 0
    assert capsys.readouterr().out.split() == ["scripts/bench/recurrence_gpu.py"]


WRONG = {
    "a file that is not there": (["--only", "warp_drive"], "--only names warp_drive; choose from"),
    "a part that is not there": (["--minutes", "1", "--only", "warp_drive"], "--only of agreement, recurrence"),
    "no time": (["--minutes", "0"], "a number above 0"),
    "a kit of nothing": (["--prepare", "kit"], "--prepare needs --data FOLDER"),
    "data that lack something": (["--prepare", "kit", "--data", "."], "lacks mnist, fashion_mnist, *.npz"),
    "no kit": (["--minutes", "1", "--device", "cpu", "--kit", "nowhere"], "is no kit; scripts/gpu_check --prepare"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_refused_in_one_line(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options, said = WRONG[name]
    assert main(options) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_table_is_on_the_disk_after_every_row(tmp_path):
    table = Table(tmp_path / "table.csv", ("what", "value"))
    for row in (("a|b", 1), ("two\nlines", "2,5")):
        table.add(*row)
        assert list(read(tmp_path / "table.csv")[-1].values()) == [str(cell) for cell in row]
    expected = "| what | value |\n|---|---|\n| a\\|b | 1 |\n| two lines | 2,5 |\n"
    assert (tmp_path / "table.md").read_text() == expected


def test_what_fails_stops_no_other_and_what_did_not_fit_is_named(tmp_path, capsys):
    table, done = tmp_path / "table.csv", []

    def fail():
        raise RuntimeError("out of memory\nand more")

    jobs = {"one": lambda: done.append(1), "two": fail, "three": lambda: time.sleep(0.5), "four": fail, "five": fail}
    assert work_off(jobs, table, 0.3) == ["two: RuntimeError: out of memory"]
    assert done == [1]
    assert left_out(table) == ["four", "five"]
    assert exit_code(["two: no memory", "four: no kernel"]) == 1
    assert capsys.readouterr().out.endswith("\nfailed: two: no memory; four: no kernel\n")
    assert exit_code(work_off({"one": lambda: None}, table, 1)) == 0
    assert not capsys.readouterr().out
    assert left_out(table) == []


PARTS = {
    "good": "from pathlib import Path; import sys; Path(sys.argv[4]).write_text('a\\n1\\n')",
    "broken": "raise SystemExit('no such kernel')",
    "slow": "import time, sys; open(sys.argv[4][:-3] + 'left', 'w').write('this\\nthat'); time.sleep(60)",
    "last": "print('the last one')",
}


def a_day(folder, monkeypatch, minutes):
    """A day of four little parts; one needs half a second of its budget, one more than there is."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    for name, code in PARTS.items():
        (folder / f"part_{name}.py").write_text(code)
    budgets = {"slow": 4.0, "last": None}
    parts = [day.Part(name, "about it", f"part_{name}", budgets.get(name, 100.0)) for name in PARTS]
    monkeypatch.setattr(day, "TO_STOP_S", 0.1)
    return day.Day("cpu", minutes, folder / "out", archive=folder / "out.tar.gz").run(parts)


def test_parts_stop_no_other_and_keep_to_their_budgets(tmp_path, monkeypatch, capsys):
    assert a_day(tmp_path, monkeypatch, 8) == 1
    rows = {row["part"]: row for row in read(tmp_path / "out/parts.csv")}
    assert rows["good"]["outcome"] == rows["last"]["outcome"] == "ok"
    assert rows["broken"]["outcome"] == "failed: no such kernel"
    assert rows["slow"]["outcome"] == "stopped: it took longer than its budget"
    assert rows["slow"]["left out"] == "this; that"
    assert "failed: broken" in capsys.readouterr().out
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        assert {"out/parts.csv", "out/summary.md", "out/slow.log", "out/machine.md"} <= set(archive.getnames())


def test_parts_for_which_no_time_is_left_are_named(tmp_path, monkeypatch):
    assert a_day(tmp_path, monkeypatch, 0.01) == 0
    rows = read(tmp_path / "out/parts.csv")
    assert {row["outcome"] for row in rows} == {"not begun: the time was over"}
    assert {row["left out"] for row in rows} == {"all of it"}


def test_killed_half_way_it_leaves_what_was_done(tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scripts.gpu", "--minutes", "20", "--device", "cpu", "--only", "agreement"]
    job = subprocess.Popen([*command, "--out", out, "--archive", tmp_path / "a.tar.gz"], cwd=ROOT)
    try:
        deadline = time.monotonic() + 300
        while len(read(out / "agreement.csv")) < 1:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 143
    assert read(out / "agreement.csv")[0]["verdict"] == "ok"
    assert "no numbers" in " ".join(left_out(out / "agreement.csv"))


@pytest.fixture(scope="module")
def toy_kit(tmp_path_factory):
    """A kit without wheels, with images of two kinds: bright on the left, or on the right."""
    folder = tmp_path_factory.mktemp("kit")
    (folder / "wheels").mkdir()
    for name in kit.FOLDERS:
        (folder / "data" / name).mkdir(parents=True)
        for part, count in (("train", 24), ("t10k", 8)):
            labels = np.arange(count) % 10
            images = np.zeros((count, 28, 28), np.uint8)
            images[labels % 2 == 0, :, :14] = 255
            head = struct.pack(">4i", 0x803, count, 28, 28), struct.pack(">2i", 0x801, count)
            for kind, header, content in (("images-idx3", head[0], images), ("labels-idx1", head[1], labels)):
                file = folder / "data" / name / f"{part}-{kind}-ubyte.gz"
                file.write_bytes(gzip.compress(header + content.astype(np.uint8).tobytes()))
    pictures = np.zeros((24, 8, 8, 3), np.uint8)
    labels = np.arange(24) % 2
    pictures[labels == 0, :, :4] = 255
    np.savez(folder / "pictures.npz", images=pictures, labels=labels, classes=np.array(["left", "right"]))
    kit.pack_pictures(folder / "pictures.npz", folder / "data" / kit.PICTURES)
    return folder


def test_pictures_are_packed_without_loss(toy_kit):
    from PIL import Image

    with zipfile.ZipFile(toy_kit / "data" / kit.PICTURES) as packed, packed.open("left/00000.webp") as file:
        picture = np.asarray(Image.open(file))
    assert picture[:, :4].min() == 255
    assert picture[:, 4:].max() == 0


def test_a_kit_that_is_too_large_is_refused(toy_kit, monkeypatch):
    assert "MiB together" in kit.check_size(toy_kit)
    monkeypatch.setattr(kit, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="more than 0 MiB together; leave out images"):
        kit.check_size(toy_kit)


def test_the_whole_day_at_toy_size(toy_kit, tmp_path, capfd):
    out = tmp_path / "day"
    arguments = ["--minutes", "30", "--device", "cpu", "--kit", str(toy_kit), "--out", str(out)]
    assert main(arguments) == 0, capfd.readouterr().out + "".join(log.read_text() for log in out.glob("*.log"))
    assert [row["outcome"] for row in read(out / "parts.csv")] == ["ok"] * 4
    assert {row["left out"] for row in read(out / "parts.csv")} == {"nothing"}
    assert {row["verdict"] for row in read(out / "agreement.csv")} == {"ok"}
    assert {"ours", "eager"} <= {row["contender"] for row in read(out / "recurrence.csv")}
    steps = read(out / "training.csv")
    assert {"GLIF", "GLIF, graph", "ReLU twin", "ReLU twin, graph"} <= {row["contender"] for row in steps}
    assert {float(row["times the twin"]) for row in steps if row["contender"].startswith("ReLU")} == {1.0}
    learnt = {row["data"]: row for row in read(out / "learning.csv")}
    assert list(learnt) == ["mnist", "fashion-mnist", "simulated-cifar10-dvs"]
    for name, row in learnt.items():
        with (out / f"learning-{name}.csv").open(newline="") as file:
            (epoch,) = csv.DictReader(file)
        assert row["best test %"] == row["last test %"] == f"{100 * float(epoch['test_accuracy']):.2f}"
    said = (out / "summary.md").read_text()
    assert said.startswith("**Kernels.** 16 of 16 comparisons with the reference agree; fp32 contiguous, T = 2:")
    assert "\n**Training.** 7b-widenet bf16, channels last, GLIF: " in said
    assert "mnist after 1 epochs" in said


def test_a_summary_of_nothing_says_so(tmp_path):
    assert "0 of 0 comparisons" in summary.text(tmp_path)
    assert "nothing was measured" in summary.text(tmp_path)


def test_one_that_fails_stops_no_other_and_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(everything, "machine", lambda _: "")
    (tmp_path / "bad_gpu.py").write_text("raise SystemExit('out of memory')")
    write = "import sys; open(sys.argv[2], 'w').write('a,b\\n1,2\\n')"
    (tmp_path / "good_gpu.py").write_text(write)
    (tmp_path / "silent_gpu.py").write_text("")
    (tmp_path / "test_odd.py").write_text("import a_package_that_nobody_has\n")
    jobs = [tmp_path / f"{name}.py" for name in ("bad_gpu", "good_gpu", "silent_gpu", "test_odd")]
    assert everything.check(jobs, tmp_path / "out") == 1
    assert "failed or not run: bad_gpu, silent_gpu, test_odd" in capsys.readouterr().out
    assert (tmp_path / "out/good_gpu.md").read_text() == "| a | b |\n|---|---|\n| 1 | 2 |\n"
    outcomes = {row["what"]: row["outcome"] for row in read(tmp_path / "out/summary.csv")}
    assert outcomes["bad_gpu"] == "failed: out of memory"
    assert outcomes["good_gpu"] == "ok: 1 rows"
    assert outcomes["silent_gpu"] == "failed: it wrote no table"
    assert outcomes["test_odd"] == "not run: needs a_package_that_nobody_has"
