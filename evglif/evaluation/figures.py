"""What a model did on a set of samples, and the figures that follow from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evglif.evaluation.firing import LayerFiring
from evglif.evaluation.statistics import Calibration, calibrate, wilson_interval
from evglif.provenance import Familiar

TOP = 5


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row per sample, in the order of the data.

    Attributes:
        indices: position in the cache, ``[N]``.
        labels: true class, ``[N]``.
        predicted: class of the largest time-mean logit, ``[N]``.
        confidence: softmax probability of the predicted class, ``[N]``. A network trained on firing rates and not on
            cross-entropy was never asked for probabilities, and its confidence is low.
    """

    indices: NDArray[np.int64]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which samples were classified right, ``[N]``."""
        right: NDArray[np.bool_] = self.labels == self.predicted
        return right


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Figures of each class, ``[K]``; NaN where there is nothing to divide by.

    Attributes:
        support: samples of the class.
        precision: share of what was called this class that is of it; NaN where nothing was.
        recall: share of the class's samples that was called so; NaN for a class without samples.
        f1: harmonic mean of the two, 2·TP / (2·TP + FP + FN).
    """

    support: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model on a set of samples.

    Attributes:
        num_classes: K.
        predictions: what it said of each sample.
        loss: mean cross-entropy of the time-mean logits, nats, whatever loss the model was trained with.
        accuracy_by_step: accuracy of a decision after the steps 1…t, for t = 1…T: the class of the largest mean
            logit so far. The last is the accuracy.
        top5: share of samples whose class is among the five largest logits; None where K ≤ 5.
        layers: name of a neuron layer → its firing; empty for a network without spiking neurons.
        samples_per_second: of the pass after its first batch, which compiles and warms up, reading included; NaN
            where there was no second batch.
        familiar: which samples the model has learnt from; None where nobody knows.
    """

    num_classes: int
    predictions: Predictions
    loss: float
    accuracy_by_step: tuple[float, ...]
    top5: float | None = None
    layers: dict[str, LayerFiring] = field(default_factory=dict)
    samples_per_second: float = math.nan
    familiar: Familiar | None = None

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts ``[K, K]``, row = true class, column = predicted class."""
        pairs = self.predictions.labels * self.num_classes + self.predictions.predicted
        return np.bincount(pairs, minlength=self.num_classes**2).reshape(self.num_classes, -1).astype(np.int64)

    @property
    def num_samples(self) -> int:
        """How many samples were classified."""
        return len(self.predictions)

    @property
    def num_right(self) -> int:
        """How many of them right."""
        return int(self.predictions.right.sum())

    @property
    def accuracy(self) -> float:
        """Share of samples classified right."""
        return self.num_right / self.num_samples

    @property
    def num_familiar(self) -> int:
        """How many of the samples the model has learnt from, as far as is known."""
        return 0 if self.familiar is None else int((~self.familiar.new).sum())

    @property
    def accuracy_on_new(self) -> float | None:
        """Accuracy on the samples that the model has not learnt from; None where there are none."""
        if self.familiar is None or not self.familiar.new.any():
            return None
        return float(self.predictions.right[self.familiar.new].mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy: what the choice of test samples leaves open, not that of the seed."""
        return wilson_interval(self.num_right, self.num_samples)

    @cached_property
    def classes(self) -> ClassScores:
        """Precision, recall and F1 of each class."""
        right = np.diag(self.confusion)
        support, called = self.confusion.sum(1), self.confusion.sum(0)
        return ClassScores(support, _share(right, called), _share(right, support), _share(2 * right, support + called))

    @cached_property
    def calibration(self) -> Calibration:
        """Confidence against accuracy."""
        return calibrate(self.predictions.confidence, self.predictions.right)

    @property
    def mean_confidence(self) -> float:
        """Mean probability of the predicted class."""
        return float(self.predictions.confidence.mean(dtype=np.float64))

    @property
    def firing_rates(self) -> dict[str, float]:
        """Layer → mean spikes per neuron and time step."""
        return {name: layer.rate for name, layer in self.layers.items()}

    @property
    def spikes(self) -> float:
        """Mean number of spikes per sample, all layers together."""
        return sum(layer.spikes for layer in self.layers.values())

    def to_dict(self) -> dict[str, Any]:
        """All figures but the single predictions, as plain values for JSON; what is not defined is None."""
        calibration = self.calibration
        return {
            "accuracy": self.accuracy,
            "accuracy_interval_95": list(self.interval),
            "top5": self.top5,
            "loss": self.loss,
            "num_samples": self.num_samples,
            "num_learnt_from": self.num_familiar if self.familiar else None,
            "accuracy_on_new_samples": self.accuracy_on_new,
            "accuracy_by_step": list(self.accuracy_by_step),
            "classes": {name: _plain(values) for name, values in vars(self.classes).items()},
            "calibration": {
                "error": calibration.error,
                "mean_confidence": self.mean_confidence,
                **{name: _plain(values) for name, values in vars(calibration).items()},
            },
            "confusion": self.confusion.tolist(),
            "spikes": self.spikes,
            "firing_rates": self.firing_rates,
            "layers": {name: asdict(layer) for name, layer in self.layers.items()},
            "samples_per_second": None if math.isnan(self.samples_per_second) else self.samples_per_second,
        }


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return part / np.where(whole > 0, whole, np.nan)


def _plain(values: NDArray[Any]) -> list[Any]:
    return [None if math.isnan(value) else value for value in values.tolist()]
