import contextlib
import json
import re
import subprocess
import sys
import venv

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy.infer import main
from deploy.running.contents import external_files
from deploy.runtime import Classifier
from evglif.checkpoint import read_checkpoint
from preprocessing import read_recording
from preprocessing.build import build
from preprocessing.cache import FrameCache, package_version
from preprocessing.datasets.recordings.folder import Folder
from preprocessing.events import make_events
from preprocessing.readers import aedat2, atis
from tests.helpers import ROOT
from tests.helpers.onnx_models import CONFIG, SIZE, STEPS, step_model
from tests.helpers.spots import SIDES, spot


def test_raw_recordings_get_the_checkpoints_probabilities(exported, run, recordings, cache_path):
    classifier, reference = Classifier(exported, threads=1), read_checkpoint(run / "best.pt").model
    with FrameCache(cache_path) as cache:
        for index in cache.indices("test"):
            with torch.no_grad():
                expected = reference(torch.from_numpy(cache[int(index)])[None]).softmax(1)[0]
            probabilities = classifier.predict(recordings / cache.source(int(index)))
            np.testing.assert_allclose(probabilities, expected, atol=1e-5)
            assert classifier.classes[probabilities.argmax()] == cache.classes[cache.labels[index]]


def test_path_events_and_frames_are_the_same_recording(exported, recordings):
    classifier, path = Classifier(exported), recordings / "test" / "left" / "0.aedat"
    expected = classifier.predict(path)
    np.testing.assert_array_equal(classifier.predict(read_recording(path).events), expected)
    frames = classifier.frames(path)
    np.testing.assert_array_equal(classifier.predict(frames[0]), expected)
    np.testing.assert_allclose(classifier.predict(np.concatenate([frames, frames])), [expected] * 2, atol=1e-6)
    assert expected.sum() == pytest.approx(1.0)


def test_long_recordings_are_cut_as_in_training(recordings, tmp_path):
    classifier, cache = trained_on(recordings, tmp_path, window="30ms")
    recording = recordings / "test" / "right" / "1.aedat"
    frames = classifier.frames(recording)
    assert len(frames) == 3
    windows = [index for index in range(len(cache)) if cache.source(index).startswith("test/right/1.aedat@")]
    np.testing.assert_array_equal(frames, [cache[index] for index in windows])
    single = np.stack([classifier.predict(window) for window in frames])
    np.testing.assert_allclose(classifier.predict(recording), single.mean(0), atol=1e-6)
    events = read_recording(recording).events[:20]
    with pytest.raises(ValueError, match=r"spans \d+ µs, the model was trained on windows of 30000 µs"):
        classifier.predict(events)


def test_a_recording_of_too_many_windows_is_refused_before_any_is_made(tmp_path):
    """Two events, 28 hours apart, and windows of 1 ms; the many empty ones would fill the memory."""
    config = {**CONFIG, "window_us": 1000, "hop_us": 1000}
    classifier = Classifier(step_model(tmp_path / "m.onnx", config), threads=1)
    events = make_events(np.array([0, *range(50_000_000, 10**11, 50_000_000)]), *np.zeros((3, 2000), np.int64))
    with pytest.raises(ValueError, match=r"these events has .*windows of 1000 µs.*at most 100,000 are run"):
        classifier.predict(events)


def test_recordings_are_filtered_and_valued_as_in_training(recordings, tmp_path):
    options = {"filters": ["crop:10ms-90ms", "refractory:2ms"], "value": "binary", "slicing": "duration:20ms"}
    classifier, cache = trained_on(recordings, tmp_path, **options)
    for index in cache.indices("test"):
        frames = classifier.frames(recordings / cache.source(int(index)))
        np.testing.assert_array_equal(frames[0], cache[int(index)])
    few = read_recording(recordings / "test" / "right" / "1.aedat").events[:1]
    with pytest.raises(ValueError, match=r"no event passes the filters .*crop:10ms-90ms"):
        classifier.predict(few)


@pytest.mark.parametrize("slicing", ["time", "duration:20ms"])
@pytest.mark.parametrize("window", [None, "30ms"])
def test_recordings_become_the_voxels_of_the_training(recordings, tmp_path, slicing, window):
    classifier, cache = trained_on(recordings, tmp_path, window, value="voxel", slicing=slicing)
    assert cache.config["value"] == "voxel"
    assert any(cache[index].any() for index in cache.indices("test").tolist())
    sources = sorted({cache.source(int(index)).partition("@")[0] for index in cache.indices("test")})
    for source in sources:
        samples = [index for index in range(len(cache)) if cache.source(index).partition("@")[0] == source]
        built = np.stack([cache[index] for index in samples])
        np.testing.assert_allclose(classifier.frames(recordings / source), built, rtol=0, atol=cache.scale / 2 + 1e-6)


def trained_on(recordings, folder, window=None, **options):
    """A model that says it was trained on a cache built so, and the cache."""
    dataset = Folder(recordings, window=window) if window else Folder(recordings)
    build(dataset, folder / "built.h5", steps=STEPS, size=SIZE, workers=1, **options)
    cache = FrameCache(folder / "built.h5")
    return Classifier(step_model(folder / "step.onnx", cache.config), threads=1), cache


def test_several_recordings_in_one_run_are_what_each_is_alone(exported, recordings, tmp_path):
    classifier = Classifier(exported, threads=1)
    bad = tmp_path / "bad.aedat"
    bad.write_bytes(b"")
    events = read_recording(recordings / "test" / "left" / "0.aedat").events
    several = [recordings / "test" / "right" / "0.aedat", bad, events, classifier.frames(events)[0]]
    outcomes = list(classifier.predict_each(several, batch=2))
    assert isinstance(outcomes.pop(1), ValueError)
    several.pop(1)
    for outcome, one in zip(outcomes, several, strict=True):
        np.testing.assert_allclose(outcome, classifier.predict(one), atol=1e-6)
    assert list(classifier.predict_each([])) == []


def test_unusable_recordings_are_named(exported, tmp_path):
    classifier = Classifier(exported)
    (tmp_path / "empty.aedat").write_bytes(b"")
    (tmp_path / "text.aedat").write_text("hello")
    whole = aedat2.encode(spot(np.random.default_rng(0), *SIDES["left"]))
    (tmp_path / "cut.aedat").write_bytes(whole[:-3])
    for name in ("empty", "text", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.aedat"):
            classifier.predict(tmp_path / f"{name}.aedat")
    with pytest.raises(FileNotFoundError, match=r"none\.aedat"):
        classifier.predict(tmp_path / "none.aedat")


def test_another_sensor_is_refused(exported, tmp_path):
    events = spot(np.random.default_rng(0), 130, 200)
    (tmp_path / "wide.bin").write_bytes(atis.encode(events))
    with pytest.raises(ValueError, match=r"wide\.bin.*outside the 128×128 sensor"):
        Classifier(exported).predict(tmp_path / "wide.bin")


def saying(model, path, **facts):
    """A copy of a model whose description says otherwise."""
    proto = onnx.load(model)
    (entry,) = proto.metadata_props
    entry.value = json.dumps({**json.loads(entry.value), **facts})
    onnx.save(proto, path)
    return path


def test_an_error_that_follows_from_a_guessed_sensor_says_so(exported, recordings, tmp_path):
    guessed = Classifier(
        saying(exported, tmp_path / "m.onnx", sensor=(34, 34), sensor_from="guess", sensor_of="a/1.npz")
    )
    (tmp_path / "wide.bin").write_bytes(atis.encode(spot(np.random.default_rng(0), 34, 200)))
    advice = (
        r"the model's sensor was guessed from a/1\.npz, .*: build them with --sensor WIDTHxHEIGHT, train and export"
    )
    with pytest.raises(ValueError, match=rf"wide\.bin: event .* lies outside the 34×34 sensor; .*{advice}"):
        guessed.predict(tmp_path / "wide.bin")
    path = recordings / "test" / "left" / "0.aedat"
    with pytest.raises(ValueError, match=rf"of a 128×128 sensor, but 34×34 was asked for.*; {advice}"):
        guessed.predict(path)
    with pytest.raises(ValueError, match=rf"these events: event .* lies outside the 34×34 sensor; .*{advice}"):
        guessed.predict(read_recording(path).events)


def test_frames_of_another_shape_are_refused_with_both_shapes(exported):
    with pytest.raises(ValueError, match=r"\[B, \(3, 2, 16, 16\)\], got \(1, 4, 2, 16, 16\)"):
        Classifier(exported).predict(np.zeros((4, 2, 16, 16), np.float32))


def test_files_that_are_no_models_are_refused(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="no model at"):
        Classifier(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "cut.onnx").write_bytes(exported.read_bytes()[:5000])
    for name in ("text", "cut"):
        with pytest.raises(ValueError, match=rf"{name}\.onnx cannot be loaded as an ONNX model.*deploy\.export"):
            Classifier(tmp_path / f"{name}.onnx")
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "bare.onnx")
    with pytest.raises(ValueError, match=r"bare\.onnx holds no description by evglif"):
        Classifier(tmp_path / "bare.onnx")


@pytest.mark.parametrize(
    ("change", "message"), [({"version": 9}, "version 9, this package reads 2"), ({"size": None}, "damaged")]
)
def test_a_description_that_cannot_be_read_is_refused(exported, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        Classifier(saying(exported, tmp_path / "other.onnx", **change))


def external(model, location):
    """A model whose first weights lie in another file, as ``onnx.save`` with external data writes it."""
    proto = onnx.load(model)
    tensor = next(tensor for tensor in proto.graph.initializer if tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return proto.SerializeToString()


@pytest.mark.parametrize("location", ["../../secret", "/etc/hostname", "weights.bin"])
def test_weights_in_other_files_are_refused_before_anything_is_loaded(exported, tmp_path, monkeypatch, location):
    (tmp_path / "model.onnx").write_bytes(external(exported, location))
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    with pytest.raises(ValueError, match=rf"keeps weights in another file \('{location}'\), which is not opened"):
        Classifier(tmp_path / "model.onnx")


def test_external_weights_are_found_wherever_a_tensor_can_be():
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="a")
    make = onnx.helper.make_node
    inner = onnx.helper.make_graph([make("Constant", [], ["c"], value=tensor)], "inner", [], [])
    branch = make("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    branch.attribute.add(name="sparse_value", sparse_tensor=onnx.SparseTensorProto(indices=tensor))
    function = onnx.helper.make_function("d", "f", [], ["c"], [make("Constant", [], ["c"], value=tensor)], [])
    sparse = onnx.SparseTensorProto(values=tensor)
    graph = onnx.helper.make_graph([branch], "g", [], [], [tensor], sparse_initializer=[sparse])
    model = onnx.helper.make_model(graph, functions=[function])
    assert external_files(memoryview(model.SerializeToString())) == ["a"] * 6
    nowhere = onnx.helper.make_graph([], "g", [], [], [onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)])
    assert external_files(memoryview(onnx.helper.make_model(nowhere).SerializeToString())) == ["?"]


def test_an_export_stands_alone(exported):
    assert external_files(memoryview(exported.read_bytes())) == []


def with_head(model, path, value):
    """A copy of a model whose last layer has one weight for all."""
    proto = onnx.load(model)
    head = next(tensor for tensor in proto.graph.initializer if len(tensor.dims) == 2)
    head.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(head.dims), value, np.float32), head.name))
    onnx.save(proto, path)
    return path


def test_a_model_that_answers_with_infinite_values_gives_no_answer(exported, recordings, tmp_path, capsys):
    huge = with_head(exported, tmp_path / "huge.onnx", 3e38)
    paths = [str(path) for path in sorted((recordings / "test").glob("*/0.aedat"))]
    assert main([str(huge), *paths, "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("the model answers with NaN or infinite values") == len(paths)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_by_name(exported, tmp_path, value):
    broken = with_head(exported, tmp_path / "broken.onnx", value)
    with pytest.raises(
        ValueError, match=r"broken\.onnx holds NaN or infinite weights \('constant_\d+'\); export it anew"
    ):
        Classifier(broken)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_refused(data):
    with contextlib.suppress(ValueError):
        assert isinstance(external_files(memoryview(data)), list)


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """Python of an environment into which nothing but the distribution for devices has been installed."""
    folder = tmp_path_factory.mktemp("device")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT / "scripts/evglif-runtime"]
    subprocess.run(build, check=True, timeout=120)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    install = [*pip, "--python", python, "install", "-c", ROOT / "constraints.txt", *folder.glob("*.whl")]
    installed = subprocess.run(install, check=False, capture_output=True, text=True, timeout=600)
    if installed.returncode and re.search(r"NewConnectionError|NameResolutionError|ConnectTimeout", installed.stderr):
        pytest.skip("no package index can be reached; run it where pip installs from one")
    assert installed.returncode == 0, installed.stderr
    return python


def test_a_device_needs_only_numpy_numba_h5py_and_onnxruntime(device, exported, recordings, tmp_path):
    """The light distribution classifies a recording and a stream, and reads a cache's frames."""
    stream = step_model(tmp_path / "step.onnx")
    recording = recordings / "test" / "left" / "0.aedat"
    code = (
        "import importlib.util, sys\n"
        "from deploy.infer import main\n"
        f"recording = {str(recording)!r}\n"
        f"status = main([{str(exported)!r}, recording]) or main([{str(stream)!r}, recording, '--stream'])\n"
        "found = [name for name in ('torch', 'evglif', 'onnx', 'scipy') if importlib.util.find_spec(name)]\n"
        "print(*found, file=sys.stderr)\n"
        "sys.exit(status)"
    )
    finished = subprocess.run([device, "-I", "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].startswith(f"{recording}: left")
    assert lines[-1].endswith("final")
    assert finished.stderr.splitlines()[-1] == ""


def test_a_device_knows_the_version_and_inspects(device, cache_path):
    for paths, shown in (([cache_path], "16 × 16"), ([cache_path] * 2, "40 samples of 2 classes")):
        inspect = [device.with_name("evglif-inspect"), *paths]
        finished = subprocess.run(inspect, capture_output=True, text=True, timeout=120, check=False)
        assert finished.returncode == 0, finished.stderr
        assert shown in finished.stdout
    code = "from preprocessing.cache import package_version; print(package_version())"
    version = subprocess.run([device, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert version.strip() == package_version()
