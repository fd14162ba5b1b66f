"""How much of a split is compared: as many samples as the time allows, drawn at random, and which is said."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from deploy.exporting import verify
from deploy.exporting.options import ExportOptions
from deploy.exporting.verify import Samples, compare, within

CLASSES = np.repeat(np.arange(3), 20)  # as in a cache: one class after the other


class Sums(nn.Module):
    """The class of a frame that holds its number."""

    def forward(self, frames):
        return nn.functional.one_hot(frames[:, 0].long(), 3).float()


def samples():
    return Samples("made", lambda rows: CLASSES[rows, None].astype(np.float32), CLASSES, len(CLASSES))


def wrong_on_the_last_class(frames):
    return Sums()(torch.from_numpy(np.minimum(frames, 1))).numpy()


@pytest.fixture
def clock(monkeypatch):
    """A second goes by whenever somebody looks."""
    ticks = itertools.count()
    monkeypatch.setattr(verify.time, "monotonic", lambda: float(next(ticks)))


def test_without_a_limit_every_sample_is_compared():
    parity = compare(Sums(), wrong_on_the_last_class, samples())
    assert (parity.num_samples, parity.num_available) == (60, 60)
    assert parity.agreement == parity.accuracy == pytest.approx(2 / 3)
    assert parity.checkpoint_accuracy == 1
    assert "drawn" not in str(parity)


@pytest.mark.usefixtures("clock")
def test_what_the_time_allows_is_drawn_from_all_classes_and_said():
    parity = compare(Sums(), wrong_on_the_last_class, samples(), seconds=3)
    assert (parity.num_samples, parity.num_available) == (24, 60)
    assert 0 < parity.agreement == parity.accuracy < 1
    assert parity.checkpoint_accuracy == 1
    assert "of 24 samples drawn from 60 (95 % interval" in str(parity)
    assert parity.to_dict()["num_available"] == 60


@pytest.mark.usefixtures("clock")
def test_one_batch_is_compared_however_little_the_time():
    assert compare(Sums(), wrong_on_the_last_class, samples(), seconds=0).num_samples == 8
    assert [len(frames) for frames in samples().observed(seconds=0)] == [4]


def test_spikes_are_compared_on_samples_spread_over_the_split():
    seen = np.concatenate(list(samples().observed()))
    assert len(seen) == 16
    assert set(seen.ravel()) == {0, 1, 2}


@pytest.mark.usefixtures("clock")
def test_no_time_is_asked_of_what_needs_none():
    assert list(within(None, range(5))) == list(range(5))
    assert list(within(9, [])) == []


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_is_a_time_or_all(budget):
    with pytest.raises(ValueError, match=f"budget {budget}: a time in seconds, such as 60, or all"):
        ExportOptions(budget=budget)
