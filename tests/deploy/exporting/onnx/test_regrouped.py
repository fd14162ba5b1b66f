from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from deploy.exporting.onnx.gauge import LARGEST_OFFSET, unit_gain, unit_threshold
from deploy.exporting.onnx.graph import GraphBuilder
from deploy.exporting.onnx.model import unrolled_model
from deploy.exporting.onnx.neuron_nodes import NeuronConstants, unrolled
from deploy.exporting.onnx.regrouped_nodes import by_steps, in_one_tensor
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import prepared
from deploy.running.quiet import onnxruntime
from evglif.neurons import NEURONS, NeuronSpec, build_neuron
from evglif.recurrence import Coefficients
from tests.helpers.checkpoints import lively

STEPS, CHANNELS = 6, 5
SPIKING = sorted(set(NEURONS) - {"relu"})
SETTINGS = [
    *((name, {"init": "cifar"}) for name in SPIKING),
    ("glif", {"sharing": "layer"}),
    ("plif", {"v_reset": -0.5}),
    ("plif", {"v_reset": None}),
    ("lif", {"reset": "soft", "v_th": 0.7}),
    ("if", {"reset": "hard", "strict": False}),
    ("lif", {"tau": 1.0}),
]
CURRENT = np.float32(np.random.default_rng(0).normal(0.3, 1.2, (STEPS, 3, CHANNELS, 7, 9)))


def constants_of(name, options):
    torch.manual_seed(0)
    neuron = build_neuron(NeuronSpec(name, **options), CHANNELS, STEPS)
    coefficients = neuron.coefficients()
    values = [getattr(coefficients, each).detach().numpy() for each in Coefficients.__dataclass_fields__]
    return NeuronConstants(*values, neuron.rest, neuron.strict, dims=2)


def reference(neuron, current):
    """Membranes before the reset and spikes of the recurrence in float64, as it is written."""
    wide = {name: np.float64(getattr(neuron, name)) for name in Coefficients.__dataclass_fields__}
    gain = np.broadcast_to(wide.pop("gain"), (len(current), CHANNELS))
    a, b, r, d, v = (each.reshape(-1, 1, 1) for each in wide.values())
    membrane, fired, made = np.float64(neuron.rest), 0.0, []
    for row, now in zip(gain, np.float64(current), strict=True):
        membrane = a * membrane - b + row.reshape(-1, 1, 1) * now - fired * (r * membrane + d)
        fired = np.float64(membrane > v if neuron.strict else membrane >= v)
        made.append((membrane, fired))
    return tuple(map(np.array, zip(*made, strict=True)))


def check_spikes(neuron, current, spikes):
    """Equal to the reference until a membrane comes within rounding of its threshold, which is rare."""
    assert set(np.unique(spikes)) <= {0, 1}
    membranes, expected = reference(neuron, current)
    threshold = np.float64(neuron.threshold).reshape(-1, 1, 1)
    offset = unit_gain(neuron, STEPS, CHANNELS).offset.max()
    largest = np.abs(current).max() + np.abs(membranes).max() + np.abs(threshold).max() + np.abs(offset)
    same = np.ones(expected.shape[1:], bool)
    for membrane, ours, theirs in zip(membranes, spikes, expected, strict=True):
        close = np.abs(membrane - threshold) < 16 * np.finfo(np.float32).eps * largest
        np.testing.assert_array_equal(ours[same & ~close], theirs[same & ~close])
        same &= ours == theirs
    assert same.mean() > 0.99


def written(neuron, write):
    """The nodes of one layer, and the name of its spikes ``[T, B, C, H, W]``."""
    graph = GraphBuilder()
    if write is not by_steps:
        return graph, write(graph, neuron, "current", (STEPS, CHANNELS), "spikes/layer")

    def current(step, shift):
        now = graph.add("Gather", "current", graph.constant(np.array(step, np.int64)), axis=0)
        return graph.add("Add", now, graph.constant(np.float32(shift.reshape(-1, 1, 1))))

    spikes = by_steps(graph, neuron, current, (STEPS, CHANNELS), "spikes/layer")
    rows = [graph.add("Unsqueeze", each, graph.integers(0)) for each in spikes]
    return graph, graph.add("Concat", *rows, axis=0)


def spikes_of(neuron, write, current=CURRENT):
    graph, made = written(neuron, write)
    takes, gives = (helper.make_tensor_value_info(name, TensorProto.FLOAT, current.shape) for name in ("current", made))
    opset = helper.make_opsetid("", 18)
    proto = helper.make_model(graph.graph("layer", [takes], [gives]), opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"current": current})[0]


def in_order(graph, neuron, current, shape, name):
    return unrolled(graph, neuron, current, shape[0], name)


@pytest.mark.parametrize("write", [in_one_tensor, by_steps], ids=["one tensor", "by steps"])
@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_regrouped_neurons_fire_as_the_reference_does(name, options, write):
    neuron = constants_of(name, options)
    spikes = spikes_of(neuron, write)
    assert 0.02 < spikes.mean() < 0.98
    check_spikes(neuron, CURRENT, spikes)


@pytest.mark.parametrize("write", [in_one_tensor, by_steps], ids=["one tensor", "by steps"])
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(("name", "options"), [("if", {}), ("if", {"reset": "hard"}), ("lif", {}), ("plif", {})])
def test_membranes_exactly_at_the_threshold(name, options, strict, write):
    neuron = constants_of(name, {**options, "strict": strict})
    current = np.float32(np.random.default_rng(0).integers(0, 4, CURRENT.shape) / 2)
    membranes, expected = reference(neuron, current)
    assert (membranes == 1).mean() > 0.01
    np.testing.assert_array_equal(spikes_of(neuron, write, current), expected)


@st.composite
def coefficients(draw):
    """Any neuron: r near nought beside a d that is not makes c = d/r as large as one likes."""

    def vector(low, high, *extra):
        value = st.floats(low, high, width=32) | st.sampled_from([np.float32(each) for each in extra])
        size = draw(st.sampled_from([1, CHANNELS]))
        return np.array(draw(st.lists(value, min_size=size, max_size=size)), np.float32)

    rows = draw(st.sampled_from([1, STEPS]))
    gain = np.stack([vector(0.25, 1.5, 0, 1, -1).max(keepdims=True) for _ in range(rows)])
    return NeuronConstants(
        decay=vector(0, 1, 0, 1),
        leak=vector(0, 0.5, 0),
        gain=gain if rows > 1 else gain[0],
        hard_reset=vector(0, 1, 0, 1e-6, 1e-3),
        soft_reset=vector(0, 1.5, 0),
        threshold=vector(0.125, 2, 1, -0.25),
        rest=draw(st.sampled_from([0.0, -0.5])),
        strict=draw(st.booleans()),
        dims=2,
    )


@settings(max_examples=60, deadline=None)
@given(coefficients())
def test_any_coefficients_fire_as_the_reference_does(neuron):
    for write in (in_one_tensor, by_steps):
        check_spikes(neuron, CURRENT, spikes_of(neuron, write))


@settings(max_examples=300, deadline=None)
@given(coefficients())
def test_membranes_in_a_gauge_are_those_of_the_reference(neuron):
    membranes, spikes = reference(neuron, CURRENT)
    for gauged in (unit_gain(neuron, STEPS, CHANNELS), unit_threshold(neuron, STEPS, CHANNELS)):
        if gauged is None:
            continue
        w, fired = 0.0, 0.0
        column = (-1, 1, 1)
        for step, (membrane, now) in enumerate(zip(membranes, spikes, strict=True)):
            decay, shift, gain, hard, soft, scale, threshold = (
                getattr(gauged, name)[step].reshape(column)
                for name in ("decay", "shift", "gain", "hard_reset", "soft_reset", "scale", "threshold")
            )
            w = decay * w + shift + gain * np.float64(CURRENT[step]) - fired * (hard * w + soft)
            offset = gauged.offset.reshape(column)
            tolerance = 4 * np.finfo(np.float32).eps * STEPS * (1 + np.abs(offset).max())
            np.testing.assert_allclose(scale * w - offset, membrane, rtol=1e-9, atol=tolerance)
            firing = np.float64(neuron.threshold).reshape(column)
            np.testing.assert_allclose(scale * threshold - offset, np.broadcast_to(firing, scale.shape), atol=1e-12)
            fired = now


def test_an_offset_that_would_cost_precision_leaves_the_order_of_the_reference():
    neuron = constants_of("glif", {"init": "cifar"})
    far = neuron.hard_reset.copy()
    far[3] = neuron.soft_reset[3] / (1.01 * LARGEST_OFFSET * neuron.threshold[3])
    near = np.where(np.arange(CHANNELS) == 3, far * 1.02, far)
    assert unit_threshold(replace(neuron, hard_reset=near), STEPS, CHANNELS) is not None
    neuron = replace(neuron, hard_reset=far)
    assert unit_threshold(neuron, STEPS, CHANNELS) is None
    assert unit_gain(neuron, STEPS, CHANNELS).soft_reset.any()
    np.testing.assert_array_equal(spikes_of(neuron, in_one_tensor), spikes_of(neuron, in_order))


ONE_TENSOR = [
    ("glif", {}, {"Mul": 2, "Sub": 1, "Add": 1, "HardSigmoid": 1}),
    ("plif", {}, {"Mul": 2, "Sub": 1, "Add": 1, "HardSigmoid": 1}),
    ("lif", {"reset": "soft"}, {"Mul": 1, "Sub": 1, "Add": 1, "HardSigmoid": 1}),
    ("if", {}, {"Sub": 1, "Add": 1, "HardSigmoid": 1}),
]


@pytest.mark.parametrize(("name", "options", "nodes"), ONE_TENSOR, ids=str)
def test_nodes_of_a_step_in_one_tensor(name, options, nodes):
    assert per_step(constants_of(name, options), in_one_tensor) == nodes


def test_the_reference_takes_nine_nodes_a_step():
    nodes = {"Mul": 3, "Sub": 2, "Add": 2, "Greater": 1, "Cast": 1}
    assert per_step(constants_of("glif", {}), in_order) == nodes


def per_step(neuron, write):
    graph, _ = written(neuron, write)
    split = next(at for at, node in enumerate(graph.nodes) if node.op_type == "Split")
    count = Counter(node.op_type for node in graph.nodes[split + 1 : -1])
    first = "HardSigmoid" if "HardSigmoid" in count else "Greater"
    assert count[first] == STEPS
    return {kind: -(-number // STEPS) for kind, number in count.items()}


def kinds(model):
    return Counter(node.op_type for node in model.proto.graph.node)


STEPWISE = {"Conv": 2, "HardSigmoid": 1, "BatchNormalization": 1, "Mul": 1, "Add": 1}
"""One of the Convs is the layer's own; the first step has no membrane before it, and so three nodes fewer."""


@pytest.mark.parametrize(("neuron", "options"), [("glif", {}), ("plif", {"v_reset": -0.5}), ("lif", {})], ids=str)
def test_nodes_of_a_network_by_steps(neuron, options):
    network = lively("cifarnet", neuron, steps=STEPS, encoder="frames", **options)
    layers = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    counted = Counter(
        node.op_type for node in unrolled_model(prepared(network, True), ExportOptions()).proto.graph.node
    )
    for kind, number in STEPWISE.items():
        first = 0 if kind in ("Conv", "HardSigmoid") else 1
        assert counted[kind] >= number * layers * (STEPS - first), kind
    assert not {"Greater", "Cast"} & counted.keys()
    exact = kinds(unrolled_model(prepared(network, False), ExportOptions(fold=False)))
    assert exact["Cast"] == STEPS * exact["Split"]
    assert not {"HardSigmoid", "Gather"} & exact.keys()


def test_a_network_by_steps_splits_and_joins_nothing_between_convolutions():
    network = lively("7b-widenet", "glif", steps=4)
    model = unrolled_model(prepared(network, True), ExportOptions())
    counted = kinds(model)
    layers = len(model.spikes)
    assert layers == 16
    assert counted["Conv"] == 2 * 4 * layers
    assert counted["BatchNormalization"] == counted["Mul"] == 3 * layers
    assert not {"Split", "Concat", "Unsqueeze", "Transpose"} & counted.keys()
    assert counted["Gather"] == 4  # the frames
