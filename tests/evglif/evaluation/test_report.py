import csv
import json

import numpy as np
import pytest
import torch

from evglif import build_model
from evglif.checkpoint import Checkpoint
from evglif.evaluation import report as evaluation_report
from evglif.evaluation.comparison import compare
from evglif.evaluation.figures import Evaluation, Predictions
from evglif.evaluation.firing import LayerFiring
from evglif.evaluation.report import write_comparison, write_csv, write_evaluation, write_json
from evglif.evaluation.tables import class_table, comparison_text, confusion_table, evaluation_text, steps_table
from preprocessing.cache import FrameCache


def evaluation(labels, predicted, indices=None, num_classes=2):
    indices, labels, predicted = (np.array(column) for column in (indices or range(len(labels)), labels, predicted))
    predictions = Predictions(indices, labels, predicted, np.full(len(labels), 0.75, np.float32))
    layers = {"features.0.neuron": LayerFiring(1024, 0.25, 0.125, (0.125, 0.25, 0.375), 768.0)}
    by_step = (0.5, 0.5, float((labels == predicted).mean()))
    return Evaluation(num_classes, predictions, 0.6, by_step, None, layers, 2.0)


def read(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cache(cache_path):
    with FrameCache(cache_path) as cache:
        yield cache


@pytest.fixture(scope="module")
def folder(cache_path, tmp_path_factory):
    """What is written of a model that calls everything left."""
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2, init="cifar").eval()
    out = tmp_path_factory.mktemp("report") / "new" / "out"
    with FrameCache(cache_path) as cache:
        indices = cache.indices("test").tolist()
        result = evaluation(cache.labels[indices], [0] * 8, indices)
        write_evaluation(out, Checkpoint(model, None, {"epoch": 3}), result, cache, "test")
    return out


def test_a_folder_holds_all_there_is_to_an_evaluation(folder, cache):
    assert {entry.name for entry in folder.iterdir()} == {
        *("evaluation.json", "classes.csv", "confusion.csv", "steps.csv", "layers.csv", "reliability.csv"),
        *("predictions.csv", "values.csv", "confusion.png", "steps.png", "reliability.png", "firing.png", "values.png"),
    }
    content = json.loads((folder / "evaluation.json").read_text())
    assert (content["accuracy"], content["split"], content["class_names"]) == (0.5, "test", ["left", "right"])
    assert (content["metrics"], content["fingerprint"]) == ({"epoch": 3}, cache.fingerprint)
    assert content["model"]["name"] == "7b-widenet"


def test_pictures_are_of_the_kind_that_is_asked_for(cache, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(evaluation_report, "_draw", lambda _, out, *__: drawn.append(out.name))
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2, init="cifar").eval()
    indices = cache.indices("test").tolist()
    result = evaluation(cache.labels[indices], [0] * 8, indices)
    write_evaluation(tmp_path, Checkpoint(model, None, {}), result, cache, "test", "svg")
    write_comparison(tmp_path, {"glif": result}, {}, "sides", "svg")
    assert drawn == ["confusion.svg", "steps.svg", "reliability.svg", "firing.svg", "values.svg", "steps.svg"]


def test_every_prediction_names_its_recording(folder, cache):
    indices, rows = cache.indices("test").tolist(), read(folder / "predictions.csv")
    assert [row["source"] for row in rows] == [cache.source(index) for index in indices]
    assert [row["true"] for row in rows] == [cache.classes[label] for label in cache.labels[indices]]
    assert {(row["predicted"], row["probability"]) for row in rows} == {("left", "0.75")}


def test_tables_in_csv_have_the_figures(folder):
    left, right = read(folder / "classes.csv")
    assert left == {"class": "left", "samples": "4", "precision": "0.5", "recall": "1.0", "f1": str(2 / 3)}
    assert (right["precision"], right["recall"]) == ("", "0.0")
    assert read(folder / "confusion.csv")[1] == {"true class": "right", "left": "4", "right": "0"}
    assert [row["accuracy"] for row in read(folder / "steps.csv")] == ["0.5", "0.5", "0.5"]
    (layer,) = read(folder / "layers.csv")
    assert (layer["rate"], layer["silent"], layer["rate_t3"]) == ("0.25", "0.125", "0.375")
    assert sum(int(row["samples"]) for row in read(folder / "reliability.csv")) == 8
    conductance = [row for row in read(folder / "values.csv") if row["name"] == "g"]
    assert [row["step"] for row in conductance[:4]] == ["", "1", "2", "3"]


def test_without_neurons_there_are_no_pictures_of_them(cache, tmp_path):
    model = build_model("7b-widenet", steps=3, size=(16, 16), width=2, num_classes=2, neuron="relu").eval()
    indices = cache.indices("test").tolist()
    spiking = evaluation(cache.labels[indices], [0] * 8, indices)
    result = Evaluation(2, spiking.predictions, 0.6, (0.5, 0.5, 0.5), samples_per_second=4.0)
    write_evaluation(tmp_path, Checkpoint(model, None, {}), result, cache, "test")
    assert not (tmp_path / "firing.png").exists()
    assert not (tmp_path / "values.png").exists()
    assert read(tmp_path / "layers.csv") == []
    assert "no spiking neurons" in evaluation_text(result, cache.classes, "here")


def test_names_with_commas_and_lines_survive_csv(tmp_path):
    write_csv(tmp_path / "a.csv", ("class", "share"), [('cat, "big"\nσ', float("nan")), ("dog", None)])
    assert read(tmp_path / "a.csv") == [{"class": 'cat, "big"\nσ', "share": ""}, {"class": "dog", "share": ""}]


def test_json_takes_no_figure_that_other_readers_refuse(tmp_path):
    write_json(tmp_path / "a.json", {"loss": float("nan"), "by_step": [1.5, float("inf")]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"loss": None, "by_step": [1.5, None]}


def test_the_confusion_table_shows_recall():
    table = confusion_table(evaluation([0, 0, 0, 0], [0, 0, 0, 1]), ("cat", "dog")).splitlines()
    assert table[1].split() == ["cat", "3", "1", "75.0%"]
    assert table[2].split() == ["dog", "0", "0", "–"]


def test_of_many_classes_the_worst_are_printed():
    labels = list(range(30))
    result = evaluation(labels, [*range(28), 0, 1], num_classes=30)
    text = evaluation_text(result, [f"class {label}" for label in labels], "many")
    assert "the 10 of 30 classes with the lowest F1" in text
    assert "rows are true classes" not in text
    worst = class_table(result, [f"c{label}" for label in labels]).splitlines()[2:6]
    assert [line.split()[0] for line in worst] == ["c28", "c29", "c0", "c1"]


def test_many_steps_are_broken_into_lines():
    predictions = evaluation([0, 1], [0, 1]).predictions
    table = steps_table(Evaluation(2, predictions, 0.1, tuple(step / 20 for step in range(1, 21)))).splitlines()
    assert table[1].split() == ["t", *map(str, range(1, 17))]
    assert table[4].split() == ["accuracy", "85.0%", "90.0%", "95.0%", "100.0%"]


def test_models_side_by_side(tmp_path):
    first, second = evaluation([0, 1, 1, 1], [0, 0, 0, 0]), evaluation([0, 1, 1, 1], [1, 1, 1, 1])
    comparisons = {"plif": compare(first, second)}
    lines = comparison_text({"glif": first, "plif": second}, comparisons).splitlines()
    assert lines[1].split()[:2] == ["glif", "25.00%"]
    assert lines[2].split()[:2] == ["plif", "75.00%"]
    assert "+50.00" in lines[2]
    assert lines[2].endswith("0.6250")
    write_comparison(tmp_path, {"glif": first, "plif": second}, comparisons, "sides, test")
    rows = read(tmp_path / "comparison.csv")
    assert [(row["model"], row["only_second"], row["p_value"]) for row in rows] == [
        ("glif", "", ""),
        ("plif", "3", "0.625"),
    ]
