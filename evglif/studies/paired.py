"""Whether one setting is better than another: over seeds, and over samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_FLIPS = 9_999


@dataclass(frozen=True)
class OverSeeds:
    """Accuracy of one setting less that of another, from run to run.

    Attributes:
        difference: of the means.
        interval: 95 %, of Student's t; None for fewer than two runs of either.
        p_value: two-sided, that the difference is 0; None where the runs leave nothing to judge by.
        paired: the same seeds stand on both sides, and each is set against itself.
    """

    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    paired: bool


def over_seeds(first: dict[int, float], second: dict[int, float]) -> OverSeeds:
    """Set the runs of two settings against each other.

    With the same seeds on both sides the paired t test, else Welch's, which supposes no common variance. Both take runs
    for normally distributed, and with three seeds find only what is large.

    Args:
        first: seed → accuracy.
        second: the same, of the setting that is judged.

    Source: Student, Biometrika 6 (1908); Welch, Biometrika 34 (1947).
    """
    from scipy import stats

    paired = first.keys() == second.keys()
    ours, theirs = ([side[seed] for seed in sorted(side)] for side in (first, second))
    difference = float(np.mean(theirs) - np.mean(ours))
    spreads = [np.ptp(np.subtract(theirs, ours))] if paired else [np.ptp(ours), np.ptp(theirs)]
    if min(len(ours), len(theirs)) < 2 or max(spreads) < 1e-12:
        return OverSeeds(difference, None, None, paired)
    found = stats.ttest_rel(theirs, ours) if paired else stats.ttest_ind(theirs, ours, equal_var=False)
    low, high = found.confidence_interval(0.95)
    return OverSeeds(difference, (float(low), float(high)), float(found.pvalue), paired)


def over_samples(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Two-sided p-value that two settings are right equally often, from sample to sample.

    Were they alike, each sample's difference could as well have the other sign: the share of 9,999 random choices of
    signs, and of the one seen, whose sum is as far from 0 as that seen.

    Args:
        first: share of the runs that are right, ``[N]``.
        second: the same of the other setting, on the same samples.

    Raises:
        ValueError: for other shapes.

    Source: Fisher, The Design of Experiments (1935), with random signs in place of all.
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"shares of the same samples, one at least, got shapes {first.shape} and {second.shape}")
    gaps = second - first
    seen = abs(gaps.sum())
    signs = np.random.default_rng(0)
    far = sum(abs(np.where(signs.random(gaps.size) < 0.5, gaps, -gaps).sum()) >= seen - 1e-9 for _ in range(NUM_FLIPS))
    return float((1 + far) / (1 + NUM_FLIPS))


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation; NaN of what there is too little for."""
    mean = float(np.mean(values)) if values else math.nan
    return mean, float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def spread(shares: Sequence[float]) -> str:
    """Shares as ``95.70 ± 0.42``, in percent; without a deviation of a single one."""
    mean, deviation = mean_and_deviation(shares)
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:.2f}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:.2f}")
