import re

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from deploy.export import FORMATS, export, main
from deploy.metadata import KEY, ModelMetadata
from deploy.prepare import FrozenNeuron, freeze
from deploy.torchscript import EXTRA_FILE, torchscript_session
from evglif import build_model, save_checkpoint
from evglif.neurons import PLIF
from preprocessing.cache import FrameCache


def save_model(path, neuron="glif", **options):
    """A checkpoint whose batch norms have seen data, so that neurons fire in every layer."""
    torch.manual_seed(0)
    model = build_model("7b-widenet", neuron, **{"steps": 3, "size": (16, 16), "width": 4, "num_classes": 3, **options})
    with torch.no_grad():
        for _ in range(20):
            model(torch.poisson(torch.full((4, *input_shape(model)), 1.0)))
    save_checkpoint(path, model)
    return model.eval()


def input_shape(model):
    spec = model.spec
    return spec.steps, spec.in_channels, spec.size[1], spec.size[0]


CASES = {
    "glif": {"init": "cifar"},
    "layer-wise simplex of one step": {"steps": 1, "sharing": "layer", "gates": "010", "init": "cifar"},
    "plif": {"neuron": "plif", "v_th": 0.2},
    "lif, tdbn, not square": {"neuron": "lif", "v_th": 0.5, "norm": "tdbn", "size": (24, 16)},
}


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_exported_models_agree_at_any_batch_size(tmp_path, format, options):
    model = save_model(tmp_path / "model.pt", **options)
    path, parity = export(tmp_path / "model.pt", format)
    assert (parity.agreement, parity.num_samples) == (1.0, 64)
    assert parity.max_difference < 1e-4
    if format == "onnx":
        session = onnxruntime.InferenceSession(path)
        run = lambda frames: session.run(["logits"], {"frames": frames})[0]  # noqa: E731
    else:
        run = torchscript_session(path)
    for batch in (1, 5):
        frames = torch.poisson(torch.full((batch, *input_shape(model)), 1.0))
        with torch.no_grad():
            expected = model(frames).numpy()
        np.testing.assert_allclose(run(frames.numpy()), expected, atol=1e-4)
        assert batch == 1 or np.ptp(expected, axis=0).max() > 1e-3


def test_plif_starts_from_its_reset_voltage():
    neuron, current = PLIF(v_reset=-0.5), torch.randn(4, 2, 3, 5)
    for as_operator in (True, False):
        assert torch.equal(FrozenNeuron(neuron, as_operator)(current), neuron(current))


def test_the_file_says_what_a_raw_recording_needs(exported, cache_path):
    proto = onnx.load(exported)
    text = {entry.key: entry.value for entry in proto.metadata_props}[KEY]
    metadata = ModelMetadata.from_json(text, "model.onnx")
    with FrameCache(cache_path) as cache:
        assert (metadata.classes, metadata.scale, metadata.sensor) == (cache.classes, cache.scale, cache.sensor)
        assert metadata.preprocessing == cache.config
    assert (metadata.steps, metadata.size) == (3, (16, 16))
    assert metadata.versions["torch"] == torch.__version__
    frames = proto.graph.input[0]
    assert frames.name == "frames"
    assert frames.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.filterwarnings("ignore:.*torch.jit.load.*:DeprecationWarning")
def test_torchscript_carries_the_same_description(run, tmp_path):
    path, _ = export(run / "best.pt", "torchscript", tmp_path / "model.ts")
    extra = {EXTRA_FILE: ""}
    torch.jit.load(path, _extra_files=extra)
    assert ModelMetadata.from_json(extra[EXTRA_FILE], "model.ts").classes == ("left", "right")


def test_no_folder_or_user_of_this_machine_is_in_the_file(exported):
    content = exported.read_bytes()
    for secret in (str(exported.parent), "site-packages", "/home", "/root", "deploy/", "evglif/"):
        assert secret.encode() not in content


def test_size_is_near_that_of_the_weights(tmp_path):
    model = save_model(tmp_path / "model.pt", width=32)
    path, _ = export(tmp_path / "model.pt")
    weights = sum(value.numel() * 4 for value in model.state_dict().values())
    assert path.stat().st_size < 1.2 * weights


def test_disagreement_fails_and_writes_nothing(run, tmp_path, monkeypatch):
    def write(_, path):
        path.write_bytes(b"a model")

    def broken_session(_):
        return lambda frames: np.tile(np.float32([0, 1]), (len(frames), 1)) * (-1) ** np.arange(len(frames))[:, None]

    monkeypatch.setitem(FORMATS, "onnx", (".onnx", write, broken_session))
    with pytest.raises(ValueError, match="does not agree with"):
        export(run / "best.pt", out=tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_data_that_do_not_fit_are_refused_with_both_numbers(cache_path, tmp_path):
    save_model(tmp_path / "model.pt", steps=5, num_classes=2)
    with pytest.raises(ValueError, match=r"time steps T: the model has 5, the data in .* have 3"):
        export(tmp_path / "model.pt", data=cache_path)


def test_the_command(run, cache_path, tmp_path, capsys):
    out = tmp_path / "model.onnx"
    assert main([str(run / "best.pt"), "--data", str(cache_path), "--out", str(out)]) == 0
    assert re.search(r"model\.onnx: \d\.\d\d MB, same class on 100\.0% of 8 samples", capsys.readouterr().out)
    assert main([str(tmp_path / "none.pt")]) == 1
    assert "no checkpoint at" in capsys.readouterr().err
    (tmp_path / "text.pt").write_text("hello")
    assert main([str(tmp_path / "text.pt")]) == 1
    assert "not a checkpoint written by evglif" in capsys.readouterr().err


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    model = save_model(tmp_path / "model.pt", init="cifar")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    freeze(model, as_operator=True)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
