import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from deploy.export import export
from deploy.exporting.onnx.graph import GraphBuilder
from deploy.exporting.onnx.model import unrolled_model
from deploy.exporting.onnx.neuron_nodes import NeuronConstants, scanned, unrolled
from deploy.exporting.options import ExportOptions
from deploy.running.quiet import onnxruntime
from evglif.neurons import GLIF, IF, LIF, PLIF, GLIFf
from evglif.recurrence import Coefficients
from tests.helpers.checkpoints import lively, saved

NEURONS = {
    "glif": GLIF(2, 4, init="cifar"),
    "glif of one layer": GLIF(2, 4, sharing="layer", init="cifar"),
    "glif_f": GLIFf(2, 4, init="cifar"),
    "plif": PLIF(v_reset=-0.5),
    "plif, soft": PLIF(v_reset=None),
    "lif": LIF(),
    "if": IF(v_th=0.5),
    **{f"simplex {code:03b}": GLIF(2, 4, gates=f"{code:03b}", init="cifar") for code in range(8)},
}


def spikes_of(write, neuron, current):
    """Run the nodes of one layer in onnxruntime."""
    coefficients = neuron.coefficients()
    values = [getattr(coefficients, name).detach().numpy() for name in Coefficients.__dataclass_fields__]
    graph = GraphBuilder()
    made = write(graph, NeuronConstants(*values, neuron.rest, neuron.strict, current.ndim - 3))
    takes = helper.make_tensor_value_info("current", TensorProto.FLOAT, list(current.shape))
    gives = helper.make_tensor_value_info(made, TensorProto.FLOAT, list(current.shape))
    opset = helper.make_opsetid("", 18)
    proto = helper.make_model(graph.graph("layer", [takes], [gives]), opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(proto, full_check=True)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"current": current})[0]


SHAPES = [(4, 3, 2, 5, 6), (4, 3, 2), (1, 2, 2, 3, 3)]
FITTING = [(name, shape) for name in NEURONS for shape in SHAPES if NEURONS[name].steps in (None, shape[0])]


@pytest.mark.parametrize(("name", "shape"), FITTING, ids=str)
def test_nodes_fire_as_the_neuron_does_spike_for_spike(name, shape):
    neuron = NEURONS[name]
    current = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 2
    with torch.no_grad():
        expected = neuron(current).numpy()
    assert 0 < expected.mean() < 1
    loop = lambda graph, layer: unrolled(graph, layer, "current", shape[0], "spikes")  # noqa: E731
    np.testing.assert_array_equal(spikes_of(loop, neuron, current.numpy()), expected)
    scan = lambda graph, layer: scanned(graph, layer, "current", "spikes")  # noqa: E731
    np.testing.assert_array_equal(spikes_of(scan, neuron, current.numpy()), expected)


def test_reshapes_in_a_row_go_back_to_their_source():
    graph = GraphBuilder()
    unfolded = graph.reshape("x", ("3*b", 4), (3, "b", 4))
    assert graph.reshape(unfolded, (3, "b", 4), ("3*b", 4)) == "x"
    graph.reshape(unfolded, (3, "b", 4), (3, "b", 2, 2))
    assert [node.input[0] for node in graph.nodes] == ["x", "x"]


def test_equal_constants_are_stored_once_and_unneeded_ones_not_at_all():
    graph = GraphBuilder()
    first, second = graph.constant(np.ones(3, np.float32)), graph.constant(np.ones(3, np.float32))
    assert first == second
    assert graph.constant(np.ones((3, 1), np.float32)) != first
    made = graph.add("Add", first, second)
    graph.add("Mul", first, "elsewhere")
    written = graph.graph("g", [], [helper.make_tensor_value_info(made, TensorProto.FLOAT, [3])])
    assert [node.op_type for node in written.node] == ["Add"]
    assert [tensor.name for tensor in written.initializer] == [first]


def test_a_scan_gives_the_same_model_with_a_tenth_of_the_nodes(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "cifarnet", "glif", steps=8)
    path, _ = export(checkpoint, ExportOptions("onnx"))
    loop, parity = export(checkpoint, ExportOptions("onnx", scan=True), tmp_path / "scan.onnx")
    assert parity.agreement == 1
    kinds = [node.op_type for node in onnx.load(loop).graph.node]
    assert kinds.count("Scan") == 5
    assert len(kinds) < len(onnx.load(path).graph.node) / 3


@pytest.mark.parametrize(("opset", "ir_version"), [(18, 8), (21, 10)])
def test_the_opset_decides_which_onnxruntime_loads_a_file(tmp_path, opset, ir_version):
    path, _ = export(saved(tmp_path / "model.pt", "plif-mnist", "plif"), ExportOptions(opset=opset, compat=opset == 18))
    proto = onnx.load(path)
    assert (proto.opset_import[0].version, proto.ir_version) == (opset, ir_version)


def test_an_operator_without_a_rule_is_named_with_its_layer():
    model = lively("plif-mnist", "plif")
    model.features.insert(2, torch.nn.Hardswish())
    with pytest.raises(ValueError, match=r"features\.2 uses the operator aten\.hardswish\.default, .*--format pt2"):
        unrolled_model(model, ExportOptions())
