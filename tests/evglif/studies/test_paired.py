import numpy as np
import pytest

from evglif.studies.paired import over_samples, over_seeds, spread


def test_the_same_seeds_are_set_against_themselves():
    first, second = {0: 0.90, 1: 0.80, 2: 0.85}, {2: 0.88, 0: 0.92, 1: 0.83}
    found = over_seeds(first, second)
    differences = np.array([0.02, 0.03, 0.03])
    error = differences.std(ddof=1) / np.sqrt(3)
    assert found.paired
    assert found.difference == pytest.approx(differences.mean())
    assert found.interval == pytest.approx(differences.mean() + error * 4.302653 * np.array([-1, 1]))  # t, 2 degrees
    assert found.p_value == pytest.approx(0.0153, abs=2e-4)  # of t = 8, 2 degrees


def test_other_seeds_are_not_paired():
    found = over_seeds({0: 0.9, 1: 0.8}, {5: 0.7, 6: 0.9, 7: 0.8})
    assert not found.paired
    assert found.difference == pytest.approx(-0.05)
    low, high = found.interval
    assert low < -0.05 < high
    assert found.p_value > 0.5


@pytest.mark.parametrize(("first", "second"), [({0: 0.9}, {0: 0.8}), ({0: 0.9, 1: 0.8}, {0: 0.8, 1: 0.7})])
def test_too_little_to_judge_by_is_said(first, second):
    found = over_seeds(first, second)
    assert (found.interval, found.p_value) == (None, None)
    assert found.difference == pytest.approx(-0.1)


def test_over_samples_chance_is_chance_and_a_difference_is_found():
    generator = np.random.default_rng(1)
    first = (generator.random(300) < 0.8).astype(float)
    assert over_samples(first, first) == 1
    assert over_samples(first, np.roll(first, 7)) == 1  # as many right: the sum is 0, and nothing is nearer
    worse = np.where(generator.random(300) < 0.15, 0, first)
    assert over_samples(first, worse) < 0.001
    alike = [over_samples((generator.random(60) < 0.7) * 1.0, (generator.random(60) < 0.7) * 1.0) for _ in range(60)]
    assert np.mean(np.array(alike) < 0.25) < 0.45  # it does not cry wolf: a quarter is expected
    with pytest.raises(ValueError, match="shapes"):
        over_samples(np.zeros(3), np.zeros(4))


def test_the_sign_test_agrees_with_all_signs_of_few_samples():
    first, second = np.zeros(6), np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.5])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T
    exact = np.mean(np.abs(signs @ (second - first)) >= 5.5)
    assert over_samples(first, second) == pytest.approx(exact, abs=0.01)


def test_a_spread_needs_two():
    assert (spread([]), spread([0.5]), spread([0.5, 0.6])) == ("–", "50.00", "55.00 ± 7.07")
