"""A step model made by hand: two classes, one layer, small enough to follow and to run thousands of times."""

import json
from dataclasses import asdict

import numpy as np
from onnx import TensorProto, helper, save

from deploy.running.metadata import KEY, MembraneState, ModelMetadata

STEPS, SIZE, SENSOR, REST = 3, (4, 4), (128, 128), 0.25
GAINS = np.array([1.0, 0.5, 2.0], np.float32)
WEIGHTS = np.linspace(-0.3, 0.4, 2 * 2 * 4, dtype=np.float32).reshape(8, 2)
CONFIG = {"kind": "events", "steps": STEPS, "size": list(SIZE), "resize": "area", "slicing": "duration:20ms"}


def describe(config=CONFIG, **changed):
    """The description of the step model."""
    metadata = ModelMetadata(
        classes=("left", "right"),
        steps=STEPS,
        size=SIZE,
        channels=("OFF", "ON"),
        scale=1.0,
        sensor=SENSOR,
        preprocessing=config,
        model={"name": "handmade", "encoder": "frames"},
        versions={},
        weights_sha256="",
        form="step",
        states=(MembraneState("membrane_0", "layer", (2,), REST),),
    )
    return json.dumps({**asdict(metadata), **changed})


def step_model(path, config=CONFIG, **changed):
    """Write it: U' = g·(W·Σ frame) + U/2·(1 − S), S = U > 1/2; logits = S' + U'/8. Returns the path."""
    number = TensorProto.FLOAT
    node = helper.make_node
    constants = {
        "weights": WEIGHTS, "gains": GAINS, "half": np.float32(0.5), "one": np.float32(1), "eighth": np.float32(0.125),
        "rows": np.array([2], np.int64), "flat": np.array([-1, 8], np.int64),
    }  # fmt: skip
    nodes = [
        *(
            node(
                "Constant",
                [],
                [name],
                value=helper.make_tensor(
                    name, helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype), np.shape(value), np.ravel(value)
                ),
            )
            for name, value in constants.items()
        ),
        node("ReduceSum", ["frame", "rows"], ["columns"], keepdims=0),
        node("Reshape", ["columns", "flat"], ["inputs"]),
        node("MatMul", ["inputs", "weights"], ["current"]),
        node("Gather", ["gains", "step"], ["gain"]),
        node("Mul", ["current", "gain"], ["scaled"]),
        *_fired("membrane_0", "before"),
        node("Sub", ["one", "before"], ["kept"]),
        node("Mul", ["membrane_0", "half"], ["leaked"]),
        node("Mul", ["leaked", "kept"], ["left"]),
        node("Add", ["scaled", "left"], ["membrane_0_next"]),
        *_fired("membrane_0_next", "spikes"),
        node("Mul", ["membrane_0_next", "eighth"], ["small"]),
        node("Add", ["spikes", "small"], ["logits"]),
    ]
    frame = helper.make_tensor_value_info("frame", number, ["batch", 2, *SIZE[::-1]])
    step = helper.make_tensor_value_info("step", TensorProto.INT64, [])
    pairs = [
        helper.make_tensor_value_info(name, number, ["batch", 2])
        for name in ("membrane_0", "logits", "membrane_0_next")
    ]
    graph = helper.make_graph(nodes, "step", [frame, step, pairs[0]], pairs[1:])
    proto = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    helper.set_model_props(proto, {KEY: describe(config, **changed)})
    save(proto, path)
    return path


def _fired(membrane, spikes):
    yield helper.make_node("Greater", [membrane, "half"], [f"{spikes} fired"])
    yield helper.make_node("Cast", [f"{spikes} fired"], [spikes], to=TensorProto.FLOAT)


def logits_of(frames):
    """The same in NumPy: the mean logits ``[N, 2]`` after each of N ≤ T frames ``[N, 2, H, W]``."""
    membrane, total, means = np.full(2, REST, np.float32), np.zeros(2, np.float32), []
    for step, frame in enumerate(frames):
        spikes = membrane > 0.5
        membrane = GAINS[step] * (frame.sum(1).reshape(8) @ WEIGHTS) + membrane / 2 * (1 - spikes)
        total = total + (membrane > 0.5) + membrane / 8
        means.append(total / (step + 1))
    return np.array(means)
