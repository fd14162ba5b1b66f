import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evglif.evaluation.statistics import calibrate, mcnemar, paired_interval, wilson_interval


def test_wilsons_interval_is_that_of_the_textbook():
    assert wilson_interval(95, 100) == pytest.approx((0.88825, 0.97846), abs=1e-5)
    assert wilson_interval(0, 10) == pytest.approx((0, 0.27753), abs=1e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_share_and_mirrors(counts):
    right, samples = counts
    low, high = wilson_interval(right, samples)
    assert 0 <= low <= right / samples <= high <= 1
    assert wilson_interval(samples - right, samples) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("counts", [(0, 0), (-1, 5), (6, 5)])
def test_an_interval_needs_a_share(counts):
    with pytest.raises(ValueError, match=f"got {counts[0]} of {counts[1]}"):
        wilson_interval(*counts)


@pytest.mark.parametrize("counts", [(0, 0), (1, 0), (3, 3), (2, 9), (40, 61), (300, 410), (0, 30)])
def test_mcnemars_test_is_the_exact_binomial_one(counts):
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(counts[0], sum(counts)).pvalue if sum(counts) else 1.0
    assert mcnemar(*counts) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(*reversed(counts)) == mcnemar(*counts)


def test_mcnemars_test_takes_a_whole_data_set():
    assert 0 < mcnemar(9_500, 10_000) < 0.001
    with pytest.raises(ValueError, match="got -1 and 2"):
        mcnemar(-1, 2)


def test_the_interval_of_a_difference_is_that_of_bonett_and_price():
    lost, won = 6 / 102, 16 / 102
    reach = 1.959964 * math.sqrt((lost + won - (won - lost) ** 2) / 102)
    assert paired_interval(5, 15, 100) == pytest.approx((won - lost - reach, won - lost + reach))
    low, high = paired_interval(7, 7, 50)
    assert low == pytest.approx(-high)
    with pytest.raises(ValueError, match="8 and 3 disagreements do not fit 10 samples"):
        paired_interval(8, 3, 10)


def test_calibration_by_hand():
    result = calibrate([0.95, 0.85, 0.85, 0.25], [True, True, False, False], num_bins=10)
    assert result.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 2, 1]
    assert result.confidence[[2, 8, 9]] == pytest.approx([0.25, 0.85, 0.95])
    assert result.accuracy[[2, 8, 9]].tolist() == [0, 0.5, 1]
    assert result.error == pytest.approx((0.25 + 2 * 0.35 + 0.05) / 4)
    assert np.isnan(result.accuracy[0])


def test_an_edge_belongs_to_the_bin_below_it():
    assert calibrate([0.0, 0.5, 1.0], [1, 1, 1], num_bins=2).counts.tolist() == [2, 1]


def test_perfect_calibration_has_no_error():
    confidence = np.repeat([0.25, 0.75], 400)
    right = np.arange(800) % 400 < 400 * confidence
    assert calibrate(confidence, right).error == pytest.approx(0)


@pytest.mark.parametrize(("confidence", "right"), [([], []), ([0.5], [1, 0])])
def test_calibration_needs_an_outcome_for_each_sample(confidence, right):
    with pytest.raises(ValueError, match="at least one sample"):
        calibrate(confidence, right)
