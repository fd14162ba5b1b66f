import pytest
import torch

from evglif.evaluation.firing import LayerCounter


def test_a_layer_by_hand():
    counter = LayerCounter()
    first, second = torch.zeros(2, 2, 2, 3), torch.zeros(2, 1, 2, 3)  # [T, B, C, W]
    first[0, :, 0, 0] = 1
    first[1, 0, 0, 1] = 1
    second[:, 0, 1, 2] = 1
    counter.count(first)
    counter.count(second)
    result = counter.result()
    assert result.num_neurons == 6
    assert result.spikes == pytest.approx(5 / 3)
    assert result.rate == pytest.approx(5 / (3 * 6 * 2))
    assert result.by_step == pytest.approx((3 / 18, 2 / 18))
    assert result.silent == pytest.approx(3 / 6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_spikes_are_counted_exactly(dtype):
    counter = LayerCounter()
    counter.count(torch.ones(1, 3001, 1, 3, dtype=dtype))
    assert counter.result().spikes == 3
    assert counter.result().rate == 1
