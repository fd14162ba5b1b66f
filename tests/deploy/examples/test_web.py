"""The web page of deploy/examples does what the Python runtime does, where it can be run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from deploy.export import export
from deploy.runtime import Classifier
from tests.helpers.examples import CONFIGS, EXAMPLES, REFERENCE, UNUSABLE, broken_recordings, linear_model
from tests.helpers.onnx_models import DAMAGED, UNCHECKED_BY_EXAMPLES, step_model, with_inner_graph

NODE = shutil.which("node")
if NODE is None:
    pytest.skip("the page's code runs in node here", allow_module_level=True)

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


@pytest.mark.parametrize("name", CONFIGS)
def test_the_page_makes_the_frames_that_the_model_asks_for(awkward, tmp_path, name):
    expected = Classifier(linear_model(tmp_path / "linear.onnx", CONFIGS[name])).frames(awkward)
    np.testing.assert_array_equal(frames_of_page(awkward, CONFIGS[name]), expected.ravel())


def test_the_page_makes_the_frames_of_real_recordings(shared_data, tmp_path):
    recording = shared_data / "dvs128_objects" / "session1" / "pencil.aedat"
    config = {**REFERENCE, "window_us": 5_000_000, "hop_us": 5_000_000}
    expected = Classifier(linear_model(tmp_path / "linear.onnx", config)).frames(recording)
    assert len(expected) > 3
    np.testing.assert_array_equal(frames_of_page(recording, config), expected.ravel())


DESCRIBED = """
import { readFileSync } from "node:fs";
import { checkTogether, readDescription } from "./description.js";
import { frameMaker } from "./frames.js";
for (const path of process.argv.slice(1)) {
  try {
    const description = readDescription(readFileSync(path), "m.onnx");
    frameMaker(description.preprocessing);
    checkTogether(description, "m.onnx");
    console.log("good");
  } catch (error) {
    console.log(`${error.constructor.name}: ${error.message}`);
  }
}
"""


def said_of(*models):
    """What the page says of each model's description, "good" where it takes it."""
    command = [NODE, "--input-type=module", "--eval", DESCRIBED, *map(str, models)]
    done = subprocess.run(command, cwd=EXAMPLES / "web", stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return done.stdout.splitlines()


def test_the_page_refuses_descriptions_that_cannot_be(tmp_path):
    paths = [step_model(tmp_path / f"{name}.onnx", **changed) for name, (changed, _) in DAMAGED.items()]
    for name, (_, field), said in zip(DAMAGED, DAMAGED.values(), said_of(*paths), strict=True):
        if name not in UNCHECKED_BY_EXAMPLES:
            assert said.startswith("Error: "), name
            names = field.removeprefix("preprocessing.").partition("[")[0] in said
            assert names or re.search("cannot do$|was trained on images|runs all time steps", said), name


def test_the_page_refuses_graphs_whose_run_need_not_end(tmp_path):
    models = [with_inner_graph(step_model(tmp_path / f"{kind}.onnx"), kind) for kind in ("Loop", "If")]
    good = step_model(tmp_path / "good.onnx")
    *refused, taken = said_of(*models, good)
    assert taken == "good"
    assert all("a graph whose run need not end" in said for said in refused)


@pytest.mark.parametrize("hop_us", [1e-9, 0.5, -1, "x"])
def test_the_page_makes_no_endless_windows(awkward, hop_us):
    config = {**CONFIGS["windows"], "hop_us": hop_us}
    command = [NODE, "--input-type=module", "--eval", FRAMES, str(awkward), json.dumps(config)]
    done = subprocess.run(command, cwd=EXAMPLES / "web", capture_output=True, text=True, check=False, timeout=60)
    assert "windows, one every" in done.stderr


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser for the page, and what its package.json asks for."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    modules = EXAMPLES / "web" / "node_modules"
    if browser is None or not all((modules / name).is_dir() for name in ("onnxruntime-web", "playwright-core")):
        pytest.skip(f"needs chromium, and npm install in {EXAMPLES / 'web'}")
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


def test_the_page_loads_nothing_from_elsewhere(chromium, served):
    folder, url = served
    step_model(folder / "model.onnx", {**CONFIGS["windows"], "steps": 3, "size": [4, 4]})
    elsewhere = "http://127.0.0.1:1/"
    for asked in (f"{elsewhere}model.onnx", "//127.0.0.1:1/model.onnx"):
        (shown,) = shown_on_page(chromium, f"{url}?model={asked}", ["settle"])
        assert "lies elsewhere; only files beside this page are loaded" in shown["error"]


def test_the_page_runs_no_script_but_its_own(chromium, served):
    _, url = served
    (tried,) = shown_on_page(chromium, url, ["inject", "http://127.0.0.1:1/"])
    assert tried == {"ran": False, "fetched": False, "refused": ["connect-src", "script-src-elem"]}
