"""No word leaves the machine and nothing is written outside of what was asked for, whatever runs a model."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tests.helpers.onnx_models import step_model

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


@pytest.mark.parametrize(
    "arguments",
    [
        ["deploy.export", "{run}/best.pt", "--out", "{out}/m.onnx"],
        ["deploy.bench", "{out}/step.onnx", "--repeats", "1"],
    ],
    ids=["export", "bench"],
)
def test_nor_do_export_and_bench(home, tmp_path, run, arguments):
    step_model(tmp_path / "step.onnx")
    command = [sys.executable, "-m", *(part.format(run=run, out=tmp_path) for part in arguments)]
    subprocess.run(command, env=environment(home), cwd=ROOT, capture_output=True, check=True, timeout=300)
    assert written_below(home) == []


def test_who_wants_telemetry_sets_the_variable(home, tmp_path, recordings):
    """What the tests above look for is there to be found."""
    found = classified(home, tmp_path, recordings, ORT_DISABLE_TELEMETRY="0")
    if not found:
        pytest.skip("this onnxruntime has no telemetry; nothing can be shown with it")
    assert any("onnxruntime" in name for name in found)


@pytest.mark.exhaustive
def test_no_name_is_asked_for(home, tmp_path, recordings):
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a network of one's own takes the rights of root and unshare")
    model = step_model(tmp_path / "step.onnx")
    job = [sys.executable, "-c", CLASSIFY.format(rest="time.sleep(25); sys.exit(status)")]
    job += [str(model), str(recordings / "test" / "left" / "0.aedat")]
    watched = ["unshare", "--net", "--mount", sys.executable, "-c", RESOLVER, str(tmp_path), *job]
    done = subprocess.run(watched, env=environment(home), capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "0"
