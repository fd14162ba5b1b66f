"""Export to ONNX: all time steps in one graph, or the step model; the batch size stays open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch.export import ExportedProgram
from torch.fx import Node

from deploy.exporting.capture import BATCH, capture, placeholders
from deploy.exporting.nodes import layer, shape_of
from deploy.exporting.onnx import neuron_nodes, regrouped_nodes
from deploy.exporting.onnx.aten import Recurrence, Translation
from deploy.exporting.onnx.by_steps import ByStepsTranslation
from deploy.exporting.onnx.graph import GraphBuilder, pruned
from deploy.exporting.onnx.neuron_nodes import NeuronConstants
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import example_frames, freeze
from deploy.exporting.step import FRAME, LOGITS, STEP, StepNetwork
from deploy.exporting.verify import Frames, Run, Spikes
from deploy.running.metadata import KEY, MembraneState, ModelMetadata
from deploy.running.quiet import onnxruntime
from evglif.models import Network

FRAMES = "frames"
NEXT = "_next"


class OnnxModel:
    """An ONNX model in memory.

    Args:
        proto: whose graph also gives the spikes of every layer, as outputs behind its own.
        spikes: layer → output.
        states: of a step model.
        steps: T.

    Attributes:
        observed: that model.
        proto: the model without those outputs, as it is written.
    """

    def __init__(
        self, proto: onnx.ModelProto, spikes: Mapping[str, str], states: tuple[MembraneState, ...], steps: int
    ) -> None:
        self.observed = proto
        self.states, self.steps = states, steps
        self.spikes = dict(spikes)
        self.proto = onnx.ModelProto()
        self.proto.CopyFrom(proto)
        kept = [output for output in proto.graph.output if output.name not in self.spikes.values()]
        del self.proto.graph.output[:]
        self.proto.graph.output.extend(kept)
        self.proto.graph.CopyFrom(pruned(self.proto.graph))

    def save(self, path: Path, metadata: ModelMetadata) -> None:
        """Write the model with its description; the ONNX checker has inferred every shape of it.

        Raises:
            onnx.checker.ValidationError: if the checker refuses the graph.
        """
        helper.set_model_props(self.proto, {KEY: metadata.to_json()})
        onnx.checker.check_model(self.proto, full_check=True)
        onnx.save(self.proto, path)

    def observe(self, frames: Frames) -> Spikes:
        """Spikes of every layer, ``[T, B, C, …]``, by layer."""
        if not self.spikes:
            return {}
        session = _session(self.observed.SerializeToString())
        outputs = list(self.spikes.values())
        steps = _runs(session, frames, outputs, self.states, self.steps)
        return {name: np.concatenate(each) for name, each in zip(self.spikes, zip(*steps, strict=True), strict=True)}


def unrolled_model(network: Network, options: ExportOptions) -> OnnxModel:
    """All time steps of a network: input ``frames`` ``[batch, T, C, H, W]``, output ``logits`` ``[batch, K]``."""
    frozen = freeze(network, as_operator=True)
    program = capture(frozen, (example_frames(frozen),), batched=(True,))
    proto, spikes = _model(program, [FRAMES], [LOGITS], options, _translation(options))
    return OnnxModel(proto, spikes, (), network.spec.steps)


def step_model(network: StepNetwork, options: ExportOptions) -> OnnxModel:
    """One time step of a network, see ``deploy.exporting.step``."""
    names = [state.name for state in network.states]
    membranes = [torch.full((2, *state.shape), state.rest) for state in network.states]
    frame = example_frames(network.network)[:, 0]
    program = capture(network, (frame, torch.tensor(0), membranes), batched=(True, False, True))
    outputs = [LOGITS, *(name + NEXT for name in names)]
    proto, spikes = _model(program, [FRAME, STEP, *names], outputs, options, _in_one_tensor(_unrolled))
    spikes = {layer.removeprefix("network."): name for layer, name in spikes.items()}
    return OnnxModel(proto, spikes, network.states, network.network.spec.steps)


def with_outputs(model: OnnxModel, names: list[str]) -> Callable[[Frames], Iterator[list[Frames]]]:
    """A function of frames that gives any values of a model, of its one run or of every step."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.observed)
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = _session(proto.SerializeToString())
    return lambda frames: _runs(session, frames, names, model.states, model.steps)


def open_onnx(path: Path) -> Run:
    """Load an exported file, unrolled or step model, as a function of frames ``[B, T, C, H, W]``."""
    session = _session(str(path))
    metadata = ModelMetadata.from_json(session.get_modelmeta().custom_metadata_map[KEY], str(path))

    def run(frames: Frames) -> Frames:
        runs = _runs(session, frames, [LOGITS], metadata.states, metadata.steps)
        logits: Frames = np.mean([outputs[0] for outputs in runs], axis=0)
        return logits

    return run


MakeTranslation = Callable[[GraphBuilder, dict[Node, torch.Tensor], str], Translation]
"""Graph, constants, what shapes call the batch size → what writes the graph."""


def _translation(options: ExportOptions) -> MakeTranslation:
    """How networks become nodes: exact ones in the reference's order of operations, others regrouped for speed.

    Convolutions in fewer bits take all steps at once.
    """
    if options.scan:
        return _in_one_tensor(_scanned)
    if not options.fold:
        return _in_one_tensor(_unrolled)
    return ByStepsTranslation if options.precision == "fp32" else _in_one_tensor(regrouped_nodes.in_one_tensor)


def _in_one_tensor(recurrence: Recurrence) -> MakeTranslation:
    return lambda graph, constants, _batch: Translation(graph, constants, recurrence)


def _scanned(graph: GraphBuilder, neuron: NeuronConstants, current: str, _shape: Sequence[int], name: str) -> str:
    return neuron_nodes.scanned(graph, neuron, current, name)


def _unrolled(graph: GraphBuilder, neuron: NeuronConstants, current: str, shape: Sequence[int], name: str) -> str:
    return neuron_nodes.unrolled(graph, neuron, current, shape[0], name)


def _model(
    program: ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    options: ExportOptions,
    make_translation: MakeTranslation,
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The model of a captured graph, and layer → output that holds its spikes."""
    graph = GraphBuilder()
    constants, given = placeholders(program)
    translation = make_translation(graph, constants, str(shape_of(given[0])[0]))
    translation.values.update(zip(given, inputs, strict=True))
    nodes = [node for node in program.graph.nodes if node.op != "placeholder"]
    for node in nodes[:-1]:
        translation.run(node)
    results = dict(zip(outputs, nodes[-1].args[0], strict=True))
    for name, node in results.items():
        graph.add("Identity", translation.value(node), name=name)
    takes = [_value_info(name, node) for name, node in zip(inputs, given, strict=True)]
    gives = [_value_info(name, node) for name, node in results.items()]
    observed = [_value_info(name, node) for node, name in translation.spikes.items()]
    opset = helper.make_opsetid("", options.opset)
    proto = helper.make_model(
        graph.graph("evglif", takes, [*gives, *observed]), opset_imports=[opset], producer_name="evglif"
    )
    proto.ir_version = helper.find_min_ir_version_for([opset])
    return proto, {layer(node): name for node, name in translation.spikes.items()}


def _value_info(name: str, node: Node) -> onnx.ValueInfoProto:
    shape = [BATCH if isinstance(size, str) else size for size in shape_of(node)]
    kind = TensorProto.FLOAT if shape else TensorProto.INT64  # the number of the step is the one scalar
    return helper.make_tensor_value_info(name, kind, shape)


def _session(model: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _runs(
    session: onnxruntime.InferenceSession,
    frames: Frames,
    outputs: list[str],
    states: tuple[MembraneState, ...],
    steps: int,
) -> Iterator[list[Frames]]:
    """The outputs of the one run of an unrolled model, or of every step of a step model."""
    inputs = [each.name for each in session.get_inputs()]
    if FRAMES in inputs:
        yield session.run(outputs, {FRAMES: frames})
        return
    following = [state.name + NEXT for state in states]
    membranes = {state.name: np.full((len(frames), *state.shape), state.rest, np.float32) for state in states}
    for step in range(steps):
        # A still image is the same frame at every step.
        given = {FRAME: frames[:, min(step, frames.shape[1] - 1)], STEP: np.array(step), **membranes}
        made = session.run([*outputs, *following], given)
        membranes = dict(zip(membranes, made[len(outputs) :], strict=True))
        yield made[: len(outputs)]
