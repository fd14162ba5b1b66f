from collections import Counter
from pathlib import Path

import pytest

from preprocessing.datasets.base import Source
from preprocessing.datasets.splits import check_fraction, held_out, limited


@pytest.mark.parametrize(
    ("num", "fraction", "expected"),
    [(10, 0.1, 1), (1000, 0.1, 100), (5, 0.1, 1), (2, 0.9, 1), (1, 0.5, 0), (0, 0.5, 0)],
)
def test_share_held_out_leaves_some_on_both_sides(num, fraction, expected):
    assert len(held_out((f"{i}" for i in range(num)), fraction, seed=0)) == expected


def test_share_held_out_depends_on_seed_and_names_alone():
    names = [f"recording {i}" for i in range(100)]
    test = held_out(names, 0.2, seed=1)
    assert test == held_out(reversed(names), 0.2, seed=1)
    assert test != held_out(names, 0.2, seed=2)
    # the same on every machine and with every version of every library: files say "seed 0" and mean this
    assert held_out("abcdefghij", 0.2, seed=0) == {"f", "h"}


def test_one_more_recording_hardly_changes_what_is_held_out():
    names = [f"recording {i}" for i in range(100)]
    assert len(held_out(names, 0.2, 0) ^ held_out([*names, "new"], 0.2, 0)) <= 2


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 10])
def test_fraction_is_between_zero_and_one(fraction):
    with pytest.raises(ValueError, match=f"between 0 and 1, got {fraction}"):
        check_fraction(fraction)


def sources(num_train, num_test, num_classes=3):
    return [
        Source(Path(f"{split}/{label}/{i}"), None, label, split, f"{split}/{label}/{i}")
        for split, num in (("test", num_test), ("train", num_train))
        for label in range(num_classes)
        for i in range(num)
    ]


@pytest.mark.parametrize("limit", [None, 60, 1000])
def test_no_limit_takes_all(limit):
    assert limited(sources(16, 4), limit) == tuple(sources(16, 4))


def test_limit_keeps_order_and_shares():
    taken = limited(sources(16, 4), 30)
    assert len(taken) == 30
    assert [s for s in sources(16, 4) if s in taken] == list(taken)
    counts = Counter((s.split, s.label) for s in taken)
    assert all(counts["train", label] in (7, 8) and counts["test", label] in (2, 3) for label in range(3))


def test_small_limit_keeps_every_class_of_every_split():
    assert {(s.split, s.label) for s in limited(sources(1000, 10), 6)} == {
        (split, label) for split in ("train", "test") for label in range(3)
    }


def test_smallest_limit_keeps_every_class_for_training():
    assert [(s.split, s.label) for s in limited(sources(16, 4), 3)] == [("train", label) for label in range(3)]
