"""What the tests of deploy/examples share: settings of frames, and a model that weighs every bin of them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from deploy.running.metadata import KEY
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from tests.helpers import ROOT
from tests.helpers.onnx_models import describe

EXAMPLES = ROOT / "deploy" / "examples"
CLASSES = ["circle", "square", "très long"]
REFERENCE = {"kind": "events", "steps": 16, "size": [48, 48], "slicing": "count", "resize": "bilinear"}
CONFIGS = {
    "reference": REFERENCE,
    "transposed": {**REFERENCE, "transpose": True},
    "turned": {**REFERENCE, "size": [20, 28], "transpose": True, "half_turn": True},
    "area": {**REFERENCE, "steps": 3, "size": [16, 12], "resize": "area", "transpose": True, "filters": []},
    "antialias": {**REFERENCE, "steps": 5, "size": [20, 28], "resize": "bilinear-antialias", "slicing": "time"},
    "finest": {**REFERENCE, "steps": 1, "size": [37, 41], "resize": "bilinear-antialias"},
    "nearest": {**REFERENCE, "steps": 4, "resize": "nearest", "value": "signed", "slicing": "duration:15.5ms"},
    "sum": {**REFERENCE, "steps": 4, "size": [7, 9], "resize": "sum", "value": "binary", "slicing": "events:333"},
    "windows": {**REFERENCE, "steps": 2, "size": [8, 8], "window_us": 30_000, "hop_us": 20_000},
    "voxel": {**REFERENCE, "value": "voxel", "slicing": "time"},
    "voxel, fixed": {**REFERENCE, "steps": 4, "size": [20, 28], "value": "voxel", "slicing": "duration:15.5ms"},
    "voxel, one step": {**REFERENCE, "steps": 1, "value": "voxel", "slicing": "time", "resize": "sum"},
    "enlarged": {**REFERENCE, "steps": 1, "size": [130, 200]},
}


UNUSABLE = {
    "filters": ({**REFERENCE, "filters": ["noise:10ms"]}, {}, r"filters .*noise:10ms.*cannot do"),
    "resizing": ({**REFERENCE, "resize": "bicubic"}, {}, "resizing bicubic.*cannot do"),
    "slicing": ({**REFERENCE, "slicing": "duration:2h"}, {}, "slicing duration:2h.*cannot do"),
    "value": ({**REFERENCE, "value": "log"}, {}, "value log.*cannot do"),
    "voxel": ({**REFERENCE, "value": "voxel"}, {}, "value voxel and the slicing count.*cannot do"),
    "sensor": (REFERENCE, {"sensor": [346, 260]}, r"sensor.*346.*260.*128"),
    "version": (REFERENCE, {"version": 1}, "version 1.*reads 2.*deploy.export"),
    "images": (REFERENCE, {"model": {"encoder": "direct"}}, "trained on images"),
    "unknown": (None, {}, "does not know how its training data were made"),
}


def linear_model(path, config, **changed):
    """An unrolled model whose logits weigh every bin of the frames in another way."""
    columns, rows = (config or REFERENCE)["size"]
    steps = (config or REFERENCE)["steps"]
    weights = np.random.default_rng(0).normal(0, 0.02, (steps * 2 * rows * columns, len(CLASSES))).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["frames"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    frames = helper.make_tensor_value_info("frames", TensorProto.FLOAT, ["batch", steps, 2, rows, columns])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(CLASSES)])
    graph = helper.make_graph(nodes, "linear", [frames], [logits], [numpy_helper.from_array(weights, "w")])
    proto = helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 18)])
    form = {"form": "unrolled", "states": [], "steps": steps, "size": [columns, rows], "classes": CLASSES, **changed}
    helper.set_model_props(proto, {KEY: describe(config, **form)})
    save(proto, path)
    return path


def broken_recordings(folder):
    """Recordings that cannot be used, and what is said of each."""
    header = aedat2.encode(make_events(*np.zeros((4, 1), np.int64)))[:-8]
    records = {
        "empty": (b"", "AEDAT-2.0"),
        "other": (b"EVT3", "AEDAT-2.0"),
        "header": (header, "holds no events"),
        "cut": (header + bytes(12), "cut in the middle of a record"),
        "davis": (b"#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.DAVIS240C\r\n" + bytes(8), "by a DAVIS240C"),
        "address": (header + bytes(8) + b"\0\1\0\0\0\0\0\0", f"address at byte {len(header) + 8} is outside"),
        "backwards": (header + b"\0\0\0\0\0\1\0\0" + bytes(8), "time runs backwards, from 65536 to 0"),
    }
    for name, (data, _) in records.items():
        (folder / f"{name}.aedat").write_bytes(data)
    return {folder / f"{name}.aedat": said for name, (_, said) in records.items()}
