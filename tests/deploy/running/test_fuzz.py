"""Damaged models are used or refused with one kind of error; nothing crashes, hangs or fills the memory."""

import json
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tests.helpers.onnx_models import step_model


def outcomes(model, first, num, seconds):
    command = [sys.executable, "-m", "tests.helpers.fuzz_models", model, str(first), str(num)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=seconds, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"damage {lines[-1]} ended the process: {done.stderr[-500:]}"
    return json.loads(lines[-1])["found"]


def test_damaged_models_are_refused(tmp_path):
    found = outcomes(step_model(tmp_path / "step.onnx"), 0, 300, seconds=120)
    assert found.keys() <= {"used", "refused"}
    assert found["refused"] > 100


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["step", "exported"])
def test_many_damaged_models_are_refused(tmp_path, name, request):
    model = step_model(tmp_path / "step.onnx")
    if name == "exported":
        model.write_bytes(request.getfixturevalue("exported").read_bytes())
    found = outcomes(model, 1000, 10_000, seconds=3000)
    assert found.keys() <= {"used", "refused"}
