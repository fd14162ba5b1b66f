"""A run becomes a folder of weights with a card; names of weights stand wherever a checkpoint does."""

import json

import pytest

import deploy.export
import deploy.profile
import evglif.evaluate
from deploy.publish import main
from evglif.checkpoint import read_checkpoint
from evglif.pretrained import read_weights
from evglif.pretrained.folder import FILES, read_config
from evglif.provenance import digest


def test_a_run_becomes_a_folder_that_says_what_is_known(run, cache_path, tmp_path, capsys):
    out = tmp_path / "weights"
    assert main([str(run), "--out", str(out), "--data", str(cache_path), "--name", "me/net"]) == 0
    printed = capsys.readouterr().out
    results = json.loads((run / "results.json").read_text())
    card = (out / "README.md").read_text()
    assert {each.name for each in out.iterdir()} == set(FILES)
    assert digest(read_weights(out).model) == digest(read_checkpoint(run / "best.pt").model)
    best = results["best"]["test"]["accuracy"]
    assert f"| test accuracy, epoch of best validation ({results['best']['epoch']:.0f}) | {best:.2%}" in card
    assert "last epoch, other weights of the same run" in card
    assert "by which the epoch was chosen" in card
    assert "played no part in any choice" in card
    assert "µJ by the usual convention" in card
    assert 'from_pretrained("me/net")' in card
    assert "the licence of the data is not known" in printed
    assert [each.is_test for each in read_config(out).accuracies] == [True, False, True]


def test_the_last_weights_and_a_licence_can_be_asked_for(run, tmp_path):
    out = tmp_path / "weights"
    assert main([str(run), "--out", str(out), "--weights", "last", "--licence", "cc-by-4.0"]) == 0
    assert digest(read_weights(out).model) == digest(read_checkpoint(run / "last.pt").model)
    card = (out / "README.md").read_text()
    assert "license: cc-by-4.0" in card
    assert "the weights are those of the last epoch" in card
    assert "multiply-accumulates" not in card


@pytest.mark.parametrize(
    ("source", "said"),
    [("none", "no checkpoint at none"), (".", "results.json is missing: . holds no finished run")],
)
def test_what_is_no_run_is_told_and_leaves_nothing(source, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([source, "--out", "weights"]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"last": 3}', '{"last": {"test": {"accuracy": "x"}}}'])
def test_results_that_are_damaged_are_told(run, content, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for name in ("best.pt", "last.pt"):
        (tmp_path / "run" / name).write_bytes((run / name).read_bytes())
    (tmp_path / "run" / "results.json").write_text(content)
    assert main([str(tmp_path / "run"), "--out", str(tmp_path / "weights")]) == 1
    assert "results.json" in capsys.readouterr().err
    assert not (tmp_path / "weights").exists()


def test_commands_take_a_folder_where_they_take_a_checkpoint(run, cache_path, tmp_path, capsys):
    out = tmp_path / "weights"
    assert main([str(run), "--out", str(out)]) == 0
    assert evglif.evaluate.main([str(out), "--data", str(cache_path)]) == 0
    assert deploy.profile.main([str(out), "--data", str(cache_path)]) == 0
    assert deploy.export.main([str(out), "--format", "torchscript", "--budget", "1"]) == 0
    assert "no test accuracy" not in capsys.readouterr().out.lower()
    assert [each.name.split(".")[0] for each in out.glob("*.parity.json")] == ["model"]


def test_export_takes_a_name_of_the_zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert deploy.export.main(["zoo:digits-lif", "--format", "events", "--budget", "1"]) == 0
    assert (tmp_path / "digits-lif.events").exists()
