"""The C++ program and the web page of deploy/examples do what the Python runtime does, where they can be run at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save

from deploy.export import export
from deploy.running.metadata import KEY
from deploy.runtime import Classifier
from evglif import save_checkpoint
from evglif.checkpoint import DataSpec
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from tests.helpers import ROOT
from tests.helpers.checkpoints import lively
from tests.helpers.onnx_models import describe, step_model

EXAMPLES = ROOT / "deploy" / "examples"
CLASSES = ["circle", "square", "très long"]
REFERENCE = {"kind": "events", "steps": 16, "size": [48, 48], "slicing": "count", "resize": "bilinear"}
CONFIGS = {
    "reference": REFERENCE,
    "transposed": {**REFERENCE, "transpose": True},
    "area": {**REFERENCE, "steps": 3, "size": [16, 12], "resize": "area", "transpose": True, "filters": []},
    "antialias": {**REFERENCE, "steps": 5, "size": [20, 28], "resize": "bilinear-antialias", "slicing": "time"},
    "finest": {**REFERENCE, "steps": 1, "size": [37, 41], "resize": "bilinear-antialias"},
    "nearest": {**REFERENCE, "steps": 4, "resize": "nearest", "value": "signed", "slicing": "duration:15.5ms"},
    "sum": {**REFERENCE, "steps": 4, "size": [7, 9], "resize": "sum", "value": "binary", "slicing": "events:333"},
    "windows": {**REFERENCE, "steps": 2, "size": [8, 8], "window_us": 30_000, "hop_us": 20_000},
    "enlarged": {**REFERENCE, "steps": 1, "size": [130, 200]},
}
UNUSABLE = {
    "filters": ({**REFERENCE, "filters": ["noise:10ms"]}, {}, r"filters .*noise:10ms.*cannot do"),
    "resizing": ({**REFERENCE, "resize": "bicubic"}, {}, "resizing bicubic.*cannot do"),
    "slicing": ({**REFERENCE, "slicing": "duration:2h"}, {}, "slicing duration:2h.*cannot do"),
    "value": ({**REFERENCE, "value": "log"}, {}, "value log.*cannot do"),
    "sensor": (REFERENCE, {"sensor": [346, 260]}, r"sensor.*346.*260.*128"),
    "version": (REFERENCE, {"version": 1}, "version 1.*reads 2.*deploy.export"),
    "images": (REFERENCE, {"model": {"encoder": "direct"}}, "trained on images"),
    "unknown": (None, {}, "does not know how its training data were made"),
}


def linear_model(path, config, **changed):
    """An unrolled model whose logits weigh every bin of the frames in another way."""
    columns, rows = (config or REFERENCE)["size"]
    steps = (config or REFERENCE)["steps"]
    weights = np.random.default_rng(0).normal(0, 0.02, (steps * 2 * rows * columns, len(CLASSES))).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["frames"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", steps, 2, rows, columns])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])
    graph = helper.make_graph(nodes, "linear", [frames], [logits], [numpy_helper.from_array(weights, "w")])
    proto = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    form = {"form": "unrolled", "states": [], "steps": steps, "size": [columns, rows], "classes": CLASSES, **changed}
    helper.set_model_props(proto, {KEY: describe(config, **form)})
    save(proto, path)
    return path


@pytest.fixture(scope="module")
def awkward(tmp_path_factory):
    """A recording whose clock wraps, with an external event and an event that comes late."""
    generator = np.random.default_rng(0)
    t = np.sort(generator.integers(0, 70_000, 3000))
    x, y = generator.integers(0, 128, 3000), generator.integers(0, 128, 3000)
    data = aedat2.encode(make_events(t, x, y, generator.random(3000) < 0.5), ["# one more", "très joli"])
    records = np.frombuffer(data[-8 * 3000 :], ">u4").reshape(-1, 2).copy()
    records[:, 1] += np.uint32(2**32 - 40_000)
    records[[700, 720]] = records[[720, 700]]
    records[1500, 0] |= 0x8000
    path = tmp_path_factory.mktemp("awkward") / "awkward.aedat"
    path.write_bytes(data[: -8 * 3000] + records.tobytes())
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow network for recordings of a DVS128."""
    model = lively("7b-widenet", "glif", num_classes=3)
    config = {**REFERENCE, "steps": 3, "size": list(model.spec.size), "resize": "area"}
    path = tmp_path_factory.mktemp("narrow") / "narrow.pt"
    save_checkpoint(path, model, DataSpec(tuple(CLASSES), 1.0, (128, 128), config, "made up"))
    return path


def broken_recordings(folder):
    """Recordings that cannot be used, and what is said of each."""
    header = aedat2.encode(make_events(*np.zeros((4, 1), np.int64)))[:-8]
    records = {
        "empty": (b"", "AEDAT-2.0"),
        "other": (b"EVT3", "AEDAT-2.0"),
        "header": (header, "holds no events"),
        "cut": (header + bytes(12), "cut in the middle of a record"),
        "davis": (b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + bytes(8), "by a DAVIS240C"),
        "address": (header + bytes(8) + b"\0\1\0\0\0\0\0\0", f"address at byte {len(header) + 8} is outside"),
        "backwards": (header + b"\0\0\0\0\0\1\0\0" + bytes(8), "time runs backwards, from 65536 to 0"),
    }
    for name, (data, _) in records.items():
        (folder / f"{name}.aedat").write_bytes(data)
    return {folder / f"{name}.aedat": said for name, (_, said) in records.items()}


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ program, built as its README says, with the library inside Python's onnxruntime."""
    compiler, root = shutil.which("g++"), Path(os.environ.get("ONNXRUNTIME_ROOT", "/usr/local"))
    places = (root / "include", root / "include" / "onnxruntime", Path("/usr/include/onnxruntime"))
    headers = next((place for place in places if (place / "onnxruntime_cxx_api.h").is_file()), None)
    if compiler is None or headers is None:
        pytest.skip("needs g++ and onnxruntime's headers, in ONNXRUNTIME_ROOT/include or /usr/include/onnxruntime")
    if not any(Path(place, "nlohmann/json.hpp").is_file() for place in ("/usr/include", "/usr/local/include")):
        pytest.skip("needs nlohmann-json, Debian's nlohmann-json3-dev")
    folder = tmp_path_factory.mktemp("program")
    (inside,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*.*")
    library = folder / "libonnxruntime.so.1"
    library.symlink_to(inside)
    flags = ["-std=c++20", "-O0", "-Wall", "-Wextra", "-Werror", "-isystem", str(headers), f"-Wl,-rpath,{folder}"]
    sources = [str(EXAMPLES / "cpp" / "main.cpp"), str(library)]
    subprocess.run([compiler, *flags, *sources, "-o", str(folder / "classify")], check=True)
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


NODE = shutil.which("node")
FRAMES = """
import { readFileSync } from "node:fs";
import { frameMaker, windowsOf } from "./frames.js";
import { readRecording } from "./recording.js";
const [path, settings] = process.argv.slice(-2);
const bytes = readFileSync(path);
const events = readRecording(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), path);
const config = JSON.parse(settings);
for (const [from, to] of windowsOf(events.t, config, path))
  for (const frame of frameMaker(config)(events, from, to)) process.stdout.write(Buffer.from(frame.buffer));
"""


def frames_of_page(recording, config):
    """The frames that the page makes, as one array ``[N]``."""
    command = [NODE, "--input-type=module", "--eval", FRAMES, str(recording), json.dumps(config)]
    done = subprocess.run(command, cwd=EXAMPLES / "web", stdout=subprocess.PIPE, check=True)
    return np.frombuffer(done.stdout, np.float32)


@pytest.mark.skipif(NODE is None, reason="needs node")
@pytest.mark.parametrize("name", CONFIGS)
def test_the_page_makes_the_frames_that_the_model_asks_for(awkward, tmp_path, name):
    expected = Classifier(linear_model(tmp_path / "linear.onnx", CONFIGS[name])).frames(awkward)
    np.testing.assert_array_equal(frames_of_page(awkward, CONFIGS[name]), expected.ravel())


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_the_page_makes_the_frames_of_real_recordings(shared_data, tmp_path):
    recording = shared_data / "dvs128_objects" / "session1" / "pencil.aedat"
    config = {**REFERENCE, "window_us": 5_000_000, "hop_us": 5_000_000}
    expected = Classifier(linear_model(tmp_path / "linear.onnx", config)).frames(recording)
    assert len(expected) > 3
    np.testing.assert_array_equal(frames_of_page(recording, config), expected.ravel())


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser for the page, and what its package.json asks for."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    modules = EXAMPLES / "web" / "node_modules"
    if (
        NODE is None
        or browser is None
        or not all((modules / name).is_dir() for name in ("onnxruntime-web", "playwright-core"))
    ):
        pytest.skip(f"needs node, chromium, and npm install in {EXAMPLES / 'web'}")
    return browser


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder with the page in it, and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    for path in (EXAMPLES / "web").iterdir():
        if path.suffix not in (".onnx", ".aedat"):
            (folder / path.name).symlink_to(path)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def shown_on_page(chromium, url, *actions):
    """What the page shows whenever an action "settle" has come; nothing may have failed or gone elsewhere."""
    options = {"folder": str(EXAMPLES / "web"), "chromium": chromium, "url": url, "actions": actions}
    command = [NODE, str(Path(__file__).with_name("drive_page.mjs")), json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    outcome = json.loads(done.stdout)
    assert outcome["complaints"] == []
    return outcome["shown"]


def shows(shown, model, recording):
    classifier = Classifier(model, threads=1)
    expected = classifier.predict(recording)
    assert shown["error"] is None
    assert shown["visible"]
    assert shown["answer"].startswith(f"{classifier.classes[expected.argmax()]}, ")
    assert shown["classes"] == list(classifier.classes)
    np.testing.assert_allclose(shown["probabilities"], expected, atol=1e-4)


def test_the_page_classifies_its_example_and_what_is_dropped_on_it(chromium, served, checkpoint, recordings, tmp_path):
    folder, url = served
    model, _ = export(checkpoint, "onnx-step", out=folder / "model.step.onnx")
    left, right = (recordings / "test" / side / "0.aedat" for side in ("left", "right"))
    shutil.copy(left, folder / "example.aedat")
    windows = step_model(tmp_path / "windows.onnx", {**CONFIGS["windows"], "steps": 3, "size": [4, 4]})
    example, again, dropped, other = shown_on_page(
        chromium, url, ["press", "Tab"], ["press", "Tab"], ["press", "Enter"], ["settle"],
        ["click", "#play"], ["settle"], ["drop", str(right)], ["settle"], ["drop", str(windows)], ["settle"],
    )  # fmt: skip
    shows(example, model, left)
    assert again == {**example, "focus": "play"}
    shows(dropped, model, right)
    shows(other, windows, right)
    assert (example["where"], other["where"]) == ("step 3 of 3", "window 4 of 4, step 3 of 3")


def test_the_page_says_what_it_cannot_use(chromium, served, tmp_path):
    _, url = served
    good = step_model(tmp_path / "good.onnx", {**CONFIGS["area"], "size": [4, 4]})
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    unrolled = linear_model(tmp_path / "unrolled.onnx", REFERENCE)
    said = {**broken_recordings(tmp_path), text: "no ONNX file", unrolled: "runs all time steps at once"}
    for name, (config, changed, why) in UNUSABLE.items():
        said[step_model(tmp_path / f"{name}.onnx", config, **changed)] = why
    actions = [["click", "#example"], ["settle"]]
    for path in said:
        actions += [["drop", str(good), str(path)], ["settle"]]
    missing, *errors = shown_on_page(chromium, url, *actions)
    assert "there is no model.step.onnx beside this page" in missing["error"]
    for (path, why), shown in zip(said.items(), errors, strict=True):
        assert shown["error"].startswith(path.name)
        assert not shown["visible"]
        assert re.search(why, shown["error"])
