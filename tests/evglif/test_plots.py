from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evglif import build_model, plots
from evglif.evaluation.figures import Evaluation, Predictions
from evglif.evaluation.firing import LayerFiring
from evglif.evaluation.learnt import neuron_values
from evglif.plots import (
    plot_confusion,
    plot_curves,
    plot_firing,
    plot_frames,
    plot_reliability,
    plot_steps,
    plot_values,
)

PRIMITIVES = ["τ$_{exp}$", "τ$_{lin}$", "V$_{th}$", "V$_{re}$", "g$^{t}$"]


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, kept to be looked at; they are written as well."""
    figures = []

    def keep(module):
        save = module.save

        def kept(figure, out):
            figures.append(figure)
            save(figure, out)

        monkeypatch.setattr(module, "save", kept)

    for module in (plots.accuracy, plots.confusion, plots.curves, plots.neurons):
        keep(module)
    return figures


def evaluation(predicted, confidence, by_step):
    labels = np.zeros(len(predicted), np.int64)
    predictions = Predictions(np.arange(len(labels)), labels, np.array(predicted), np.array(confidence, np.float32))
    return Evaluation(3, predictions, 0.5, by_step)


def lines_of(axes):
    return {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}


def texts_of(axes):
    return [text.get_text() for text in axes.texts]


def test_models_of_any_name_are_in_the_legend(tmp_path, drawn):
    by_name = {name: evaluation([0, 1], [0.5, 0.5], (0.5, 0.5)) for name in ("_glif/best", "$a$")}
    plot_steps(by_name, tmp_path / "steps.png")
    texts = [text.get_text() for text in drawn[0].axes[0].get_legend().get_texts()]
    assert texts == [" _glif/best, 50.0% at the end", r"\$a\$, 50.0% at the end"]


def test_curves_are_those_of_the_file(tmp_path, drawn):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(
        "epoch,step,train_loss,train_accuracy,validation_loss,validation_accuracy,lr-weights,lr-gates\n"
        "0,9,,,1.5,0.5,,\n0,9,2.0,0.4,,,0.1,0.01\n1,19,1.0,0.8,1.25,0.75,0.05,0.005\n2,29,0.5,0.9,1.3,0.7,0.0,0.0\n"
    )
    plot_curves(metrics, tmp_path / "curves.png", "digits")
    loss, accuracy, rate = drawn[0].axes
    assert lines_of(loss) == {"train": [2.0, 1.0, 0.5], "validation": [1.5, 1.25, 1.3]}
    assert lines_of(accuracy)["train"] == [0.4, 0.8, 0.9]
    assert accuracy.get_title() == "best validation accuracy 75.0% in epoch 1"
    assert lines_of(rate) == {"weights": [0.1, 0.05, 0.0], "gates": [0.01, 0.005, 0.0]}
    assert drawn[0].get_suptitle() == "digits"


def test_the_epoch_that_curves_mark_is_the_one_that_the_run_keeps(tmp_path, drawn):
    """Of equal accuracies that of the lowest loss, not the first."""
    metrics = tmp_path / "metrics.csv"
    rows = [(1, 0.1, 0.5), (2, 0.4, 0.9), (3, 0.3, 0.9), (4, 0.3, 0.9), (5, 0.1, 0.8)]
    lines = [f"{epoch},{loss},{accuracy}" for epoch, loss, accuracy in rows]
    metrics.write_text("\n".join(["epoch,validation_loss,validation_accuracy", *lines]))
    plot_curves(metrics, tmp_path / "curves.png")
    accuracy = drawn[0].axes[1]
    assert accuracy.get_title() == "best validation accuracy 90.0% in epoch 3"
    assert [line.get_xdata()[0] for line in accuracy.get_lines() if line.get_linestyle() == ":"] == [3]


def test_curves_do_without_learning_rate_and_validation(tmp_path, drawn):
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch,step,train_loss,train_accuracy\n0,9,2.0,0.4\n")
    plot_curves(metrics, tmp_path / "curves.png")
    assert len(drawn[0].axes) == 2
    metrics.write_text("epoch,step\n")
    with pytest.raises(ValueError, match=r"metrics\.csv holds no epochs to draw"):
        plot_curves(metrics, tmp_path / "curves.png")


def test_a_small_confusion_matrix_has_its_counts_and_recall(tmp_path, drawn):
    plot_confusion([[3, 1], [0, 0]], ["cat", "dog"], tmp_path / "confusion.png", "pets")
    axes = drawn[0].axes[0]
    assert texts_of(axes) == ["3", "1"]
    assert np.asarray(axes.images[0].get_array()).tolist() == [[0.75, 0.25], [0, 0]]
    (recall,) = axes.child_axes
    assert [label.get_text() for label in recall.get_yticklabels()] == ["75%", "–"]


def test_a_large_confusion_matrix_lists_what_is_confused(tmp_path, drawn):
    counts = np.diag(np.full(60, 9))
    counts[7, 3] = 6
    plot_confusion(counts, [f"kind {label}" for label in range(60)], tmp_path / "confusion.png")
    matrix, listed = drawn[0].axes[:2]
    assert texts_of(matrix) == []
    assert [line.strip() for line in texts_of(listed)[0].splitlines()][2:] == ["kind 7 → kind 3", "6 of 15, 40%"]
    sizes = [label.get_fontsize() for label in matrix.get_yticklabels()]
    with Image.open(tmp_path / "confusion.png") as image:
        height = image.height
    assert height / 60 > max(sizes) / 72 * 120, "rows are higher than their labels"


def test_names_and_counts_must_be_as_many(tmp_path):
    with pytest.raises(ValueError, match=r"3 classes need as many rows and columns, got the shape \(2, 2\)"):
        plot_confusion([[1, 0], [0, 1]], ["a", "b", "c"], tmp_path / "confusion.png")


def test_accuracy_by_step_of_several_models(tmp_path, drawn):
    models = {
        "glif": evaluation([0, 0, 1], [0.5] * 3, (1 / 3, 2 / 3)),
        "lif": evaluation([0, 1, 1], [0.5] * 3, (0, 1 / 3)),
    }
    plot_steps(models, tmp_path / "steps.png", "digits")
    assert lines_of(drawn[0].axes[0]) == {
        "glif, 66.7% at the end": [1 / 3, 2 / 3],
        "lif, 33.3% at the end": [0, 1 / 3],
    }


def test_reliability_has_a_bar_per_bin_with_samples(tmp_path, drawn):
    plot_reliability(evaluation([0, 0, 1, 1], [0.9, 0.9, 0.9, 0.5], (0.5,)), tmp_path / "reliability.png")
    upper, lower = drawn[0].axes
    heights = [bar.get_height() for bar in upper.patches]
    assert heights == pytest.approx([0, 2 / 3])
    assert sum(bar.get_height() for bar in lower.patches) == 4
    assert upper.get_title().startswith("expected calibration error ")


def test_firing_shows_every_layer_at_every_step(tmp_path, drawn):
    layers = {"first": LayerFiring(8, 0.2, 0.5, (0.1, 0.3), 3.2), "second": LayerFiring(4, 0.5, 0.0, (0.4, 0.6), 4.0)}
    plot_firing(layers, tmp_path / "firing.png", "digits")
    bars, steps = drawn[0].axes[:2]
    assert [bar.get_width() for bar in bars.patches] == [0.2, 0.5]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["first", "second"]
    assert np.asarray(steps.images[0].get_array()).tolist() == [[0.1, 0.3], [0.4, 0.6]]
    with pytest.raises(ValueError, match="no spiking neurons"):
        plot_firing({}, tmp_path / "firing.png")


@pytest.mark.parametrize(
    ("options", "panels", "first"),
    [
        ({"neuron": "glif"}, ["α", "β", "γ", *PRIMITIVES], "alpha"),
        ({"neuron": "glif", "sharing": "layer", "gates": "101"}, PRIMITIVES, "tau_exp"),
        ({"neuron": "plif"}, ["τ"], "tau"),
    ],
)
def test_values_have_a_panel_each_if_they_are_learnt(tmp_path, drawn, options, panels, first):
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=3, num_classes=2, **options)
    values = neuron_values(model)
    plot_values(values, tmp_path / "values.png", "digits")
    used = [axes for axes in drawn[0].axes if axes.axison]
    assert [axes.get_title() for axes in used] == panels
    means = [value.values.mean() for value in values if value.name == first]
    dots = [line for line in used[0].get_lines() if line.get_marker() == "o"]
    assert np.asarray(dots[0].get_ydata()).tolist() == pytest.approx(means)


def test_nothing_learnt_is_nothing_to_draw(tmp_path):
    model = build_model("7b-widenet", steps=2, size=(16, 16), width=2, neuron="lif")
    with pytest.raises(ValueError, match="no values that are learnt"):
        plot_values(neuron_values(model), tmp_path / "values.png")


def test_a_sample_is_drawn_with_its_probabilities(tmp_path):
    frames = np.zeros((3, 2, 8, 8), np.float32)
    frames[1, 1, 2, 2] = 4
    plot_frames(frames, "a cat", tmp_path / "plain.png")
    plot_frames(frames, "a cat", tmp_path / "known.png", {"cat": 0.9, "dog": 0.1})
    with Image.open(tmp_path / "plain.png") as plain, Image.open(tmp_path / "known.png") as known:
        assert known.width > plain.width
        assert len(set(plain.convert("RGB").get_flattened_data())) > 10


def test_drawing_needs_no_display_and_no_global_state():
    files = list(Path(plots.__file__).parent.glob("*.py"))
    assert len(files) > 5
    assert not [file.name for file in files if "pyplot" in file.read_text()]


@pytest.mark.parametrize(("suffix", "starts"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_pictures_are_of_the_kind_that_the_suffix_says(suffix, starts, tmp_path):
    plot_confusion([[3, 1], [0, 2]], ["a", "b"], tmp_path / f"confusion.{suffix}")
    plot_frames(np.ones((2, 2, 4, 4), np.float32), "ones", tmp_path / f"frames.{suffix}")
    for name in ("confusion", "frames"):
        assert (tmp_path / f"{name}.{suffix}").read_bytes().startswith(starts)
