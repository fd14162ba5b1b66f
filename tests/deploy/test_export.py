import json
import os
import pickle
import re
import resource
import shlex
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import deploy.exporting.export
import deploy.infer
from deploy.export import export, main, parity_path
from deploy.exporting.formats import FORMATS
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import example_frames, freeze, prepared, weights_sha256
from deploy.running.metadata import EXTRA_FILE, KEY, ModelMetadata
from evglif.checkpoint import read_checkpoint
from evglif.evaluation.statistics import wilson_interval
from evglif.neurons import NEURONS
from preprocessing.cache import FrameCache
from tests.helpers import ROOT
from tests.helpers.checkpoints import NARROW, lively, saved

MATRIX = [
    ("7b-widenet", "glif", "onnx", {}),
    ("7b-widenet", "relu", "onnx-step", {}),
    ("7b-widenet", "plif", "onnx-step", {"v_reset": -0.5, "connect": "iand"}),
    ("cifarnet", "if", "torchscript", {"mean": (0.2, 0.3, 0.4), "std": (0.5, 0.6, 0.7)}),
    ("cifarnet", "simplex-010", "onnx", {"sharing": "layer", "steps": 1}),
    ("resnet18", "glif-f", "onnx", {}),
    ("ms-resnet18", "glif", "torchscript", {}),
    ("resnet19", "glif", "onnx-step", {}),
    ("plif-mnist", "plif", "onnx", {"encoder": "latency"}),
    ("plif-mnist", "glif", "onnx-step", {"encoder": "latency"}),
    ("plif-mnist", "lif", "pt2", {"steps": 2}),
    ("qkformer", "glif", "onnx", {}),
    ("qkformer", "plif", "onnx-step", {"steps": 2}),
    ("qkformer", "lif", "torchscript", {"size": (9, 18)}),
    ("vggsnn", "lif", "events", {}),
]
"""Every format, kind of block, encoder and way to reset; the whole matrix is exhaustive."""


def agree(tmp_path, name, neuron, options, **model):
    """Export a narrow network; the file gives the checkpoint's logits at batch sizes it was not made with."""
    checkpoint = saved(tmp_path / "model.pt", name, neuron, **model)
    path, parity = export(checkpoint, options)
    assert parity.agreement == 1
    assert max(parity.flipped.values(), default=0) < 1e-3
    reference = read_checkpoint(checkpoint).model
    assert len(parity.flipped) == (0 if neuron == "relu" else sum(1 for _ in _neurons(reference)))
    run = FORMATS[options.format].open(path)
    for batch in (1, 5):
        frames = example_frames(reference, batch)
        with torch.no_grad():
            expected = reference(frames).numpy()
        scale = max(1.0, float(np.abs(expected).max()))  # heads of networks that fire much give logits of some tens
        assert np.median(np.abs(run(frames.numpy()) - expected)) < 1e-5 * scale
        assert batch == 1 or np.ptp(expected, axis=0).max() > 1e-2


def _neurons(model):
    return (module for module in model.modules() if hasattr(module, "coefficients"))


@pytest.mark.parametrize(("name", "neuron", "format", "model"), MATRIX, ids=str)
def test_exports_agree_with_their_checkpoint_at_any_batch_size(tmp_path, name, neuron, format, model):
    agree(tmp_path, name, neuron, ExportOptions(format), **model)


@pytest.mark.exhaustive
@pytest.mark.parametrize("format", ["onnx", "onnx-step", "torchscript", "pt2"])
@pytest.mark.parametrize("name", NARROW)
def test_every_network_in_every_format(tmp_path, name, format):
    for neuron in ("glif", "plif", "relu"):
        agree(tmp_path, name, neuron, ExportOptions(format))


@pytest.mark.exhaustive
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron(tmp_path, neuron):
    for format in ("onnx", "onnx-step", "torchscript"):
        agree(tmp_path, "7b-widenet", neuron, ExportOptions(format))


@pytest.mark.parametrize(
    ("format", "message"),
    [
        (
            "events",
            r"features.1: a pooling of \[3, 3\] pixels has a stride of \[2, 2\], which the format events does not",
        ),
        ("nir", r"features.1 uses the operator aten.max_pool2d.default, for which NIR has no node; export to onnx"),
    ],
)
def test_what_holds_no_overlapping_pools_refuses_qkformer_by_the_layer(tmp_path, format, message):
    if format == "nir":
        pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
    with pytest.raises(ValueError, match=message):
        export(saved(tmp_path / "model.pt", "qkformer", "lif"), ExportOptions(format))
    assert not list(tmp_path.glob(f"*.{format}"))


def test_kept_norms_give_the_same_class_too(tmp_path):
    agree(tmp_path, "cifarnet", "glif", ExportOptions("onnx", fold=False))
    metadata = ModelMetadata.from_json(description(tmp_path / "model.onnx"), "model.onnx")
    assert metadata.batch_norm == "kept"
    operators = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert operators.count("BatchNormalization") == 5


def description(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}[KEY]


def test_plain_norms_are_those_of_tdbn_bit_for_bit():
    model = lively("resnet18", "glif")
    frames = example_frames(model, 2)
    with torch.no_grad():
        assert torch.equal(prepared(model, fold=False)(frames), model(frames))
        torch.testing.assert_close(prepared(model, fold=True)(frames), model(frames), atol=0.1, rtol=0)
    assert not any("running_mean" in name and "shortcut" not in name for name in prepared(model, True).state_dict())


def test_the_file_says_what_a_raw_recording_needs(exported, cache_path, run):
    metadata = ModelMetadata.from_json(description(exported), "model.onnx")
    with FrameCache(cache_path) as cache:
        assert (metadata.classes, metadata.scale, metadata.sensor) == (cache.classes, cache.scale, cache.sensor)
        assert (metadata.sensor_from, metadata.sensor_of) == (cache.sensor_from, cache.sensor_of)
        assert cache.sensor_from == "file"
        assert metadata.preprocessing == cache.config
    assert (metadata.steps, metadata.size, metadata.channels) == (3, (16, 16), ("OFF", "ON"))
    assert (metadata.form, metadata.states, metadata.precision) == ("unrolled", (), "fp32")
    assert metadata.versions["torch"] == version("torch")
    assert metadata.weights_sha256 == weights_sha256(read_checkpoint(run / "best.pt").model)
    assert metadata.parity["num_samples"] == 8
    frames = onnx.load(exported).graph.input[0]
    assert frames.name == "frames"
    assert frames.type.tensor_type.shape.dim[0].dim_param == "batch"


def test_the_report_compares_accuracy_on_the_whole_test_split(exported, cache_path):
    report = json.loads(parity_path(exported).read_text())
    assert report["samples"] == f"test split of {cache_path.name}"
    assert report["accuracy"] == report["checkpoint_accuracy"] > 0.7
    assert set(report["flipped"].values()) == {0.0}
    assert len(report["flipped"]) == 16


@pytest.mark.parametrize("format", ["torchscript", "pt2"])
def test_torchs_formats_carry_the_same_description(tmp_path, format):
    path, _ = export(saved(tmp_path / "model.pt", "plif-mnist", "plif", steps=2), format)
    extra = {EXTRA_FILE: ""}
    if format == "pt2":
        torch.export.load(path, extra_files=extra)
    else:
        with pytest.warns(DeprecationWarning, match="torch.jit"):
            torch.jit.load(path, _extra_files=extra)
    assert ModelMetadata.from_json(extra[EXTRA_FILE], path.name).model["name"] == "plif-mnist"


@pytest.mark.parametrize("format", ["onnx", "onnx-step"])
def test_no_folder_or_user_of_this_machine_is_in_the_file(run, cache_path, tmp_path, format, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, _ = export(run / "best.pt", format, tmp_path / "model.onnx", cache_path)
    content = path.read_bytes()
    here = (Path.home(), Path.cwd(), tmp_path, run, ROOT)
    for secret in (*map(str, here), f"/{Path.home().name}", "site-packages", "deploy/", "evglif/"):
        assert secret.encode() not in content


def test_size_is_near_that_of_the_weights(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "cifarnet", "glif", width=32)
    model, (path, _) = read_checkpoint(checkpoint).model, export(checkpoint)
    weights = sum(value.numel() * 4 for value in model.state_dict().values())
    assert path.stat().st_size < 1.2 * weights


def test_disagreement_fails_and_writes_nothing(run, tmp_path, monkeypatch):
    def open_broken(_):
        return lambda frames: np.tile(np.float32([0, 1]), (len(frames), 1)) * (-1) ** np.arange(len(frames))[:, None]

    monkeypatch.setitem(deploy.exporting.export.FORMATS, "onnx", replace(FORMATS["onnx"], open=open_broken))
    with pytest.raises(ValueError, match=r"does not agree with the checkpoint: same class on .*nothing was written"):
        export(run / "best.pt", out=tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def mostly_right(num_wrong):
    """What opens a file so that it says another class for so many of the samples."""
    left, open_onnx = [num_wrong], FORMATS["onnx"].open

    def opened(path):
        run = open_onnx(path)

        def mistaken(frames):
            logits = run(frames)
            wrong = min(left[0], len(frames))
            left[0] -= wrong
            return np.concatenate([-logits[:wrong], logits[wrong:]])

        return mistaken

    return opened


@pytest.mark.parametrize(
    ("num_wrong", "bound", "written"),
    [(2, 0.99, True), (2, 0.995, False), (4, 0.99, False), (4, 0.95, True), (0, 1.0, True), (1, 1.0, False)],
)
def test_a_file_is_refused_where_the_interval_of_its_agreement_is_below_the_bound(
    run, tmp_path, num_wrong, bound, written, monkeypatch, capsys
):
    """Of 64 samples: 62 right is 89.3 % to 99.1 %, 60 right is 85.0 % to 97.5 %, and 63 right is below 99.8 %."""
    out = tmp_path / "model.onnx"
    monkeypatch.setitem(deploy.exporting.export.FORMATS, "onnx", replace(FORMATS["onnx"], open=mostly_right(num_wrong)))
    code = main([str(run / "best.pt"), "--out", str(out), "--bound", str(bound)])
    printed = capsys.readouterr()
    assert (code, out.exists(), parity_path(out).exists()) == (0 if written else 1, written, written)
    if written:
        report = json.loads(parity_path(out).read_text())
        assert (report["agreement"], report["bound"]) == (1 - num_wrong / 64, bound)
        assert report["agreement_interval_95"] == pytest.approx(wilson_interval(64 - num_wrong, 64))
        assert ("WARNING" in printed.err) == (report["agreement"] < bound)
    else:
        assert "--bound SHARE asks for less" in printed.err


@pytest.mark.parametrize("bound", [-0.1, 1.1, float("nan")])
def test_a_bound_is_a_share(bound):
    with pytest.raises(ValueError, match="a share of samples from 0 to 1"):
        ExportOptions(bound=bound)


def test_every_exported_file_has_a_report_of_its_own(run, tmp_path):
    for format, suffix in (("onnx", ".onnx"), ("onnx-step", ".step.onnx"), ("torchscript", ".ts")):
        path, _ = export(run / "best.pt", format, tmp_path / f"model{suffix}")
        report = json.loads((tmp_path / f"model{suffix}.parity.json").read_text())
        assert (report["model"], report["options"]["format"]) == (path.name, format)
    assert len(list(tmp_path.glob("*.parity.json"))) == 3


def test_a_folder_is_no_file_to_write(run, tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; name the file to write, such as .*model\.onnx"):
        export(run / "best.pt", out=tmp_path)
    assert not list(tmp_path.iterdir())


@contextmanager
def room_for(num_bytes):
    """No file can grow beyond so many bytes; to a program it looks as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, format, capsys):
    if format == "nir":
        pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
    checkpoint = saved(tmp_path / "model.pt", "cifarnet", "lif", steps=2)
    out = tmp_path / "out" / "model"
    out.parent.mkdir()
    out.write_text("of yesterday")
    arguments = [str(checkpoint), "--format", format, "--out", str(out)]
    with room_for(4096):
        assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"error: .*/out/model: cannot be written \(File too large\): make room, .*", line)
    assert {path.name: path.read_text() for path in out.parent.iterdir()} == {"model": "of yesterday"}


def test_an_export_that_is_interrupted_writes_nothing(run, tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy.exporting.export, "_verify", interrupted)
    assert main([str(run / "best.pt"), "--out", str(tmp_path / "model.onnx")]) == 130
    assert capsys.readouterr().err == "interrupted: nothing was written\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.parity.json"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_pipe_is_no_file_to_write(run, tmp_path, name, format):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{re.escape(name)} is a device, pipe or socket"):
        export(run / "best.pt", format, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_is_doubtful_about_a_cache_is_told_and_the_checkpoint_read_once(
    run, cache_path, tmp_path, capsys, monkeypatch
):
    read, num_read = deploy.exporting.export.read_weights, []
    monkeypatch.setattr(deploy.exporting.export, "read_weights", lambda path: num_read.append(path) or read(path))
    monkeypatch.setattr(
        deploy.exporting.export, "check_checkpoint", lambda cache, *_: [f"{Path(cache.path).name} is doubtful"]
    )
    assert main([str(run / "best.pt"), "--data", str(cache_path), "--out", str(tmp_path / "model.onnx")]) == 0
    assert capsys.readouterr().err == "WARNING: sides.h5 is doubtful\n"
    assert len(num_read) == 1


def test_data_that_do_not_fit_are_refused_with_both_numbers(cache_path, tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "7b-widenet", "glif", steps=5, num_classes=2, size=(16, 16))
    with pytest.raises(ValueError, match=r"time steps T: the model has 5, the data in .* have 3"):
        export(checkpoint, data=cache_path)


def test_random_spikes_are_refused_with_the_reason(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "plif-mnist", "plif", encoder="poisson")
    with pytest.raises(ValueError, match=r"random spikes .*encoder poisson"):
        export(checkpoint)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


class Hostile:
    """A pickle that makes a folder where it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_a_hostile_checkpoint_runs_no_code(tmp_path):
    trap = tmp_path / "trap"
    torch.save({"format": "evglif-checkpoint", "weights": Hostile(trap)}, tmp_path / "torch.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Hostile(trap)))
    for name in ("torch.pt", "plain.pt"):
        with pytest.raises(ValueError, match="is not a checkpoint written by evglif, or it is damaged"):
            export(tmp_path / name, out=tmp_path / "model.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.pt", "torch.pt"]


@pytest.mark.parametrize("form", ["onnx-step", "events"])
def test_the_next_command_is_whole(run, recordings, tmp_path, form, capsys):
    """With what a stream is cut by, which these training data do not say, and whatever the file is called."""
    out = tmp_path / f"my model.{form}"
    assert main([str(run / "best.pt"), "--format", form, "--out", str(out), "--budget", "1"]) == 0
    said = capsys.readouterr().out.rpartition("next: python -m deploy.infer ")[2]
    words = shlex.split(said.replace("RECORDING", shlex.quote(str(recordings / "test" / "left" / "0.aedat"))))
    assert words[0] == str(out)
    assert words[2:] == (["--stream", "--slicing", "50ms"] if form == "onnx-step" else [])
    assert deploy.infer.main(words) == 0


def test_the_command(run, cache_path, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert main([str(run / "best.pt"), "--data", str(cache_path), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"model\.onnx: \d\.\d\d MB, same class on 100\.0% of 8 samples", printed)
    assert f"next: python -m deploy.infer {out} RECORDING" in printed
    assert main([str(tmp_path / "none.pt")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "cut.pt").write_bytes((run / "best.pt").read_bytes()[:-2000])
    for name in ("text.pt", "cut.pt"):
        assert main([str(tmp_path / name)]) == 1
        assert "not a checkpoint written by evglif, or it is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "tflite"}, "unknown format 'tflite'; choose one of onnx, onnx-step, torchscript, pt2, nir"),
        ({"precision": "int4"}, "unknown precision 'int4'"),
        ({"opset": 9}, "opset 9: choose one from 18 to"),
        ({"opset": 20, "compat": True}, "onnxruntime 1.16 loads opset 18, not 20"),
        ({"format": "pt2", "precision": "fp16"}, "pt2 files hold fp32"),
        ({"format": "onnx-step", "scan": True}, "only --format onnx has a Scan"),
        ({"precision": "int8"}, "add --calibration"),
        ({"format": "nir", "fold": False}, "leave out --exact"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExportOptions(**options)


def test_exporting_leaves_the_model_as_it_was():
    model = lively("resnet18", "glif")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freeze(prepared(model, fold=True), as_operator=True)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("budget", ["soon", "nan", "-1", "1e30"])
def test_a_budget_that_is_no_time_is_refused(budget, capsys):
    with pytest.raises(SystemExit):
        main(["best.pt", f"--budget={budget}"])
    assert (
        f"--budget: expected seconds above 0 and up to 604800, such as 0.5, got '{budget}'" in capsys.readouterr().err
    )
