import json

import pytest

from evglif.recipe import to_yaml
from evglif.train import main as train
from tests.helpers.spots import small_recipe


def test_a_run_of_each_seed_and_their_mean(cache_path, tmp_path, capsys):
    (tmp_path / "small.yaml").write_text(to_yaml(small_recipe(epochs=2)))
    words = ["--recipe", str(tmp_path / "small.yaml"), "--data", str(cache_path), "--out", str(tmp_path / "runs")]
    assert train([*words, "--seeds", "1", "4"]) == 0
    printed = capsys.readouterr().out
    results = [json.loads((tmp_path / "runs" / f"seed-{seed}" / "results.json").read_text()) for seed in (1, 4)]
    assert [each["recipe"]["seed"] for each in results] == [1, 4]
    mean = sum(each["best"]["test"]["accuracy"] for each in results) / 2
    assert f"test accuracy, epoch of best validation: {100 * mean:.2f} ±" in printed
    assert "(2 seeds)" in printed
    weights = tmp_path / "runs" / "seed-1" / "last.pt"
    before = weights.stat().st_mtime_ns
    assert train([*words, "--seeds", "1", "4"]) == 0
    assert weights.stat().st_mtime_ns == before


@pytest.mark.parametrize("seeds", [["1", "1"], ["-1"]])
def test_seeds_differ(cache_path, tmp_path, capsys, seeds):
    assert train(["--recipe", "digits", "--data", str(cache_path), "--out", str(tmp_path / "runs"), "--seeds", *seeds])
    assert "expected different ones from 0" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
