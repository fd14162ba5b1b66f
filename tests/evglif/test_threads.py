"""How many threads a network is worth, and who decides."""

import pytest
import torch

from evglif import build_model
from evglif.threads import choose_threads, use_threads


@pytest.fixture(autouse=True)
def four_processors():
    with use_threads(4):
        yield


def network(width, size=16, steps=4):
    return build_model("7b-widenet", "relu", width=width, size=(size, size), steps=steps)


def test_small_layers_are_not_worth_two_threads_and_large_ones_are_worth_all():
    assert choose_threads(network(16), 16).number == 1
    assert choose_threads(network(64, 48, 16), 4).number == 4


def test_more_work_never_gets_fewer_threads():
    numbers = [choose_threads(network(32), batch_size).number for batch_size in (1, 8, 32, 128)]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1] == 4


def test_the_line_says_why_and_what_to_do():
    line = str(choose_threads(network(16), 16))
    assert line == "threads: 1 of 4, for 25 million multiply-accumulates a layer; --threads N takes another number"


def test_who_asks_is_given_them_and_a_run_keeps_its_own():
    model = network(16)
    assert choose_threads(model, 16, asked=3).number == 3
    assert choose_threads(model, 16, before=2).number == 2
    both = choose_threads(model, 16, asked=3, before=2)
    assert both.number == 3
    assert "had 2 before, and may differ in last bits" in str(both)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        choose_threads(model, 16, asked=0)


def test_a_number_of_threads_ends_with_its_block():
    with use_threads(2):
        assert torch.get_num_threads() == 2
        with use_threads(None):
            assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4
