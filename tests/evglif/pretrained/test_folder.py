"""A folder of weights: what is written is read again bit for bit, and whatever is wrong with one is told."""

import json
import shutil
from hashlib import sha256

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from evglif import build_model, from_pretrained, save_checkpoint, save_pretrained
from evglif.checkpoint import Checkpoint, DataSpec
from evglif.pretrained import file_beside, read_weights
from evglif.pretrained.folder import CONFIG, FILES, LEARNT_FROM, WEIGHTS
from evglif.provenance import Origin, Seen, digest

DATA = DataSpec(("left", "right"), 1 / 36, (128, 128), {"slicing": "count", "dataset": "nmnist"}, "f" * 64)
SEEN = Seen(*(np.arange(3) + shift for shift in (-3, 0, 5)))
ORIGIN = Origin("runs/a/best.pt", "0" * 64, "7b-widenet", "glif", "", knows_samples=True)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=2, num_classes=2, gates="101")
    model.train()(torch.rand(2, 2, 2, 16, 16))
    return model.eval()


@pytest.fixture
def folder(model, tmp_path):
    save_pretrained(Checkpoint(model, DATA, {"epoch": 3, "validation_accuracy": 0.5}, SEEN, (ORIGIN,)), tmp_path / "w")
    return tmp_path / "w"


def test_what_is_written_comes_back_bit_for_bit(model, folder):
    assert {each.name for each in folder.iterdir()} == set(FILES)
    found = read_weights(folder)
    assert found.model.spec == model.spec
    assert not found.model.training
    assert digest(found.model) == digest(model) == digest(from_pretrained(folder))
    assert (found.data, found.metrics["epoch"], found.origins) == (DATA, 3, (ORIGIN,))
    assert all(np.array_equal(vars(found.seen)[name], values) for name, values in vars(SEEN).items())


def test_a_plain_network_is_written_and_read_by_safetensors_alone(model, tmp_path):
    save_pretrained(model, tmp_path / "w")
    weights = load_file(tmp_path / "w" / WEIGHTS)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not (tmp_path / "w" / LEARNT_FROM).exists()
    assert read_weights(tmp_path / "w").data is None


def test_writing_again_leaves_no_file_of_before(model, folder):
    (folder / "notes.txt").write_text("mine")
    save_pretrained(model, folder)
    assert {each.name for each in folder.iterdir()} == {*FILES, "notes.txt"} - {LEARNT_FROM}
    assert read_weights(folder).seen is None


def test_nothing_of_others_is_replaced(model, tmp_path):
    (tmp_path / CONFIG).write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="of something else than evglif's weights"):
        save_pretrained(model, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; give a folder"):
        save_pretrained(model, tmp_path / "file")
    assert {each.name for each in tmp_path.iterdir()} == {CONFIG, "file"}


def test_a_full_disk_leaves_the_folder_as_it_was(model, folder):
    from tests.evglif.test_checkpoint import disk_of

    before = {each.name: each.read_bytes() for each in folder.iterdir()}
    with disk_of(4096), pytest.raises(OSError, match=r"no room for .*model\.safetensors"):
        save_pretrained(model, folder)
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == before


def change(folder, **values):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **values}))


def with_weights(folder, change_them):
    """Write other weights, under their own sum: as somebody would who made the folder by hand."""
    weights = load_file(folder / WEIGHTS)
    change_them(weights)
    save_file(weights, folder / WEIGHTS)
    files = json.loads((folder / CONFIG).read_text())["files"]
    change(folder, files={**files, WEIGHTS: sha256((folder / WEIGHTS).read_bytes()).hexdigest()})


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_weights_cut_short_are_told_by_their_sum(folder, share):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"model\.safetensors has the SHA-256 .*cut short or changed"):
        from_pretrained(folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x80\0\0\0\0\0\0\0{}", b"PK\x03\x04" + bytes(200)])
def test_what_is_no_safetensors_file_is_told_where_its_sum_holds(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    files = json.loads((folder / CONFIG).read_text())["files"]
    change(folder, files={**files, WEIGHTS: sha256(content).hexdigest()})
    with pytest.raises(ValueError, match=r"model\.safetensors: it is no safetensors file, or is (cut short|damaged)"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("head.weight", torch.full((2, 4), float("nan")), r"1 of \d+ weights are NaN .*head\.weight"),
        ("head.weight", torch.zeros(3, 4), r"size mismatch: head\.weight is \[3, 4\], expected \[2, 4\]"),
        ("head.weight", torch.zeros(2, 4, dtype=torch.int32), r"head\.weight is of torch\.int32"),
        ("head.weight", None, r"head\.weight is missing"),
        ("another", torch.zeros(1), r"'another' is not in the network"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder, name, value, said):
    with_weights(folder, lambda weights: weights.pop(name) if value is None else weights.update({name: value}))
    with pytest.raises(ValueError, match=rf"these weights cannot be used: .*{said}"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"format": "transformers"}, "it is of the format 'transformers'"),
        ({"version": 2}, "version 2; this evglif reads evglif-pretrained version 1"),
        ({"extra": 1}, "'extra' is unknown"),
        ({"files": {"model.pt": "0"}}, r"files are \['model\.pt'\]; expected model\.safetensors"),
        ({"files": {WEIGHTS: "0", "../x": "0"}}, "files are"),
        ({"spec": {"name": "vgg"}}, "unknown model 'vgg'"),
        ({"spec": {"name": "cifarnet", "num_classes": 2}}, "weights: .* is missing"),
        ({"spec": {"name": "7b-widenet", "width": 10**9}}, "spec.width is 1000000000"),
        ({"data": {"classes": ["a"]}}, "data: scale is missing"),
        ({"accuracies": [{"name": "a"}]}, "accuracies"),
    ],
)
def test_a_config_of_something_else_is_told_by_its_field(folder, values, said):
    change(folder, **values)
    with pytest.raises(ValueError, match=said):
        from_pretrained(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_is_no_json_is_told(folder, content):
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json is not what evglif writes beside weights"):
        from_pretrained(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, LEARNT_FROM])
def test_a_file_that_is_missing_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} is missing; a folder of weights holds config\.json"):
        from_pretrained(folder)


def test_classes_of_another_number_are_refused(folder):
    data = json.loads((folder / CONFIG).read_text())["data"]
    change(folder, data={**data, "classes": ["a", "b", "c"]})
    with pytest.raises(ValueError, match="data: 3 classes, but 2 in spec"):
        from_pretrained(folder)


def test_the_card_states_terms_and_claims_nothing_unknown(folder, model, tmp_path):
    head = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    text = (folder / "README.md").read_text()
    assert (head["license"], head["library_name"]) == ("cc-by-sa-4.0", "evglif")
    assert "CC BY-SA 3.0" in text
    assert "runs/a/best.pt" in text.replace("\\", "")
    assert "test accuracy" not in text
    save_pretrained(model, tmp_path / "plain")
    plain = (tmp_path / "plain" / "README.md").read_text()
    assert "license: other" in plain
    assert "The licence of the data is not known" in plain
    assert "None is known" in plain


def test_names_cannot_write_into_the_card(model, tmp_path):
    data = DataSpec(("<script>", "a\n---\nlicense: mit"), 1.0, (4, 4), {"dataset": "x: [\n# y"}, "f")
    save_pretrained(Checkpoint(model, data, {}), tmp_path / "w")
    text = (tmp_path / "w" / "README.md").read_text()
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))["datasets"] == ["x: [\n# y"]
    assert "\\<script\\>" in text
    assert "\nlicense: mit" not in text


def test_sources_are_told_apart(model, folder, tmp_path):
    save_checkpoint(tmp_path / "last.pt", model)
    assert digest(read_weights(tmp_path / "last.pt").model) == digest(model)
    with pytest.raises(ValueError, match="is the folder of a run; name its weights"):
        read_weights(tmp_path)
    with pytest.raises(ValueError, match="the zoo has no weights 'none'"):
        read_weights("zoo:none")
    with pytest.raises(ValueError, match="is no repository of a hub; expected owner/name"):
        read_weights("hub:nobody")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        read_weights(tmp_path / "none.pt")
    shutil.rmtree(folder)
    assert file_beside("zoo:digits-glif", ".onnx").name == "digits-glif.onnx"
    assert file_beside("hub:me/net@v1", ".onnx").name == "net.onnx"
    assert file_beside(tmp_path, ".onnx") == tmp_path / "model.onnx"
    assert file_beside(tmp_path / "best.pt", ".nir") == tmp_path / "best.nir"
