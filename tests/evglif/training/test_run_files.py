"""The files of a run, where they are read again: what no run writes is refused by file, field and value."""

import json

import numpy as np
import pytest
import torch

from evglif.checkpoint import DataSpec
from evglif.recipe import read_recipe, to_yaml
from evglif.results import RESULTS
from evglif.tensor_files import load_tensors, save_tensors
from evglif.train import train
from evglif.training.run import FORMAT, STATE, VERSION
from preprocessing.plain import json_text, parse_json
from tests.helpers.spots import small_recipe
from tests.test_damaged_files import EPOCH, results, run_in, state


def changed(path, *keys, value):
    content = json.loads(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("data",), 7, "data is 7; expected str"),
        (("last",), None, "last is None"),
        (("last",), [1], r"last is \[1\]; expected dict"),
        (("recipe",), "digits", "recipe is 'digits'; expected dict"),
        (("training_seconds",), float("nan"), "'NaN' is no number of JSON"),
        (("last", "test", "accuracy"), "good", r"last\.test\.accuracy is 'good'; expected float"),
        (
            ("last", "test", "confusion"),
            [[4]],
            r"last\.test\.confusion is \[\[4\]\]; expected the counts of 4 samples by",
        ),
        (("last", "test", "confusion"), [[1, 1], [1, -1]], r"last\.test\.confusion is"),
        (("last", "test", "confusion"), [[1, 1], ["x", 1]], r"last\.test\.confusion\[1\]\[0\] is 'x'; expected int"),
    ],
)
def test_results_that_no_run_writes_are_refused(tmp_path, keys, value, said):
    changed(results(tmp_path), *keys, value=value)
    with pytest.raises(ValueError, match=rf"results\.json is not what a run writes: {said}.*remove it, and the same"):
        run_in(tmp_path).results()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"data": "x"', "[" * 5000 + "]" * 5000, "\xff"])
def test_results_that_are_cut_short_or_no_json_are_refused(tmp_path, text):
    (tmp_path / RESULTS).write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"results\.json is not what a run writes"):
        run_in(tmp_path).results()


def test_results_that_were_removed_are_found_again(run, cache_path, tmp_path):
    for name in ("state.pt", "best.pt", "last.pt", "metrics.csv", "recipe.yaml", RESULTS):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / RESULTS).write_text("{")
    with pytest.raises(ValueError, match="remove it, and the same command evaluates the finished run again"):
        train(small_recipe(), cache_path, tmp_path, progress=False)
    (tmp_path / RESULTS).unlink()
    found = train(small_recipe(), cache_path, tmp_path, progress=False)
    assert found["last"]["test"]["confusion"] == json.loads((run / RESULTS).read_text())["last"]["test"]["confusion"]


def test_a_figure_that_is_not_finite_is_null_in_json(tmp_path):
    run_in(tmp_path).finish({"loss": float("inf"), "rows": [(1, float("nan"))]})
    assert json.loads((tmp_path / RESULTS).read_text(), parse_constant=pytest.fail) == {
        "loss": None,
        "rows": [[1, None]],
    }
    assert parse_json(json_text({"a": [1.5, None, "é"]})) == {"a": [1.5, None, "é"]}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("identity", [1], r"identity is \[1\]"),
        ("history", [], "history is empty"),
        ("history", [EPOCH, EPOCH], "in place 2; expected numbers, those of epoch 2"),
        ("history", [{**EPOCH, "lr": "fast"}], "lr is 'fast' in place 1"),
        ("history", [{"epoch": 1, "validation_loss": 0.5}], "history has validation_loss alone"),
        ("best", 7, "best is 7; expected str"),
        ("learner", None, "learner is None"),
        ("surprise", 1, "'surprise' is unknown"),
    ],
)
def test_a_state_that_no_run_writes_is_refused(tmp_path, name, value, said):
    path = state(tmp_path)
    save_tensors(path, {**load_tensors(path, FORMAT, VERSION), name: value})
    with pytest.raises(ValueError, match=rf"state\.pt is damaged: .*{said}"):
        run_in(tmp_path).former()


def damaged_momentum(learner):
    learner["optimizer"]["state"][0]["momentum_buffer"] = torch.zeros(7)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damaged_momentum, r"momentum_buffer of the optimiser has the shape \[7\]"),
        (lambda learner: learner.pop("schedule"), "schedule"),
        (lambda learner: learner["schedule"].update(step="now"), "'step' of the schedule is 'now'"),
        (lambda learner: learner["optimizer"].update(param_groups=[]), "parameter groups"),
        (lambda learner: learner["model"].popitem(), "Missing key"),
    ],
)
def test_a_state_that_does_not_fit_its_network_is_refused(run, cache_path, tmp_path, damage, said):
    content = load_tensors(run / STATE, FORMAT, VERSION)
    damage(content["learner"])
    save_tensors(tmp_path / STATE, content)
    (tmp_path / "best.pt").write_bytes((run / "best.pt").read_bytes())
    with pytest.raises(ValueError, match=rf"state\.pt is damaged: .*{said}.*--overwrite to begin anew"):
        train(small_recipe(), cache_path, tmp_path, progress=False)


LAUGHS = "model: &a0 {name: x, y: 1}\n" + "".join(f"k{n}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40))
MERGED = "k0: &a0 {y: 1}\n" + "".join(f"k{n + 1}: &a{n + 1} {{<<: [*a{n}, *a{n}]}}\n" for n in range(40))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "its values are more than 10,000, or nested"),
        (MERGED, "its values are more than 10,000, or nested"),
        ("model: &a [*a]", "its values are more than 10,000, or nested"),
        ("[" * 3000, "it has 3,000 brackets"),
        ("model: " + "[" * 50 + "]" * 50, "nested more than 32 deep"),
        ("model: {name: [}", "it is no YAML"),
        ("a: !!python/object/apply:os.system [true]", "it is no YAML: could not determine a constructor"),
        ("# " + "x" * 200_000, "it has 200,002 bytes; expected 100,000 at most"),
        ("epochs: many", "epochs is 'many'; expected int"),
        ("epochs: true", "epochs is True; expected int"),
        ("optim: {lr: .nan}", "optim: lr is nan; expected float"),
        ("optim: 3", "optim is 3"),
        ("augment: {resized_crop: [0.5]}", r"augment: resized_crop is \[0\.5\]"),
        ("loader: {sheep: 1}", "loader: 'sheep' is unknown; expected batch_size, workers, validation"),
        ("\udcff", "codec can't decode"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, said):
    (tmp_path / "mine.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=rf"mine\.yaml is no recipe: .*({said})"):
        read_recipe(str(tmp_path / "mine.yaml"))


def test_recipes_say_numbers_as_people_do(tmp_path):
    (tmp_path / "mine.yaml").write_text("optim: {lr: 1e-3, weight_decay: 0}\naugment: {resized_crop: [0.08, 1]}\n")
    recipe = read_recipe(str(tmp_path / "mine.yaml"))
    assert (recipe.optim.lr, recipe.augment.resized_crop) == (0.001, (0.08, 1))
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    assert read_recipe(str(tmp_path / "again.yaml")) == recipe


@pytest.mark.parametrize("values", [{"classes": ()}, {"classes": ("a", "a")}, {"scale": -1.0}, {"sensor": (-1, 4)}])
def test_data_that_a_checkpoint_cannot_be_of(values):
    with pytest.raises(ValueError, match=r"classes are|scale is"):
        DataSpec(
            **{"classes": ("a",), "scale": 1.0, "sensor": (1, 1), "preprocessing": {}, "fingerprint": "", **values}
        )


def test_counts_of_samples_are_whole_numbers():
    with pytest.raises(ValueError, match="is no number of JSON"):
        parse_json("[1e999]")
    assert parse_json("[1, 2.5]") == [1, 2.5]
    assert np.isfinite(parse_json("1e300"))
