import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from deploy.export import export
from deploy.exporting.onnx.levels import Levels, find_levels
from deploy.exporting.options import ExportOptions
from deploy.running.metadata import KEY, ModelMetadata
from tests.helpers.checkpoints import saved


def test_sums_and_means_of_spikes_lie_on_a_grid_that_eight_bits_hold():
    nodes = [
        helper.make_node("Cast", ["fired"], ["spikes/a"], to=1),
        helper.make_node("Cast", ["fired"], ["spikes/b"], to=1),
        helper.make_node("Add", ["spikes/a", "spikes/b"], ["sum"]),
        helper.make_node("AveragePool", ["sum"], ["mean"], kernel_shape=[2, 2]),
        helper.make_node("Mul", ["spikes/a", "sum"], ["both"]),
        helper.make_node("Conv", ["sum", "w"], ["current"]),
        helper.make_node("Add", ["sum", "current"], ["mixed"]),
    ]
    levels = find_levels(nodes)
    assert levels["sum"] == Levels(1, 2)
    assert levels["mean"] == Levels(0.25, 2)
    assert levels["both"] == Levels(1, 2)
    assert levels.keys().isdisjoint({"current", "mixed", "fired"})
    assert Levels(1 / 64, 3).fits
    assert not Levels(1 / 64, 4).fits


def test_int8_keeps_spikes_exact_and_the_accuracy(run, cache_path, tmp_path):
    options = ExportOptions("onnx", precision="int8", calibration=cache_path)
    path, parity = export(run / "best.pt", options, tmp_path / "model.onnx", cache_path)
    assert parity.accuracy == parity.checkpoint_accuracy
    assert max(parity.flipped.values()) > 0
    proto = onnx.load(path)
    kinds = [node.op_type for node in proto.graph.node]
    assert (kinds.count("QLinearConv"), kinds.count("Conv")) == (15, 1)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    scales = {float(constants[node.input[1]]) for node in proto.graph.node if node.op_type == "QuantizeLinear"}
    assert scales == {1.0, 0.25, 1 / 16}
    text = {entry.key: entry.value for entry in proto.metadata_props}[KEY]
    assert ModelMetadata.from_json(text, "model.onnx").precision == "int8"


@pytest.mark.parametrize("format", ["onnx", "onnx-step"])
def test_fp16_keeps_membranes_in_fp32(tmp_path, format):
    path, parity = export(saved(tmp_path / "model.pt", "plif-mnist", "plif"), ExportOptions(format, precision="fp16"))
    assert parity.agreement >= 0.99
    graph = onnx.load(path).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        halves = [types.get(name) == onnx.TensorProto.FLOAT16 for name in node.input]
        assert any(halves) == (node.op_type == "Conv")
    assert parity.median_difference < 1e-2
    assert np.isfinite(parity.max_difference)


def test_a_network_without_spikes_has_nothing_to_quantise(tmp_path, cache_path):
    checkpoint = saved(tmp_path / "model.pt", "7b-widenet", "relu", num_classes=2, size=(16, 16))
    with pytest.raises(ValueError, match="no convolution of this network sees spikes"):
        export(checkpoint, ExportOptions("onnx", precision="int8", calibration=cache_path))
