"""No word leaves the machine and nothing is written outside of what was asked for, whatever runs a model."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from evglif.recipe import to_yaml
from tests.helpers import ROOT
from tests.helpers.onnx_models import step_model
from tests.helpers.spots import small_recipe

CLASSIFY = "import sys, time; from deploy.infer import main; status = main([*sys.argv[1:], '--stream']); {rest}"
RESOLVER = """
import fcntl, socket, struct, subprocess, sys, threading
folder, *command = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # the loopback of this network namespace is down
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
with open(folder + "/resolv.conf", "w") as file:
    file.write("nameserver 127.0.0.1\\n")
subprocess.run(["mount", "--bind", folder + "/resolv.conf", "/etc/resolv.conf"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
asked = []
threading.Thread(target=lambda: [asked.append(server.recv(2000)) for _ in range(100)], daemon=True).start()
subprocess.run(command, check=True)
print(len(asked))
"""


def environment(home, **variables):
    """That of a user at home in ``home``, with no folder of their own for caches.

    In a build service, known by these variables, onnxruntime keeps quiet of itself, and nothing would be shown.
    """
    other = ("XDG_", "ORT_", "NUMBA_", "CI", "GITHUB_", "TF_BUILD", "BUILD_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **variables}


def written_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def classified(home, tmp_path, recordings, **variables):
    model = step_model(tmp_path / "step.onnx")
    command = [sys.executable, "-c", CLASSIFY.format(rest="sys.exit(status)")]
    command += [str(model), str(recordings / "test" / "left" / "0.aedat")]
    subprocess.run(command, env=environment(home, **variables), capture_output=True, check=True, timeout=120)
    return written_below(home)


def test_classifying_writes_nothing_at_home(home, tmp_path, recordings):
    assert classified(home, tmp_path, recordings) == []


COMMANDS = {
    "export": "deploy.export {run}/best.pt --out {out}/m.onnx",
    "bench": "deploy.bench {out}/step.onnx --repeats 1 --batch 1",
    "build": "preprocessing.build folder --root {recordings} --out {out}/a.h5 --steps 3 --size 16 --workers 2",
    "inspect": "preprocessing.inspect {data} --picture {out}/a.png",
    "train": "evglif.train --recipe {out}/recipe.yaml --data {data} --out {out}/run",
    "evaluate": "evglif.evaluate {run}/best.pt --data {data} --out {out}/evaluation",
}
FONTS = {".cache", ".cache/matplotlib", ".config", ".config/matplotlib"}
"""matplotlib's list of fonts, which spares a second at the next picture, and its empty folder for settings."""

COMPILER = r"torchinductor_[^/]+"
"""An empty folder that torch makes for its compiler among temporary files."""


def job(name, tmp_path, run, data, recordings):
    step_model(tmp_path / "step.onnx")
    (tmp_path / "recipe.yaml").write_text(to_yaml(small_recipe(epochs=1)), encoding="utf-8")
    where = {"run": run, "out": tmp_path, "data": data, "recordings": recordings}
    return [sys.executable, "-m", *(part.format(**where) for part in COMMANDS[name].split())]


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_writes_elsewhere(name, home, tmp_path, run, cache_path, recordings):
    """Whatever a new version of a library keeps somewhere is seen here: prevent it, or say it in the README."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = job(name, tmp_path, run, cache_path, recordings)
    variables = environment(home, TMPDIR=str(temporary))
    subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, check=True, timeout=300)
    fonts = {each for each in written_below(home) if each in FONTS or re.match(r".cache/matplotlib/fontlist", each)}
    assert set(written_below(home)) - (fonts if name in ("inspect", "train", "evaluate") else set()) == set()
    assert [each for each in written_below(temporary) if not re.fullmatch(COMPILER, each)] == []


CLUSTER = """
import sys
from distributed import LocalCluster
from preprocessing.build import main
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        sys.exit(main([*sys.argv[1:], "--cluster", cluster.scheduler_address]))
"""


@pytest.mark.exhaustive
def test_nor_does_a_build_on_a_cluster(home, tmp_path, recordings):
    pytest.importorskip("distributed", reason="pip install 'evglif[cluster]'")
    (tmp_path / "job.py").write_text(CLUSTER)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, str(tmp_path / "job.py"), "folder", "--root", str(recordings)]
    command += ["--out", str(tmp_path / "a.h5"), "--steps", "3", "--size", "16"]
    variables = environment(home, TMPDIR=str(temporary))
    subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    assert written_below(home) == []
    spilled = r"dask-scratch-space(/.*)?"  # of workers, which are the cluster's and not ours
    assert [each for each in written_below(temporary) if not re.fullmatch(spilled, each)] == []


def test_who_wants_telemetry_sets_the_variable(home, tmp_path, recordings):
    """What the tests above look for is there to be found."""
    found = classified(home, tmp_path, recordings, ORT_DISABLE_TELEMETRY="0")
    if not found:
        pytest.skip("this onnxruntime has no telemetry; nothing can be shown with it")
    assert any("onnxruntime" in name for name in found)


def names_asked_for(command, home, tmp_path):
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a network of one's own takes the rights of root and unshare")
    watched = ["unshare", "--net", "--mount", sys.executable, "-c", RESOLVER, str(tmp_path), *command]
    done = subprocess.run(
        watched, env=environment(home), cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.exhaustive
def test_no_name_is_asked_for(home, tmp_path, recordings):
    model = step_model(tmp_path / "step.onnx")
    command = [sys.executable, "-c", CLASSIFY.format(rest="time.sleep(25); sys.exit(status)")]
    command += [str(model), str(recordings / "test" / "left" / "0.aedat")]
    assert names_asked_for(command, home, tmp_path) == "0"


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", COMMANDS)
def test_nor_by_any_other_command(name, home, tmp_path, run, cache_path, recordings):
    assert names_asked_for(job(name, tmp_path, run, cache_path, recordings), home, tmp_path) == "0"
