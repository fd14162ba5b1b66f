"""A step model made by hand: two classes, one layer, small enough to follow and to run thousands of times."""

import json
from dataclasses import asdict

import numpy as np
from onnx import TensorProto, helper, load, save

from deploy.running.metadata import KEY, MembraneState, ModelMetadata

STEPS, SIZE, SENSOR, REST = 3, (4, 4), (128, 128), 0.25
GAINS = np.array([1.0, 0.5, 2.0], np.float32)
WEIGHTS = np.linspace(-0.3, 0.4, 2 * 2 * 4, dtype=np.float32).reshape(8, 2)
CONFIG = {"kind": "events", "steps": STEPS, "size": list(SIZE), "resize": "area", "slicing": "duration:20ms"}


def _config(**changed):
    return {"preprocessing": {**CONFIG, **changed}}


_STATE = {"name": "membrane_0", "layer": "layer", "shape": [2], "rest": REST}
DAMAGED = {
    "other classes": ({"classes": ["left", "left"]}, "classes"),
    "a class that is a number": ({"classes": ["left", 3]}, "classes[1]"),
    "no class": ({"classes": []}, "classes"),
    "a name that is a list": ({"states": [{**_STATE, "name": ["membrane_0"]}]}, "states[0].name"),
    "one side": ({"sensor": [1]}, "sensor"),
    "a side of nought": ({"sensor": [128, 0]}, "sensor[1]"),
    "many steps": ({"steps": 10**9}, "steps"),
    "half a step": ({"steps": 1.5}, "steps"),
    "true steps": ({"steps": True}, "steps"),
    "a large sample": ({"steps": 9999, "size": [4096, 4096], **_config(steps=9999, size=[4096, 4096])}, "steps"),
    "other steps": (_config(steps=4), "preprocessing.steps"),
    "another size": (_config(size=[4, 5]), "preprocessing.size"),
    "a state twice": ({"states": [_STATE, _STATE]}, "states"),
    "a state's rest": ({"states": [{**_STATE, "rest": None}]}, "states[0].rest"),
    "a state's side": ({"states": [{**_STATE, "shape": [-2]}]}, "states[0].shape[0]"),
    "transpose x": (_config(transpose="x"), "preprocessing.transpose"),
    "half a turn": (_config(half_turn=1), "preprocessing.half_turn"),
    "resize": (_config(resize="constructor"), "resize"),
    "resize in a list": (_config(resize=["area"]), "resize"),
    "value": (_config(value="toString"), "value"),
    "slicing": (_config(slicing=["count"]), "slicing"),
    "slices of nothing": (_config(slicing="duration:0ms"), "slicing"),
    "a hop of 1 µs": (_config(window_us=10**6, hop_us=1), "preprocessing.hop_us"),
    "a hop of less": (_config(window_us=1000, hop_us=1e-9), "preprocessing.hop_us"),
    "a hop backwards": (_config(window_us=1000, hop_us=-5), "preprocessing.hop_us"),
    "a short window": (_config(window_us=2, hop_us=2), "preprocessing.window_us"),
    "a window alone": (_config(window_us=1000), "preprocessing.hop_us"),
    "no such form": ({"form": "both"}, "form"),
    "precision": ({"precision": "int4"}, "precision"),
    "batch norm": ({"batch_norm": "lost"}, "batch_norm"),
    "who said the sensor": ({"sensor_from": "nobody"}, "sensor_from"),
    "scale": ({"scale": -1}, "scale"),
    "encoder": ({"model": {"encoder": "morse"}}, "model.encoder"),
    "another network": ({"model": {"encoder": "frames", "num_classes": 3}}, "model.num_classes"),
    "kind": (_config(kind="video"), "preprocessing.kind"),
    "time unit": (_config(time_unit="h"), "preprocessing.time_unit"),
    "bad events": (_config(drop_bad=2), "preprocessing.drop_bad"),
    "filter": (_config(filters=["noise:ever"]), "preprocessing.filters"),
    "a field more": ({"colour": "red"}, "colour"),
}
"""What is changed in the description of the step model, and the field that an error names."""

UNCHECKED_BY_EXAMPLES = {
    "precision", "batch norm", "who said the sensor", "scale", "another network", "kind", "time unit", "bad events",
    "a field more",
}  # fmt: skip
"""What the programs of deploy/examples do not look at."""


def with_inner_graph(path, kind):
    """A model with one more operator, that has a graph inside; nothing needs what it gives."""
    proto = load(path)
    ends = helper.make_tensor_value_info("ends", TensorProto.BOOL, [])
    always = helper.make_node("Constant", [], ["ends"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    bodies = {
        "Loop": {"body": helper.make_graph(
            [helper.make_node("Identity", ["goes on"], ["ends"])],
            "body",
            [helper.make_tensor_value_info("at", TensorProto.INT64, []),
             helper.make_tensor_value_info("goes on", TensorProto.BOOL, [])],
            [ends],
        )},
        "If": {name: helper.make_graph([always], name, [], [ends]) for name in ("then_branch", "else_branch")},
    }  # fmt: skip
    true = helper.make_node("Constant", [], ["true"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    node = helper.make_node(kind, ["", "true"] if kind == "Loop" else ["true"], ["end"][: kind == "If"], **bodies[kind])
    proto.graph.node.extend([true, node])
    save(proto, path)
    return path


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
