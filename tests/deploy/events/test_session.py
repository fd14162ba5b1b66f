"""A file of events where an ONNX file may stand: exported, classified, streamed and timed by the same commands."""

import json
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from deploy import bench, infer
from deploy.events.activity import activity
from deploy.events.engine import Engine
from deploy.events.file import read
from deploy.export import export, main, parity_path
from deploy.exporting.events.model import EventsModel
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import prepared
from deploy.measuring.contenders import cached_frames
from deploy.runtime import Classifier
from preprocessing.cache import FrameCache
from preprocessing.readers import read_recording
from tests.helpers import ROOT
from tests.helpers.checkpoints import lively, saved


@pytest.fixture(scope="module")
def model(run, cache_path, tmp_path_factory):
    """The trained model of left and right as a file of events."""
    return export(run / "best.pt", "events", tmp_path_factory.mktemp("models") / "sides.events", cache_path)[0]


def test_an_export_says_how_it_agrees(run, cache_path, model, tmp_path, capsys):
    report = json.loads(parity_path(model).read_text())
    assert report["agreement"] == 1
    assert set(report["flipped"]) == {each.out for each in read(model).plan.operations if getattr(each, "neuron", None)}
    assert max(report["flipped"].values()) < 1e-3
    out = tmp_path / "small.events"
    options = ["--format", "events", "--precision", "int8", "--out", str(out), "--data", str(cache_path)]
    assert main([str(run / "best.pt"), *options]) == 0
    assert f"next: python -m deploy.infer {out} RECORDING\n" in capsys.readouterr().out
    assert read(out).metadata.precision == "int8"
    assert out.stat().st_size < 0.8 * model.stat().st_size  # of so small a network, the header is half


def test_a_recording_gets_the_answer_of_the_onnx_file(exported, model, recordings):
    path = next(recordings.glob("test/*/*.aedat"))
    expected, found = Classifier(exported), Classifier(model, threads=1)
    assert found.classes == expected.classes
    np.testing.assert_allclose(found.predict(path), expected.predict(path), atol=1e-5)
    with pytest.raises(ValueError, match=r"takes frames .* got \(1, 9, 2, 16, 16\)"):
        found.predict(np.zeros((1, 9, 2, 16, 16), np.float32))
    with pytest.raises(ValueError, match="leave out the providers"):
        Classifier(model, providers=["CPUExecutionProvider"])


def test_a_stream_ends_where_the_whole_run_does(model, recordings):
    classifier = Classifier(model)
    recording = read_recording(next(recordings.glob("test/*/*.aedat")))
    each = len(recording.events) // 3
    stream = classifier.stream(f"events:{each}", max_disorder_us=0)
    updates = [update for part in np.array_split(recording.events, 7) for update in stream.feed(part)]
    updates += stream.finish()
    frames = np.stack([classifier.frames(recording.events[: 3 * each])[0]])
    assert [update.step for update in updates[:3]] == [1, 2, 3]
    assert updates[2].final
    np.testing.assert_allclose(updates[2].probabilities, classifier.predict(frames)[0], atol=1e-5)


def test_the_command_line_takes_it(model, recordings, capsys):
    path = next(recordings.glob("test/left/*.aedat"))
    assert infer.main([str(model), str(path), "--threads", "1"]) == 0
    assert re.search(r": left +\d", capsys.readouterr().out)
    assert infer.main([str(model), str(path), "--stream", "--slice", "events:200"]) == 0
    assert "step 3/3" in capsys.readouterr().out


def test_bench_puts_it_beside_onnxruntime_on_data(model, exported, run, cache_path, capsys):
    arguments = [str(exported), str(model), "--checkpoint", str(run / "best.pt"), "--against", "eager"]
    assert bench.main([*arguments, "--data", str(cache_path), "--batch", "2", "--repeats", "1"]) == 0
    printed = capsys.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()[1:4]] == ["eager", "onnxruntime", "events"]
    assert re.search(r"events: \d+\.\d% of the network's products have an active input", printed.err)
    assert "numba" in printed.out


def test_bench_tells_files_of_one_kind_by_their_names(tmp_path):
    names = [tmp_path / name for name in ("a.onnx", "b.onnx", "c.events")]
    assert list(bench.names_of(names)) == ["onnxruntime a.onnx", "onnxruntime b.onnx", "events"]


def test_frames_of_other_data_are_refused(cache_path):
    assert cached_frames(cache_path, 9, (3, 2, 16, 16)).shape == (9, 3, 2, 16, 16)
    with pytest.raises(ValueError, match=r"holds frames of \(3, 2, 16, 16\), the model takes \(4, 2, 8, 8\)"):
        cached_frames(cache_path, 1, (4, 2, 8, 8))


def test_activity_is_a_share_of_products(model, cache_path):
    engine = Engine(read(model))
    silent = np.zeros((1, 3, 2, 16, 16), np.float32)
    with FrameCache(cache_path) as cache:
        loud = cache.stored(np.arange(2)) * np.float32(cache.scale)
    assert 0 <= activity(engine, silent) < activity(engine, loud) < 1


def test_nothing_heavy_is_loaded(model, recordings):
    path = next(recordings.glob("test/*/*.aedat"))
    code = (
        "import sys\nfrom deploy.runtime import Classifier\n"
        f"Classifier({str(model)!r}).predict({str(path)!r})\n"
        "print(*[name for name in ('torch', 'onnxruntime', 'onnx', 'evglif') if name in sys.modules])"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert finished.stdout.split() == []


def test_memory_does_not_grow_with_the_number_of_runs(model):
    engine, frames = Engine(read(model), threads=1), np.ones((2, 3, 2, 16, 16), np.float32)
    engine.logits(frames)
    tracemalloc.start()
    for _ in range(5):
        engine.logits(frames)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 100_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "fp32 or int8"),
        ({"fold": False}, "leave out --exact"),
        ({"scan": True}, "only --format onnx has a Scan"),
    ],
)
def test_options_that_do_not_go_with_it(options, message):
    with pytest.raises(ValueError, match=message):
        ExportOptions("events", **options)


class _Odd(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x)


def test_an_operator_without_a_layer_is_refused_by_name():
    network = lively("7b-widenet", "glif")
    network.features[1].second.norm = _Odd()
    with pytest.raises(ValueError, match=r"features\.1\.second\.norm uses the operator aten\.sin\.default.*onnx"):
        EventsModel(prepared(network, True))


def test_a_twin_of_relus_has_nothing_for_int8(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "7b-widenet", "relu")
    path, parity = export(checkpoint, "events")
    assert parity.agreement == 1
    assert replace(read(path).metadata, parity={}).precision == "fp32"
    with pytest.raises(ValueError, match="no convolution of this network sees spikes"):
        export(checkpoint, ExportOptions("events", precision="int8"))
