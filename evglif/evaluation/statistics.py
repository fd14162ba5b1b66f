"""What an evaluation may claim: intervals, a test between two models, calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054
"""The standard normal's 97.5 % quantile, for intervals of 95 %."""

NUM_BINS = 15
"""Bins of confidence, as in Guo et al., ICML 2017."""


def wilson_interval(num_right: int, num_samples: int) -> tuple[float, float]:
    """The 95 % score interval of a share; it stays inside [0, 1] and holds for few samples too.

    Raises:
        ValueError: for counts of which there is no share.

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927).
    """
    if not 0 <= num_right <= num_samples or num_samples == 0:
        raise ValueError(f"0 ≤ right ≤ samples and at least one sample are needed, got {num_right} of {num_samples}")
    share, z2 = num_right / num_samples, Z_95**2 / num_samples
    centre = (share + z2 / 2) / (1 + z2)
    reach = math.sqrt(z2 * share * (1 - share) + z2**2 / 4) / (1 + z2)
    return max(0.0, min(share, centre - reach)), min(1.0, max(share, centre + reach))


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers err equally often on the same samples.

    The samples that one of them alone got right fall to either like the toss of a coin:
    p = min(1, 2·P[X ≤ min(b, c)]), X ~ Binomial(b + c, ½). The sum is one of integers, so nothing is rounded.

    Args:
        only_first: b, samples that the first alone classified right.
        only_second: c, samples that the second alone classified right.

    Raises:
        ValueError: for negative counts.

    Source: McNemar, Psychometrika 12 (1947), with the binomial in place of χ².
    """
    fewer, tosses = min(only_first, only_second), only_first + only_second
    if fewer < 0:
        raise ValueError(f"counts of samples cannot be negative, got {only_first} and {only_second}")
    term = ways = 1
    for k in range(1, fewer + 1):
        term = term * (tosses - k + 1) // k
        ways += term
    share: float = 2 * ways / 2**tosses
    return min(1.0, share)


def paired_interval(only_first: int, only_second: int, num_samples: int) -> tuple[float, float]:
    """95 % interval of the second classifier's accuracy less the first's, on the same samples.

    The adjusted Wald interval: one sample more in each cell of disagreement, Laplace's way.

    Raises:
        ValueError: for more disagreements than samples.

    Source: Bonett and Price, J. Educ. Behav. Stat. 37 (2012).
    """
    if not 0 <= only_first + only_second <= num_samples:
        raise ValueError(f"{only_first} and {only_second} disagreements do not fit {num_samples} samples")
    lost, won = (only_first + 1) / (num_samples + 2), (only_second + 1) / (num_samples + 2)
    centre = won - lost
    reach = Z_95 * math.sqrt((won + lost - centre**2) / (num_samples + 2))
    return max(-1.0, centre - reach), min(1.0, centre + reach)


@dataclass(frozen=True)
class Calibration:
    """How far confidence can be trusted: of what was called with 80 %, is 80 % right?

    Bin i of M holds the samples whose confidence lies in (i/M, (i+1)/M]. Empty bins have a mean of NaN.

    Attributes:
        counts: samples per bin, ``[M]``.
        confidence: their mean confidence, ``[M]``.
        accuracy: the share of them that is right, ``[M]``.
    """

    counts: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]

    @property
    def edges(self) -> NDArray[np.float64]:
        """Ends of the bins, ``[M + 1]``."""
        return np.linspace(0, 1, len(self.counts) + 1)

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |accuracy − confidence| over all samples, by bin."""
        filled = self.counts > 0
        gaps = np.abs(self.accuracy - self.confidence)[filled]
        return float((gaps * self.counts[filled]).sum() / self.counts.sum())


def calibrate(confidence: ArrayLike, right: ArrayLike, num_bins: int = NUM_BINS) -> Calibration:
    """Sort samples into bins of equal width by confidence.

    Args:
        confidence: probability of the predicted class, ``[N]``, each in [0, 1].
        right: whether the prediction was right, ``[N]``.
        num_bins: M.

    Raises:
        ValueError: for no samples, or shapes that differ.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 2–5.
    """
    given, hits = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    if given.shape != hits.shape or given.size == 0:
        raise ValueError(f"confidence and outcome of at least one sample, got shapes {given.shape} and {hits.shape}")
    bins = np.clip(np.ceil(given * num_bins).astype(np.int64) - 1, 0, num_bins - 1)
    counts = np.bincount(bins, minlength=num_bins)
    filled = np.where(counts > 0, counts, np.nan)
    sums = (np.bincount(bins, weights, num_bins) for weights in (given, hits))
    mean_confidence, accuracy = (total / filled for total in sums)
    return Calibration(counts.astype(np.int64), mean_confidence, accuracy)
