"""Layers on cores: memories counted as sinabs counts them, limits said in words."""

import itertools

import numpy as np
import pytest

from deploy.chips.layers import INPUT, Layer, Source
from deploy.chips.placing import kernel_words, neuron_words, num_biases, place
from deploy.chips.target import Chip, Core, chip_names, read_chip

SPECK = read_chip("speck2f")


def layer(name="a", out=4, channels=2, kernel=3, side=8, sources=None, **more):
    """Padded so that a map keeps its size."""
    usual = {
        "stride": (1, 1),
        "padding": (kernel // 2,) * 2,
        "input": (channels, side, side),
        "output": (out, side, side),
    }
    weight = more.pop("weight", np.ones((out, channels, kernel, kernel)))
    return Layer(name, sources or (Source(INPUT),), weight, np.zeros(out), **{**usual, "reset": "subtract", **more})


def chain(*layers):
    names = [INPUT, *(each.name for each in layers)]
    return [Layer(**{**vars(each), "sources": (Source(name),)}) for each, name in zip(layers, names, strict=False)]


def test_words_are_counted_by_whole_bits_of_address():
    """The formulas of sinabs' ``DynapcnnLayer.memory_summary``, by hand: 2·2^(4+3) and 5·2^(4+4)."""
    one = layer(out=5, channels=2, kernel=3, side=9)
    assert (kernel_words(one), neuron_words(one), num_biases(one)) == (2 * 2**7, 5 * 2**8, 0)
    assert num_biases(layer(out=5, channels=1, kernel=1, side=1)) == 0
    assert num_biases(Layer(**{**vars(one), "bias": np.ones(5)})) == 5


def test_a_small_network_fits_and_no_core_is_given_twice():
    places, problems = place(chain(*(layer(name, channels=4) for name in "abcdefghi")), SPECK)
    assert problems == []
    assert sorted(each.core for each in places) == list(range(9))


def test_layers_that_need_single_cores_get_them_whatever_their_order():
    """Two of many weights, three of many neurons, and the rest; a greedy choice would fail for some order."""
    weights = [layer(name, out=256, channels=16, kernel=3, side=4) for name in "ab"]
    neurons = [layer(name, out=16, channels=1, kernel=3, side=64) for name in "cde"]
    for order in itertools.islice(itertools.permutations([*weights, *neurons]), 0, 120, 7):
        places, _ = place(list(order), SPECK)
        cores = {each.layer: each.core for each in places}
        assert {cores["a"], cores["b"]} == {5, 6}
        assert {cores["c"], cores["d"], cores["e"]} == {0, 1, 2}


def test_the_layer_for_which_no_core_is_left_is_named():
    places, problems = place(
        chain(*(layer(name, out=256, channels=16, side=4) for name in "ab"), layer("c", 256, 256, 1, 4)), SPECK
    )
    assert problems == []
    (left,) = [each for each in places if each.core is None]
    assert left.layer in "abc"
    assert "the cores that could take it (5, 6) are taken" in left.problems[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.ones((4, 2, 3, 5))}, "its kernel is 3×5 px: make it, or the map before it, square"),
        ({"weight": np.ones((4, 2, 17, 17))}, "its kernel is 17 px wide, at most 16"),
        ({"stride": (1, 3)}, r"its stride is \[3\] px: one of 1, 2, 4, 8"),
        ({"padding": (8, 1)}, "its padding is 8 px, at most 7"),
        ({"sources": (Source(INPUT, 3),)}, r"pools of \[3\] px come before it: one of 1, 2, 4"),
        ({"weight": np.ones((2000, 2, 1, 1)), "output": (2000, 1, 1)}, "it has 2000 channels, at most 1024"),
        ({"input": (2, 200, 200)}, "its input is 200 px wide, at most 128"),
        ({"output": (4, 100, 100)}, "its map is 100 px wide, at most 64"),
        ({"weight": np.ones((1024, 1024, 1, 1))}, "its weights take 1,048,576 words, at most 65,536"),
        ({"output": (64, 64, 64)}, "its neurons take 262,144 words, at most 65,536"),
        (
            {"weight": np.ones((256, 16, 3, 3)), "output": (256, 16, 16)},
            "no core has 65,536 words of weights and 65,536 of neurons",
        ),
    ],
)
def test_what_is_beyond_the_chip_is_said_with_what_to_change(changes, message):
    (found,), _ = place([layer(**changes)], SPECK)
    assert found.core is None
    with pytest.raises(ValueError, match=message):
        raise ValueError("; ".join(found.problems))


def test_more_layers_than_cores_and_more_targets_than_a_core_has():
    layers = chain(*(layer(name, channels=4) for name in "abcdefghij"))
    layers[2:5] = [Layer(**{**vars(each), "sources": (Source("a"),)}) for each in layers[2:5]]
    _, problems = place(layers, SPECK)
    assert problems == [
        "10 layers of neurons, for 9 cores: fewer blocks",
        "a is sent to 4 layers, a core to 2: fewer shortcuts in a row",
    ]


def test_a_chip_is_a_file_of_numbers(tmp_path):
    assert chip_names() == ["speck2f"]
    assert (len(SPECK.cores), SPECK.cores[3]) == (9, Core(32768, 32768, 1024))
    text = "name: Mine\nweight_bits: 4\nstate_bits: 8\nkernel: 3\nstrides: [1]\npadding: 1\npools: [1]\nchannels: 8\n"
    text += "input_side: 8\noutput_side: 8\ndestinations: 1\ncores:\n  - {kernel: 64, neurons: 64, biases: 0}\n"
    (tmp_path / "mine.yaml").write_text(text)
    mine = read_chip(str(tmp_path / "mine.yaml"))
    assert isinstance(mine, Chip)
    places, _ = place([layer(out=2, channels=1, side=4)], mine)
    assert places[0].core == 0
    for broken, message in [("kernel: 3", "kernel is missing"), ("cores:", "cores is missing")]:
        rest = (
            text.replace(f"{broken}\n", "").split("  - ")[0] if broken == "cores:" else text.replace(f"{broken}\n", "")
        )
        (tmp_path / "bad.yaml").write_text(rest)
        with pytest.raises(ValueError, match=rf"bad.yaml describes no chip: {message}"):
            read_chip(str(tmp_path / "bad.yaml"))
    with pytest.raises(ValueError, match="no chip 'loihi'; choose one of speck2f, or give a YAML file"):
        read_chip("loihi")
