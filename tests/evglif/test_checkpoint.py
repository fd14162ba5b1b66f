import pickle
import resource
import zipfile
from contextlib import contextmanager

import pytest
import torch

from evglif import build_model, load_checkpoint, save_checkpoint
from evglif.checkpoint import DataSpec, read_checkpoint

DATA = DataSpec(("left", "right"), 1 / 36, (128, 128), {"slicing": "count"}, "f" * 64)


@pytest.fixture
def model():
    return build_model("7b-widenet", steps=2, size=(16, 16), width=4, num_classes=2, gates="101")


def test_a_model_comes_back_as_it_was(model, tmp_path):
    path = tmp_path / "run" / "best.pt"
    model.train()(torch.rand(2, 2, 2, 16, 16))
    save_checkpoint(path, model, DATA, {"epoch": 3})
    checkpoint = read_checkpoint(path)
    assert checkpoint.model.spec == model.spec
    assert (checkpoint.data, checkpoint.metrics) == (DATA, {"epoch": 3})
    assert not checkpoint.model.training
    frames = torch.rand(3, 2, 2, 16, 16)
    with torch.no_grad():
        assert torch.equal(load_checkpoint(path)(frames), model.eval()(frames))
    assert [entry.name for entry in path.parent.iterdir()] == ["best.pt"]


@contextmanager
def disk_of(num_bytes):
    """As if the disk took files of so many bytes only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_says_so(model, tmp_path):
    path = tmp_path / "best.pt"
    save_checkpoint(path, model, metrics={"epoch": 1})
    said = r"no room for the 0\.\d MB of .*best\.pt; .*best\.pt is still the one written before\. Make room"
    with disk_of(4096), pytest.raises(OSError, match=said):
        save_checkpoint(path, model, metrics={"epoch": 2})
    assert read_checkpoint(path).metrics == {"epoch": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.pt"]


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_a_hostile_pickle_does_not_run(tmp_path):
    target = tmp_path / "run-by-the-pickle"
    bare, packed = tmp_path / "bare.pt", tmp_path / "packed.pt"
    bare.write_bytes(pickle.dumps(Hostile(target)))
    torch.save({"format": "evglif-checkpoint", "version": 2, "spec": Hostile(target)}, packed)
    for path in (bare, packed):
        with pytest.raises(ValueError, match="not a checkpoint written by evglif, or it is damaged"):
            load_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(model, tmp_path, share):
    path = tmp_path / "cut.pt"
    save_checkpoint(path, model)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"cut\.pt is not a checkpoint"):
        load_checkpoint(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*train one with python -m evglif\.train"):
        load_checkpoint(tmp_path / "none.pt")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("hello")
    with zipfile.ZipFile(tmp_path / "archive.pt", "w") as archive:
        archive.writestr("a", "b")
    for name in ("other.pt", "text.pt", "archive.pt"):
        with pytest.raises(ValueError, match=f"{name} is not a checkpoint written by evglif"):
            load_checkpoint(tmp_path / name)


def test_weights_of_another_network_are_refused(model, tmp_path):
    path = tmp_path / "mixed.pt"
    save_checkpoint(path, model)
    content = torch.load(path, weights_only=True)
    content["spec"]["width"] = 8
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"mixed\.pt: this checkpoint cannot be used: .*size mismatch"):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(model, tmp_path, value):
    with torch.no_grad():
        model.head.weight[1, 0] = value
    save_checkpoint(tmp_path / "lost.pt", model)
    with pytest.raises(ValueError, match=r"lost\.pt.*1 of \d+ weights are NaN or infinite, the first is head\.weight"):
        load_checkpoint(tmp_path / "lost.pt")


def test_a_newer_version_is_refused(model, tmp_path):
    path = tmp_path / "new.pt"
    save_checkpoint(path, model)
    torch.save({**torch.load(path, weights_only=True), "version": 3}, path)
    with pytest.raises(ValueError, match="checkpoint version 3, this evglif reads version 2"):
        load_checkpoint(path)
