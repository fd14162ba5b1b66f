import pytest
import torch
from torch import nn

from evglif.layers import ConvSpike, Downsampling, PooledConvSpike, SpikeProducts, TokenSelection
from evglif.neurons import IF, LIF
from tests.helpers.networks import awake, inputs, narrow

HEADS, WIDTH = 2, 3
SHAPE = (2, 2, HEADS * WIDTH, 2, 5)  # [T, B, C, H, W]


def spikes(seed):
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)).round()


def test_keys_pass_where_enough_queries_of_their_head_fire():
    """An IF neuron of threshold 1.5 with a soft reset, stepped by hand."""
    query, key = spikes(0), spikes(1)
    selected = TokenSelection(IF(1.5), HEADS)(query, key)
    for b in range(SHAPE[1]):
        for head in range(HEADS):
            own = slice(head * WIDTH, (head + 1) * WIDTH)
            membrane, fired = torch.zeros(2, 5), torch.zeros(2, 5)
            for t in range(SHAPE[0]):
                membrane = membrane - 1.5 * fired + query[t, b, own].sum(0)
                fired = (membrane > 1.5).float()
                assert torch.equal(selected[t, b, own], key[t, b, own] * fired)
    assert 0 < selected.sum() < key.sum()


def test_products_are_queries_by_keys_by_values():
    """softmax-free attention as Spikformer writes it, (Q·Kᵀ)·V·s, tokens first; equal, as all sums are whole."""
    query, key, value = spikes(0), spikes(1), spikes(2)

    def by_token(x):
        return x.flatten(3).unflatten(2, (HEADS, WIDTH)).transpose(3, 4)

    q, k, v = map(by_token, (query, key, value))
    expected = (q @ k.transpose(3, 4)) @ v * 0.125
    made = SpikeProducts(SHAPE[2], HEADS)(query, key, value)
    assert made.shape == SHAPE
    assert torch.equal(by_token(made), expected)
    assert len(made.unique()) > 3


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_products_take_any_order_in_memory(memory_format):
    query, key, value = (spikes(seed) for seed in range(3))
    expected = SpikeProducts(SHAPE[2], HEADS)(query, key, value)
    turned = [each.flatten(0, 1).contiguous(memory_format=memory_format).view(SHAPE) for each in (query, key, value)]
    assert torch.equal(SpikeProducts(SHAPE[2], HEADS)(*turned), expected)


@pytest.mark.parametrize(("side", "halved", "quartered"), [(16, 8, 4), (9, 5, 3), (7, 4, 2)])
def test_both_ways_of_a_downsampling_give_maps_of_one_size(side, halved, quartered):
    def pooled(before, after):
        return PooledConvSpike(before, LIF(), nn.BatchNorm2d(after))

    path = nn.Sequential(pooled(3, 4), pooled(4, 6))
    down = Downsampling(path, ConvSpike(3, LIF(), nn.BatchNorm2d(6), kernel_size=1, stride=4))
    x = torch.randn(2, 1, 3, side, side)
    assert path[0](x).shape[-1] == halved
    y = down(x)
    assert y.shape == (2, 1, 6, quartered, quartered)
    assert set(y.unique().tolist()) <= {0.0, 1.0, 2.0}


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        ("lif", 0.5),
        ("glif", 0.25),
        ({"name": "plif", "v_reset": -0.5}, 0.25),
        ({"name": "if", "v_th": 0.8}, 0.4),
    ],
)
def test_neurons_of_attentions_fire_halfway_between_rest_and_the_others_threshold(neuron, expected):
    model = narrow("qkformer", neuron)
    thresholds = {
        name: layer.values()["v_th"] for name, layer in model.named_modules() if hasattr(layer, "coefficients")
    }
    of_sums = {"features.3.attention.selection.neuron", "features.5.attention.neuron"}
    for name in of_sums:
        torch.testing.assert_close(thresholds[name], torch.full_like(thresholds[name], expected))
    others = torch.cat([value for name, value in thresholds.items() if name not in of_sums])
    assert len(others.unique()) == 1
    assert others[0] > expected


def test_the_network_becomes_one_graph():
    model = awake(narrow("qkformer", "glif"))
    frames = inputs(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(frames), model(frames))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 24}, "width must be a multiple of 16 and half of it one of heads, got 24 channels and 2 heads"),
        ({"width": 32, "heads": 3}, "got 32 channels and 3 heads"),
        ({"depths": (1,)}, r"depths must hold 2 whole numbers from 1, got \(1,\)"),
    ],
)
def test_what_does_not_divide_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        narrow("qkformer", **options)


def test_a_vgg_has_as_many_widths_as_units():
    with pytest.raises(
        ValueError, match=r"vggsnn: stages \(1, 1\) have 2 units, widths \(4, 4, 8\) give the channels of 3"
    ):
        narrow("vggsnn", widths=(4, 4, 8), stages=(1, 1))
