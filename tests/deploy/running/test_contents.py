"""An ONNX file is looked through before anything of it is loaded."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploy.running.contents import check_contents
from deploy.runtime import Classifier
from tests.helpers.onnx_models import step_model, with_inner_graph


def looked_through(proto):
    check_contents(memoryview(proto.SerializeToString()), "m.onnx")


@pytest.mark.parametrize("kind", ["Loop", "If"])
def test_a_graph_whose_run_need_not_end_is_never_loaded(tmp_path, monkeypatch, kind):
    path = with_inner_graph(step_model(tmp_path / "m.onnx"), kind)
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    with pytest.raises(ValueError, match=rf"m\.onnx has the operator {kind}, whose run need not end"):
        Classifier(path)


def scan(*inside):
    return helper.make_node("Scan", ["x"], ["y"], num_scan_inputs=1, body=helper.make_graph(inside, "body", [], []))


def model_of(*nodes, **others):
    return helper.make_model(helper.make_graph(nodes, "g", [], []), **others)


def test_a_scan_may_be_but_not_inside_another():
    looked_through(model_of(scan(helper.make_node("Identity", ["a"], ["b"]))))
    with pytest.raises(ValueError, match=r"m\.onnx has a Scan inside another operator"):
        looked_through(model_of(scan(scan())))


def test_an_operator_of_another_domain_is_no_scan():
    node = scan()
    node.domain = "com.example"
    with pytest.raises(ValueError, match=r"the operator com\.example\.Scan"):
        looked_through(model_of(node))


def test_functions_are_refused():
    function = helper.make_function("d", "f", [], [], [], [])
    with pytest.raises(ValueError, match=r"m\.onnx defines functions"):
        looked_through(model_of(functions=[function]))


def halves(values):
    return TensorProto(data_type=TensorProto.FLOAT16, dims=[len(values)], raw_data=np.float16(values).tobytes())


def listed(values):
    return helper.make_tensor("w", TensorProto.FLOAT, [len(values)], values)


def raw(dtype):
    return lambda values: numpy_helper.from_array(np.array(values, dtype), "w")


@pytest.mark.parametrize("tensor", [raw(np.float32), raw(np.float64), listed, halves])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_found_wherever_they_are(tensor, value):
    for values, refused in (([1.0, 2.0], False), ([1.0, value], True)):
        constant = helper.make_node("Constant", [], ["c"], value=tensor(values))
        for proto in (model_of(constant), model_of(scan(constant)), model_of()):
            if not proto.graph.node:
                proto.graph.initializer.append(tensor(values))
            if refused:
                with pytest.raises(ValueError, match=r"m\.onnx holds NaN or infinite weights"):
                    looked_through(proto)
            else:
                looked_through(proto)


def test_whole_numbers_may_have_any_bits():
    tensor = numpy_helper.from_array(np.array([-1, 0x7FC00000], np.int32), "i")
    proto = model_of()
    proto.graph.initializer.append(tensor)
    looked_through(proto)


def test_what_runs_out_of_room_is_an_error_of_ours(tmp_path):
    """A file of 2 KB that asks for 4 TiB when it runs."""
    path = step_model(tmp_path / "m.onnx")
    proto = onnx.load(path)
    times = numpy_helper.from_array(np.array([1, 1, 1 << 20, 1 << 19], np.int64), "times")
    proto.graph.initializer.append(times)
    proto.graph.node.insert(0, helper.make_node("Tile", ["frame", "times"], ["many"]))
    sums = next(node for node in proto.graph.node if node.op_type == "ReduceSum")
    sums.input[0] = "many"
    onnx.save(proto, path)
    with pytest.raises(ValueError, match=r"m\.onnx cannot be (run|loaded)"):
        Classifier(path).predict(np.zeros((3, 2, 4, 4), np.float32))
