import json
import warnings

import numpy as np
import pytest

from evglif.evaluation.comparison import compare
from evglif.evaluation.figures import Evaluation, Predictions
from evglif.evaluation.firing import LayerFiring


def evaluation(labels, predicted, confidence=None, num_classes=3, **rest):
    """An evaluation of samples with these true and predicted classes."""
    confidence = np.full(len(labels), 0.5) if confidence is None else confidence
    labels, predicted = np.array(labels), np.array(predicted)
    predictions = Predictions(np.arange(len(labels)), labels, predicted, np.array(confidence, np.float32))
    return Evaluation(num_classes, predictions, 0.5, (0.5, float((labels == predicted).mean())), **rest)


def test_the_confusion_matrix_has_a_row_per_true_class():
    result = evaluation([0, 0, 0, 2], [0, 1, 1, 2])
    assert result.confusion.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert (result.num_samples, result.num_right, result.accuracy) == (4, 2, 0.5)


def test_scores_are_those_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(1)
    labels, predicted = generator.integers(0, 5, (2, 60))
    scores = evaluation(labels, predicted, num_classes=7).classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = metrics.precision_recall_fscore_support(labels, predicted, labels=range(7), zero_division=np.nan)
    for ours, expected in zip((scores.precision, scores.recall, scores.f1, scores.support), known, strict=True):
        np.testing.assert_allclose(ours, expected)


def test_what_cannot_be_divided_is_none_in_json():
    content = json.loads(json.dumps(evaluation([0, 0], [0, 1]).to_dict(), allow_nan=False))
    assert content["classes"]["recall"] == [0.5, None, None]
    assert content["classes"]["precision"] == [1.0, 0.0, None]
    assert content["samples_per_second"] is None
    assert content["calibration"]["accuracy"].count(None) == 14


def test_the_dictionary_has_the_figures_that_others_read():
    layer = LayerFiring(10, 0.2, 0.1, (0.1, 0.3), 4.0)
    result = evaluation([0, 1], [0, 0], [0.9, 0.7], layers={"a": layer, "b": layer}, samples_per_second=4.0)
    content = result.to_dict()
    assert (content["accuracy"], content["num_samples"], content["spikes"]) == (0.5, 2, 8.0)
    assert content["firing_rates"] == {"a": 0.2, "b": 0.2}
    assert content["confusion"] == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert content["layers"]["a"]["by_step"] == (0.1, 0.3)
    assert content["samples_per_second"] == 4
    assert content["calibration"]["mean_confidence"] == pytest.approx(0.8)


def test_models_are_compared_sample_by_sample():
    first = evaluation([0, 1, 2, 0, 1, 2], [0, 1, 2, 0, 0, 0])
    second = evaluation([0, 1, 2, 0, 1, 2], [0, 1, 0, 1, 1, 0])
    result = compare(first, second)
    assert (result.only_first, result.only_second, result.num_samples) == (2, 1, 6)
    assert result.difference == pytest.approx(second.accuracy - first.accuracy)
    assert result.p_value == 1.0
    assert result.interval[0] < result.difference < result.interval[1]
    assert compare(second, first).difference == -result.difference


def test_models_on_other_samples_cannot_be_compared():
    with pytest.raises(ValueError, match="evaluate both on one split of one cache"):
        compare(evaluation([0, 1], [0, 1]), evaluation([0, 2], [0, 2]))
