"""Two models on the same samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evglif.evaluation.figures import Evaluation
from evglif.evaluation.statistics import mcnemar, paired_interval


@dataclass(frozen=True)
class Comparison:
    """Two models on the same samples.

    The test is one of these two sets of weights on these samples. Whether one *neuron* is better than another is
    asked of several seeds each.

    Attributes:
        num_samples: how many samples.
        only_first: samples that the first alone classified right.
        only_second: samples that the second alone classified right.
    """

    num_samples: int
    only_first: int
    only_second: int

    @property
    def difference(self) -> float:
        """Accuracy of the second less that of the first."""
        return (self.only_second - self.only_first) / self.num_samples

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference."""
        return paired_interval(self.only_first, self.only_second, self.num_samples)

    @property
    def p_value(self) -> float:
        """Of McNemar's exact test."""
        return mcnemar(self.only_first, self.only_second)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        interval = {"difference_interval_95": list(self.interval)}
        return {**asdict(self), "difference": self.difference, **interval, "p_value": self.p_value}


def compare(first: Evaluation, second: Evaluation) -> Comparison:
    """Set two evaluations of the same samples against each other.

    Raises:
        ValueError: where they are not of the same samples.
    """
    ours, theirs = first.predictions, second.predictions
    if not (np.array_equal(ours.indices, theirs.indices) and np.array_equal(ours.labels, theirs.labels)):
        raise ValueError(
            f"only evaluations of the same samples can be compared, got {len(ours)} and {len(theirs)} that differ; "
            "evaluate both on one split of one cache"
        )
    return Comparison(len(ours), int((ours.right & ~theirs.right).sum()), int((theirs.right & ~ours.right).sum()))
