import pytest
import torch
from torch import nn

from evglif.layers import ConvSpike, SEWBlock, SpikePool, TdBatchNorm2d, build_norm, time_folded
from evglif.neurons import LIF


def unit(in_channels=3, channels=4):
    return ConvSpike(in_channels, LIF(v_th=0.1), nn.BatchNorm2d(channels))


def test_time_folding_equals_a_loop_over_time():
    layer, x = nn.Conv2d(3, 4, 3), torch.rand(5, 2, 3, 8, 8)
    looped = torch.stack([layer(step) for step in x])
    torch.testing.assert_close(time_folded(layer, x), looped)


def test_a_unit_convolves_all_time_steps_at_once():
    module, calls = unit(), []
    module.conv.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape))
    assert module(torch.rand(5, 2, 3, 8, 8)).shape == (5, 2, 4, 8, 8)
    assert calls == [(10, 3, 8, 8)]


def test_tdbn_is_batch_norm_with_a_scaled_weight():
    torch.manual_seed(0)
    plain, scaled, x = nn.BatchNorm2d(4), TdBatchNorm2d(4, scale=0.5), torch.randn(6, 4, 5, 5)
    nn.init.constant_(scaled.bias, 0.3)
    for train in (True, False):
        plain.train(train)
        scaled.train(train)
        torch.testing.assert_close(scaled(x), 0.5 * plain(x) + 0.3)
    torch.testing.assert_close(scaled.running_mean, plain.running_mean)
    assert scaled.num_batches_tracked == plain.num_batches_tracked == 1


def test_a_sew_block_adds_the_input_to_the_spikes():
    block, x = SEWBlock(unit(3, 3), unit(3, 3)), torch.randint(0, 3, (4, 2, 3, 6, 6)).float()
    torch.testing.assert_close(block(x) - x, block.second(block.first(x)))


def test_pooling_averages_2_by_2():
    x = torch.arange(16.0).view(1, 1, 1, 4, 4)
    assert SpikePool()(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [(lambda: build_norm("layer", 3), "'layer'"), (lambda: SEWBlock(unit(), unit(), connect="cat"), "'cat'")],
)
def test_unknown_names_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
