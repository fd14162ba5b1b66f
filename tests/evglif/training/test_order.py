import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evglif.training.order import Order, seed_of

COUNTS = {
    "num_samples": st.integers(4, 60),
    "batch_size": st.integers(1, 9),
    "num_processes": st.integers(1, 4),
    "accumulate": st.integers(1, 3),
}


def pieces(num_samples, batch_size, num_processes, accumulate, seed=3, epoch=1):
    """By process, then by batch."""
    orders = [Order(num_samples, batch_size, seed, rank, num_processes, accumulate) for rank in range(num_processes)]
    return [order.epoch(epoch) for order in orders]


@given(**COUNTS)
def test_every_sample_is_seen_once_among_all_processes(num_samples, batch_size, num_processes, accumulate):
    dealt = pieces(num_samples, batch_size, num_processes, accumulate)
    rows = np.concatenate([piece.rows for of_process in dealt for piece in of_process])
    assert sorted(rows) == list(range(num_samples))


@given(**COUNTS)
def test_shares_make_the_mean_over_processes_that_of_a_steps_samples(
    num_samples, batch_size, num_processes, accumulate
):
    losses = np.random.default_rng(0).random(num_samples)
    dealt = pieces(num_samples, batch_size, num_processes, accumulate)
    batches = list(zip(*dealt, strict=True))
    assert all(len({piece.steps for piece in batch}) == 1 for batch in batches)
    assert batches[-1][0].steps
    total, seen = 0.0, []
    for batch in batches:
        assert all(len(piece.rows) for piece in batch)
        total += np.mean([piece.share * losses[piece.rows].mean() for piece in batch])
        seen += [row for piece in batch for row in piece.rows]
        if batch[0].steps:
            assert total == pytest.approx(losses[seen].mean())
            total, seen = 0.0, []


@given(num_samples=st.integers(8, 60), batch_size=st.integers(1, 4))
def test_more_processes_share_the_same_batches(num_samples, batch_size):
    (alone,) = pieces(num_samples, 4 * batch_size, 1, 1)
    together = [
        np.concatenate([piece.rows for piece in batch])
        for batch in zip(*pieces(num_samples, batch_size, 4, 1), strict=True)
    ]
    joined = [np.concatenate(list(batches)) for batches in ([piece.rows for piece in alone], together)]
    assert np.array_equal(*joined)
    assert all(np.array_equal(one.rows, all_) for one, all_ in zip(alone[:-2], together, strict=False))


def test_a_batch_too_small_to_share_joins_the_one_before():
    assert [[len(piece.rows) for piece in of_process] for of_process in pieces(13, 3, 2, 1)] == [[3, 4], [3, 3]]


def test_the_order_is_of_the_seed_and_the_epoch():
    def first(**options):
        return pieces(50, 50, 1, 1, **options)[0][0].rows.tolist()

    assert first() == first()
    assert first() != first(epoch=2)
    assert first() != first(seed=4)
    seeds = {seed_of(seed, epoch, rank) for seed in range(5) for epoch in range(5) for rank in range(5)}
    assert len(seeds) == 125


def test_fewer_samples_than_processes_are_refused():
    with pytest.raises(ValueError, match="3 training samples cannot be shared by 4 processes"):
        Order(3, 1, 0, num_processes=4)
