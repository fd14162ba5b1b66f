import csv
import dataclasses
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

import pytest
import torch

from evglif import load_checkpoint
from evglif.data import LoaderConfig
from evglif.recipe import to_yaml
from evglif.train import train
from evglif.training.machine import Machine, processes
from evglif.training.optim import OptimConfig
from preprocessing.build import build
from preprocessing.datasets.recordings.folder import Folder
from tests.helpers import ROOT
from tests.helpers.spots import small_recipe

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def odd_cache(recordings, tmp_path_factory):
    """29 samples to train on once 2 are cut off, so that the last batch is not shared evenly."""
    folder = tmp_path_factory.mktemp("odd")
    shutil.copytree(recordings, folder / "recordings")
    (folder / "recordings" / "train" / "left" / "0.aedat").unlink()
    build(Folder(folder / "recordings"), folder / "odd.h5", steps=3, size=(16, 16), workers=1)
    return folder / "odd.h5"


def recipe(batch_size):
    return dataclasses.replace(
        small_recipe(epochs=2),
        model={"name": "7b-widenet", "width": 2, "norm": "tdbn"},
        optim=OptimConfig(lr=0.05, clip=5.0),
        loader=LoaderConfig(batch_size=batch_size, validation=0.1),
        ema=0.9,
    )


def figures(folder):
    with (folder / "metrics.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def run_on_two_processes(options):
    """What ``two_processes.py`` prints under torchrun; nothing of it outlives the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", port]
    command = [*torchrun, "--master-addr", "127.0.0.1", str(SCRIPT), *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)
    try:
        output, errors = process.communicate(timeout=240)
    finally:
        process.terminate()  # torchrun ends its processes; one that is killed leaves them
        process.wait(timeout=60)
    assert process.returncode == 0, errors
    return output


def test_two_processes_learn_what_one_learns_with_their_batches_together(odd_cache, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    results = train(recipe(batch_size=6), odd_cache, alone, progress=False, machine=Machine("cpu"))
    assert results["num_train"] == 29
    (tmp_path / "recipe.yaml").write_text(to_yaml(recipe(batch_size=3)))
    options = ["--recipe", tmp_path / "recipe.yaml", "--data", odd_cache, "--out", together, "--accelerator", "cpu"]
    output = run_on_two_processes(options)
    assert [line[:9] for line in output.splitlines() if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    for one, two in zip(figures(alone), figures(together), strict=True):
        for name in one.keys() - {"seconds", "samples_per_second"}:
            assert two[name] == pytest.approx(one[name], rel=1e-5), name
    for name in ("best.pt", "last.pt"):
        weights, others = (load_checkpoint(folder / name).state_dict() for folder in (alone, together))
        torch.testing.assert_close(others, weights, rtol=1e-4, atol=1e-5)
    assert {path.name for path in together.iterdir()} == {path.name for path in alone.iterdir()}


def test_torchruns_processes_are_taken_as_they_are(monkeypatch):
    for name, value in {"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    assert processes(Machine()) == (2, 3)
    assert processes(Machine(devices=2)) == (2, 3)
    with pytest.raises(ValueError, match=r"2 processes on each of 3 nodes were started, but .* say 4 and 3"):
        processes(Machine(devices=4))


def test_slurms_tasks_are_taken_as_they_are(monkeypatch):
    for name, value in {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(name, value)
    assert processes(Machine()) == (4, 2)


def test_one_process_is_what_is_not_said_otherwise():
    assert processes(Machine()) == (1, 1)
    assert processes(Machine(devices=2, num_nodes=3)) == (2, 3)


@contextmanager
def started_by_itself(options, *before):
    """A training with ``--devices 2``, all of whose processes are ended behind the test."""
    command = [*before, sys.executable, "-m", "evglif.train", "--devices", "2", "--accelerator", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(
        [*command, *map(str, options)], env=environment, cwd=ROOT, start_new_session=True, **pipes
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # which is as it should be
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


@pytest.fixture
def options(odd_cache, tmp_path):
    (tmp_path / "recipe.yaml").write_text(to_yaml(dataclasses.replace(recipe(batch_size=6), epochs=1)))
    return ["--recipe", tmp_path / "recipe.yaml", "--data", odd_cache, "--out", tmp_path / "run"]


def in_own_namespace(what, then):
    """A command that is run by root of namespaces of its own, after ``then`` was done there."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", what, "true"], check=False).returncode:
        pytest.skip("namespaces are not allowed here")
    return ["unshare", what, "sh", "-c", f'{then} && exec "$@"', "sh"]


def test_shared_memory_that_is_full_is_no_hindrance(options):
    full = "mount -t tmpfs -o size=64k tmpfs /dev/shm && ! head -c 99999 /dev/zero 2>&1 > /dev/shm/full | grep -v space"
    with started_by_itself(options, *in_own_namespace("-rm", full)) as process:
        _, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    assert (options[-1] / "results.json").exists()


def test_processes_that_cannot_reach_one_another_are_told_at_once(options):
    with started_by_itself(options, *in_own_namespace("-rn", "true")) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert "127.0.0.1, which cannot be reached here (" in errors
    assert "or train with --devices 1" in errors


@pytest.mark.parametrize("first", [False, True])
def test_where_one_process_is_killed_the_other_ends(options, first):
    with started_by_itself([*options, "--epochs", "1000"]) as process:
        assert "validation" in process.stdout.readline()
        assert any(line.startswith("epoch 1/1000") for line in islice(process.stdout, 3))
        other = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        os.kill(process.pid if first else other, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)  # the pipes are held by both
    if not first:
        assert process.returncode == 1
        assert errors.count("\n") == 1
        assert "error: one of 2 processes ended, or they cannot reach one another" in errors
        assert "goes on after the last whole epoch" in errors
