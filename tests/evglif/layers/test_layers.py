import warnings
from itertools import product

import pytest
import torch
from torch import nn

from evglif.layers import (
    CONNECTS,
    BasicBlock,
    ConvNorm,
    ConvSpike,
    GlobalPool,
    HeldDropout,
    LinearSpike,
    MSBlock,
    SEWBlock,
    SpikePool,
    TdBatchNorm2d,
    Voting,
    build_norm,
    norm_spike,
    time_folded,
)
from evglif.neurons import LIF, ReLU


def unit(in_channels=3, channels=4, stride=1):
    return ConvSpike(in_channels, LIF(v_th=0.1), nn.BatchNorm2d(channels), stride=stride)


def spikes(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).round()


def test_time_folding_equals_a_loop_over_time():
    layer, x = nn.Conv2d(3, 4, 3), torch.rand(5, 2, 3, 8, 8)
    looped = torch.stack([layer(step) for step in x])
    torch.testing.assert_close(time_folded(layer, x), looped)


def test_a_unit_convolves_all_time_steps_at_once():
    module, calls = unit(), []
    module.conv.register_forward_hook(lambda _, inputs, __: calls.append(inputs[0].shape))
    assert module(torch.rand(5, 2, 3, 8, 8)).shape == (5, 2, 4, 8, 8)
    assert calls == [(10, 3, 8, 8)]


def test_norm_and_neuron_meet_with_the_shortcut_between_them():
    norm, current, shortcut = nn.BatchNorm2d(3), torch.randn(2, 4, 3, 5, 5), torch.randn(2, 4, 3, 5, 5)
    expected = torch.relu(time_folded(norm, current) + shortcut)
    torch.testing.assert_close(norm_spike(current, norm, ReLU(), shortcut), expected)


def test_a_repeated_current_is_the_same_at_every_step():
    norm, neuron, current = nn.BatchNorm2d(3).eval(), LIF(v_th=1.0), torch.rand(1, 4, 3, 5, 5)
    expected = neuron(norm(current[0]).expand(6, -1, -1, -1, -1))
    assert 0 < expected.mean() < 1
    assert torch.equal(norm_spike(current, norm, neuron, repeat=6), expected)


def test_tdbn_is_batch_norm_with_a_scaled_weight():
    torch.manual_seed(0)
    plain, scaled, x = nn.BatchNorm2d(4), TdBatchNorm2d(4, scale=0.5), torch.randn(6, 4, 5, 5)
    nn.init.constant_(scaled.norm.bias, 0.3)
    for train in (True, False):
        plain.train(train)
        scaled.train(train)
        torch.testing.assert_close(scaled(x), 0.5 * plain(x) + 0.3)
    torch.testing.assert_close(scaled.norm.running_mean, plain.running_mean)
    assert scaled.norm.num_batches_tracked == plain.num_batches_tracked == 1


def test_the_scale_is_in_the_gradient_of_the_weight():
    torch.manual_seed(0)
    plain, scaled, x = nn.BatchNorm2d(4), TdBatchNorm2d(4, scale=0.25), torch.randn(6, 4, 5, 5)
    for norm in (plain, scaled):
        (norm(x) * x).sum().backward()
    torch.testing.assert_close(scaled.norm.weight.grad, 0.25 * plain.weight.grad)
    torch.testing.assert_close(scaled.norm.bias.grad, plain.bias.grad)


def test_a_traced_tdbn_has_the_scale():
    torch.manual_seed(0)
    norm, x = TdBatchNorm2d(4, scale=0.5).eval(), torch.randn(6, 4, 5, 5)
    for parameter in norm.parameters():
        nn.init.uniform_(parameter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tracing itself is deprecated
        traced = torch.jit.trace(norm, x)
    torch.testing.assert_close(traced(x), norm(x))


def test_the_scale_outlasts_the_conversion_for_several_processes():
    """SyncBatchNorm is made of the batch norm's tensors; in eval mode it runs without a process group."""
    torch.manual_seed(0)
    norm, x = TdBatchNorm2d(4, scale=0.5), torch.randn(6, 4, 5, 5)
    nn.init.uniform_(norm.norm.weight)
    norm(x)
    expected = norm.eval()(x)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(norm)).eval()
    assert any(isinstance(module, nn.SyncBatchNorm) for module in converted.modules())
    torch.testing.assert_close(converted(x), expected)


@pytest.mark.parametrize(
    ("connect", "table"),
    [("add", [0, 1, 1, 2]), ("and", [0, 0, 0, 1]), ("iand", [0, 1, 0, 0])],
)
def test_connect_functions_of_residual_and_shortcut(connect, table):
    """Rows (residual, shortcut): 00, 01, 10, 11; IAND is (NOT residual) AND shortcut."""
    residual, shortcut = torch.tensor(list(product((0.0, 1.0), repeat=2))).unbind(1)
    assert CONNECTS[connect](residual, shortcut).tolist() == table


@pytest.mark.parametrize("connect", CONNECTS)
def test_a_sew_block_joins_the_input_with_the_spikes(connect):
    torch.manual_seed(0)
    block, x = SEWBlock(unit(3, 3), unit(3, 3), connect), spikes(4, 2, 3, 6, 6)
    residual = block.second(block.first(x))
    assert 0 < residual.mean() < 1
    torch.testing.assert_close(block(x), CONNECTS[connect](residual, x))


def test_a_basic_block_adds_currents_before_its_last_neuron():
    block = BasicBlock(unit(3, 3), nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.Identity(), LIF())
    nn.init.zeros_(block.conv.weight)
    x = 2 * spikes(4, 2, 3, 6, 6)
    assert torch.equal(block(x), LIF()(x))


def test_a_membrane_shortcut_leaves_the_sum_as_it_is():
    block = MSBlock(LIF(), unit(3, 3), ConvNorm(3, nn.BatchNorm2d(3)), nn.Identity())
    nn.init.zeros_(block.second.conv.weight)
    x = torch.randn(4, 2, 3, 6, 6)
    assert torch.equal(block(x), x)


def test_a_shortcut_of_another_shape_is_a_convolution():
    shortcut = ConvNorm(3, nn.BatchNorm2d(4), kernel_size=1, stride=2)
    block = MSBlock(LIF(), unit(3, 4, stride=2), ConvNorm(4, nn.BatchNorm2d(4)), shortcut)
    assert block(torch.randn(4, 2, 3, 7, 7)).shape == (4, 2, 4, 4, 4)


def test_average_pooling_is_the_mean_of_2_by_2():
    x = torch.arange(16.0).view(1, 1, 1, 4, 4)
    assert SpikePool()(x).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_max_pooling_keeps_spikes_binary_and_fires_where_any_did():
    x = torch.zeros(1, 1, 1, 4, 5)
    x[..., 0, 1] = x[..., 3, 2] = x[..., 3, 3] = x[..., 0, 4] = 1
    assert SpikePool("max")(x).flatten().tolist() == [1, 0, 0, 1]
    many = SpikePool("max")(spikes(3, 2, 4, 8, 8))
    assert set(many.unique().tolist()) == {0, 1}


def test_global_pooling_is_the_mean_of_the_map():
    assert GlobalPool()(torch.arange(8.0).view(1, 1, 2, 2, 2)).flatten().tolist() == [1.5, 5.5]


def test_a_class_is_the_mean_of_its_own_voters():
    votes = torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0, 0.0]])
    assert Voting(2)(votes).tolist() == [[0.5, 1.0, 0.0]]
    assert Voting(3)(votes.expand(4, 2, -1)).shape == (4, 2, 2)


def test_dropout_leaves_out_the_same_values_at_every_step():
    torch.manual_seed(0)
    x = torch.rand(6, 3, 200) + 1
    dropped = HeldDropout(0.5)(x)
    assert torch.equal(dropped == 0, (dropped[:1] == 0).expand_as(x))
    torch.testing.assert_close(dropped[dropped != 0], 2 * x[dropped != 0])
    masks = dropped[0] == 0
    assert not torch.equal(masks[0], masks[1])
    assert 0.4 < masks.float().mean() < 0.6  # 600 values: four standard deviations are 0.08
    assert not torch.equal(masks, HeldDropout(0.5)(x)[0] == 0)


def test_dropout_leaves_everything_in_eval_mode():
    x = torch.rand(2, 3, 4)
    assert HeldDropout(0.5).eval()(x) is x
    assert HeldDropout(0)(x) is x


def test_a_linear_unit_fires_on_the_sum_of_its_weights():
    layer = LinearSpike(2, 1, LIF(v_th=1.0))
    nn.init.constant_(layer.linear.weight, 0.75)
    assert layer(torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])).flatten().tolist() == [0, 1]
    assert layer.linear.bias is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: build_norm("layer", 3), "'layer'; choose one of bn, tdbn"),
        (lambda: SEWBlock(unit(), unit(), connect="cat"), "'cat'; choose one of add, and, iand"),
        (lambda: SpikePool("min"), "'min'; choose one of average, max"),
        (lambda: HeldDropout(1.0), r"\[0, 1\), got 1.0"),
    ],
)
def test_unknown_names_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
