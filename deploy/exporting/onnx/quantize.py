"""Convolutions in fewer bits; membranes, thresholds and everything else stay in fp32.

int8 leaves the spikes as they are (``deploy.exporting.onnx.levels``). Weights have a scale per output channel, currents
one per layer from the range that the calibration's training samples give them. Linear layers stay in fp32, and so do
convolutions of what is no spike, such as the first. fp16 is for GPUs: spikes and their counts are exact in it too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from deploy.exporting.onnx.levels import Levels, find_levels
from deploy.exporting.onnx.model import OnnxModel, with_outputs
from deploy.exporting.options import ExportOptions
from deploy.exporting.verify import Frames
from evglif.checkpoint import Checkpoint
from evglif.data import check_checkpoint
from preprocessing.cache import FrameCache

NUM_CALIBRATION, AT_ONCE = 32, 4
WEIGHT_LEVELS = 127
CURRENT_LEVELS = 255

Range = tuple[float, float]


def reduced(model: OnnxModel, checkpoint: Checkpoint, options: ExportOptions) -> OnnxModel:
    """A model in the precision asked for.

    Raises:
        FileNotFoundError: if there is no such calibration file.
        ValueError: if it does not fit, or for int8 where no convolution sees spikes.
    """
    if options.precision == "fp32":
        return model
    if options.precision == "fp16":
        return in_fp16(model)
    assert options.calibration is not None
    return in_int8(model, calibration_frames(options.calibration, checkpoint, options.accept))


def in_fp16(model: OnnxModel) -> OnnxModel:
    """Every convolution in fp16."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.observed)
    _Half(proto.graph).rewrite({node.output[0] for node in proto.graph.node if node.op_type == "Conv"})
    return OnnxModel(proto, model.spikes, model.states, model.steps)


def in_int8(model: OnnxModel, batches: Iterator[Frames]) -> OnnxModel:
    """Every convolution of spikes in int8; the batches of frames give the ranges of their currents.

    Raises:
        ValueError: where no convolution sees spikes.
    """
    proto = onnx.ModelProto()
    proto.CopyFrom(model.observed)
    levels = find_levels(proto.graph.node)
    of_spikes = [node for node in proto.graph.node if node.op_type == "Conv" and node.input[0] in levels]
    chosen = {node.output[0] for node in of_spikes if levels[node.input[0]].fits}
    if not chosen:
        raise ValueError(
            "no convolution of this network sees spikes, so int8 has nothing to gain; export it with "
            "--precision fp32 or fp16"
        )
    _Int8(proto.graph, levels, current_ranges(model, sorted(chosen), batches)).rewrite(chosen)
    return OnnxModel(proto, model.spikes, model.states, model.steps)


def calibration_frames(path: Path, checkpoint: Checkpoint, accept: Collection[str] = ()) -> Iterator[Frames]:
    """Some samples of a cache's training split, evenly spread, few at a time."""
    with FrameCache(path) as cache:
        check_checkpoint(cache, checkpoint, accept)
        indices = cache.indices("train")
        if not len(indices):
            raise ValueError(f"{path} has no training split to calibrate on; give the cache the model was trained on")
        chosen = indices[np.linspace(0, len(indices) - 1, min(len(indices), NUM_CALIBRATION)).astype(int)]
        for start in range(0, len(chosen), AT_ONCE):
            yield cache.stored(chosen[start : start + AT_ONCE]) * np.float32(cache.scale)


def current_ranges(model: OnnxModel, names: list[str], batches: Iterator[Frames]) -> dict[str, Range]:
    """Least and largest value of each current."""
    ranges = dict.fromkeys(names, (0.0, 0.0))
    run = with_outputs(model, names)
    for frames in batches:
        for outputs in run(frames):
            for name, values in zip(names, outputs, strict=True):
                low, high = ranges[name]
                ranges[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return ranges


class _Writer:
    """Puts other nodes in the place of some convolutions."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.made: list[TensorProto] = []
        self.inputs: dict[str, str] = {}

    def rewrite(self, chosen: set[str]) -> None:
        nodes = [
            new for node in self.graph.node for new in (self.convolution(node) if node.output[0] in chosen else [node])
        ]
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        used = {name for node in nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*kept, *self.made])

    def convolution(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        raise NotImplementedError

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self.made.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def once(self, source: str, kind: str, *others: str, **attributes: Any) -> tuple[str, list[onnx.NodeProto]]:
        """A node on the input of convolutions, made for the first of them."""
        if source in self.inputs:
            return self.inputs[source], []
        name = self.inputs[source] = f"{source}_in"
        return name, [helper.make_node(kind, [source, *others], [name], f"node_{name}", **attributes)]


class _Half(_Writer):
    def convolution(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        out = node.output[0]
        source, before = self.once(node.input[0], "Cast", to=TensorProto.FLOAT16)
        parameters = [
            self.constant(f"{out}_{index}", self.weights[name].astype(np.float16))
            for index, name in enumerate(node.input[1:])
        ]
        half = _copied(node, "Conv", [source, *parameters], f"{out}_half")
        return [
            *before,
            half,
            helper.make_node("Cast", [f"{out}_half"], [out], f"node_{out}_out", to=TensorProto.FLOAT),
        ]


class _Int8(_Writer):
    def __init__(self, graph: onnx.GraphProto, levels: dict[str, Levels], ranges: dict[str, Range]) -> None:
        super().__init__(graph)
        self.levels = levels
        self.ranges = ranges

    def convolution(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        out, step = node.output[0], np.float32(self.levels[node.input[0]].step)
        source_scale = self.constant(f"{out}_x_scale", step)
        source_zero = self.constant(f"{out}_x_zero", np.uint8(0))
        source, before = self.once(node.input[0], "QuantizeLinear", source_scale, source_zero)
        weights, scale = self._weights(node)
        parameters = [
            self.constant(f"{out}_w", weights),
            self.constant(f"{out}_w_scale", scale),
            self.constant(f"{out}_w_zero", np.zeros(len(scale), np.int8)),
        ]
        low, high = self.ranges[out]
        current_scale = np.float32(max(high - low, 1e-6) / CURRENT_LEVELS)
        current = [
            self.constant(f"{out}_y_scale", current_scale),
            self.constant(f"{out}_y_zero", np.uint8(np.clip(np.round(-low / current_scale), 0, CURRENT_LEVELS))),
        ]
        inputs = [source, source_scale, source_zero, *parameters, *current]
        if len(node.input) > 2:
            bias = np.round(self.weights[node.input[2]] / (scale * step)).astype(np.int32)
            inputs.append(self.constant(f"{out}_b", bias))
        whole = _copied(node, "QLinearConv", inputs, f"{out}_whole")
        back = helper.make_node("DequantizeLinear", [f"{out}_whole", *current], [out], f"node_{out}_out")
        return [*before, whole, back]

    def _weights(self, node: onnx.NodeProto) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        weights = self.weights[node.input[1]]
        scale = np.maximum(np.abs(weights).max((1, 2, 3)), 1e-12).astype(np.float32) / np.float32(WEIGHT_LEVELS)
        return np.round(weights / scale[:, None, None, None]).astype(np.int8), scale


def _copied(node: onnx.NodeProto, kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
    made = helper.make_node(kind, inputs, [output], f"node_{output}")
    made.attribute.extend(node.attribute)
    return made
