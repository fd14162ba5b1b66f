"""The C++ program of deploy/examples does what the Python runtime does, where it can be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import load, save

from deploy.export import export
from deploy.running.quiet import onnxruntime
from deploy.runtime import Classifier
from tests.helpers.examples import CONFIGS, EXAMPLES, REFERENCE, UNUSABLE, broken_recordings, linear_model
from tests.helpers.onnx_models import step_model

COMPILER, ONNXRUNTIME = shutil.which("g++"), Path(os.environ.get("ONNXRUNTIME_ROOT", "/usr/local"))
PLACES = (ONNXRUNTIME / "include", ONNXRUNTIME / "include" / "onnxruntime", Path("/usr/include/onnxruntime"))
HEADERS = next((place for place in PLACES if (place / "onnxruntime_cxx_api.h").is_file()), None)
JSON = [place for place in ("/usr/include", "/usr/local/include") if Path(place, "nlohmann/json.hpp").is_file()]
if not (COMPILER and HEADERS and JSON):
    needed = "g++, nlohmann-json3-dev, and onnxruntime's headers in $ONNXRUNTIME_ROOT/include"
    pytest.skip(f"the C++ program is built with {needed}", allow_module_level=True)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built as its README says, with the library inside Python's onnxruntime."""
    folder = tmp_path_factory.mktemp("program")
    (inside,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*.*")
    library = folder / "libonnxruntime.so.1"
    library.symlink_to(inside)
    flags = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", "-isystem", str(HEADERS), f"-Wl,-rpath,{folder}"]
    sources = [str(EXAMPLES / "cpp" / "main.cpp"), str(library)]
    subprocess.run([COMPILER, *flags, *sources, "-o", str(folder / "classify")], check=True)
    return folder / "classify"


def classify(program, model, *recordings):
    """Status, probabilities of the recordings that were classified, and error lines."""
    done = subprocess.run([program, model, *recordings], capture_output=True, text=True, check=False)
    answers = []
    for line in done.stdout.splitlines():
        if line.startswith("  "):
            probability, _, name = line.strip().partition("  ")
            answers[-1][1][name] = float(probability)
        else:
            answers.append((line.partition(": ")[2].partition("  ")[0], {}))
    return done.returncode, answers, done.stderr.splitlines()


def agrees(answer, model, recording):
    label, named = answer
    classifier = Classifier(model, threads=1)
    expected = classifier.predict(recording)
    assert list(named) == list(classifier.classes)
    assert label == classifier.classes[expected.argmax()]
    np.testing.assert_allclose(list(named.values()), expected, atol=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_program_makes_the_frames_that_the_model_asks_for(program, awkward, tmp_path, name):
    model = linear_model(tmp_path / "linear.onnx", CONFIGS[name])
    status, (answer,), errors = classify(program, model, awkward)
    assert (status, errors) == (0, [])
    agrees(answer, model, awkward)


def test_the_program_runs_a_network_on_several_recordings(program, checkpoint, recordings, tmp_path):
    model, _ = export(checkpoint, out=tmp_path / "narrow.onnx")
    paths = sorted((recordings / "test").glob("*/*.aedat"))
    status, answers, errors = classify(program, model, *paths)
    assert (status, errors) == (0, [])
    for answer, path in zip(answers, paths, strict=True):
        agrees(answer, model, path)


def test_the_program_reads_real_recordings(program, shared_data, tmp_path):
    model = linear_model(tmp_path / "linear.onnx", {**REFERENCE, "window_us": 200_000, "hop_us": 200_000})
    recording = shared_data / "formats" / "aedat2_dvs128_walking.aedat"
    _, (answer,), _ = classify(program, model, recording)
    agrees(answer, model, recording)


def test_the_program_goes_on_after_recordings_that_it_cannot_use(program, awkward, tmp_path):
    said = {**broken_recordings(tmp_path), tmp_path / "none.aedat": "cannot be opened"}
    model = linear_model(tmp_path / "linear.onnx", REFERENCE)
    status, (answer,), errors = classify(program, model, *said, awkward)
    assert status == 1
    agrees(answer, model, awkward)
    for (path, why), line in zip(said.items(), errors, strict=True):
        assert line.startswith(f"error: {path}")
        assert why in line


@pytest.mark.parametrize("name", UNUSABLE)
def test_the_program_says_what_a_model_asks_for_that_it_cannot_do(program, awkward, tmp_path, name):
    config, changed, said = UNUSABLE[name]
    status, answers, (line,) = classify(program, linear_model(tmp_path / "m.onnx", config, **changed), awkward)
    assert (status, answers) == (1, [])
    assert re.search(said, line)


def test_the_program_refuses_files_that_are_no_models_of_this_package(program, awkward, tmp_path):
    step, bare, text = step_model(tmp_path / "step.onnx"), tmp_path / "bare.onnx", tmp_path / "text.onnx"
    proto = load(linear_model(bare, REFERENCE))
    proto.metadata_props.clear()
    save(proto, bare)
    text.write_text("no model")
    damaged = linear_model(tmp_path / "damaged.onnx", REFERENCE, classes=7)
    for model, said in (
        (step, "runs one time step at a time.*--format onnx$"),
        (bare, "holds no description by evglif"),
        (text, "text.onnx"),
        (damaged, "its description is damaged"),
        (tmp_path / "missing.onnx", "missing.onnx"),
    ):
        status, answers, (line,) = classify(program, model, awkward)
        assert (status, answers) == (1, [])
        assert re.search(f"^error: .*{said}", line)
