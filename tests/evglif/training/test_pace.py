import io

import pytest

from evglif.training.learner import Means
from evglif.training.pace import JUDGED, Pace, duration
from evglif.training.watch import Watch


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_time_to_expect_follows_from_the_batches_behind_the_first():
    clock = Clock()
    pace = Pace(epochs=3, clock=clock)
    pace.begin(1, num_samples=100, num_judged=30)
    clock.now = 50.0  # libraries prepare themselves
    pace.batch(10)
    assert pace.left() is None
    clock.now = 52.0
    pace.batch(20)
    work = 100 + JUDGED * 30
    assert pace.left() == pytest.approx(0.2 * (work - 20 + 2 * work))


def test_whole_epochs_count_once_there_are_any():
    clock = Clock()
    pace = Pace(epochs=3, clock=clock)
    pace.begin(1, 100, 0)
    clock.now = 40.0
    pace.end()
    assert pace.left() == 80.0
    pace.begin(2, 100, 0)
    clock.now = 50.0
    pace.batch(25)
    assert pace.left() == 30.0 + 40.0
    clock.now = 60.0
    pace.end()
    assert pace.left() == 30.0


def test_times_are_for_people():
    assert [duration(each) for each in (3.4, 89, 90, 600, 9000, 200_000)] == [
        "3 s",
        "89 s",
        "2 min",
        "10 min",
        "2.5 h",
        "2.3 days",
    ]


def test_the_facts_come_once_and_before_the_bar(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    watch, means = Watch(epochs=2, shown=True), Means()
    watch.introduce("a.h5: 8 samples")
    with watch.epoch(1, num_samples=12):
        means.add(0.5, 3, 4)
        watch.batch(means)
        assert terminal.getvalue() == ""
        means.add(0.5, 3, 4)
        watch.batch(means)
        assert terminal.getvalue().startswith("a.h5: 8 samples; about 0 s to go\n")
        watch.figures({"epoch": 1, "train_loss": 0.25, "train_accuracy": 0.875, "samples_per_second": 100.0})
    assert terminal.getvalue().count("a.h5") == 1
    assert terminal.getvalue().index("epoch 1/2") > terminal.getvalue().index("a.h5")


def test_a_log_of_an_epoch_with_one_batch_has_them_too(capsys):
    watch, means = Watch(epochs=1, shown=True), Means()
    watch.introduce("a.h5: 4 samples")
    with watch.epoch(1, num_samples=4):
        means.add(0.5, 3, 4)
        watch.batch(means)
        watch.figures({"epoch": 1, "train_loss": 0.25, "train_accuracy": 0.875, "samples_per_second": 100.0})
    assert capsys.readouterr().out.splitlines() == [
        "a.h5: 4 samples; about 0 s to go",
        "epoch 1/1: train 0.2500, 87.5%; 100 samples/s",
    ]
