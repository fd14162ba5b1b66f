"""Export to ONNX: one graph, unrolled over T, batch size open."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxscript import opset18 as op

from deploy.metadata import KEY
from deploy.prepare import describe, example_frames, freeze
from evglif.checkpoint import Checkpoint

OPSET = 18
INPUT, OUTPUT = "frames", "logits"


def export_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint as ONNX: input ``frames`` ``[batch, T, C, H, W]``, output ``logits`` ``[batch, K]``.

    Batch norm is kept as it is. The file holds the model's description (``deploy.metadata``), and no path or name
    of the machine that made it. It has passed the ONNX checker with shape inference.

    Raises:
        onnx.checker.ValidationError: if the checker refuses the graph.
    """
    model = freeze(checkpoint.model, as_operator=True)
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            model,
            (example_frames(model),),
            dynamo=True,
            optimize=False,  # onnxruntime optimises at load; here it would take longer than all the rest
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            custom_translation_table={torch.ops.evglif_deploy.recurrence.default: _unrolled},
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _strip_traces(proto)
    onnx.helper.set_model_props(proto, {KEY: describe(checkpoint).to_json()})
    proto.producer_name = "evglif"
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)


def onnx_session(path: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Load an exported file as a function of frames ``[B, T, C, H, W]`` that gives logits ``[B, K]``."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run([OUTPUT], {INPUT: frames})[0]
        return logits

    return run


def _unrolled(  # the operator's own arguments
    current: Any,
    decay: Any,
    leak: Any,
    gain: Any,
    hard_reset: Any,
    soft_reset: Any,
    threshold: Any,
    rest: float,
    strict: bool,
) -> Any:
    """One recurrence as ONNX nodes, a copy per time step, in the same order of operations as the reference."""
    steps, dims = current.shape[0], len(current.shape)
    per_channel: Any = op.Constant(value_ints=list(range(1, dims - 2)))
    decay, leak, hard_reset, soft_reset, threshold = (
        op.Unsqueeze(value, per_channel) for value in (decay, leak, hard_reset, soft_reset, threshold)
    )
    # A gain per step, [T, C], lines up with [T, B, C, …]; one for all steps, [C], is like the others.
    gain_axes: Any = op.Constant(value_ints=[1, *range(3, dims)]) if len(gain.shape) == 2 else per_channel
    scaled = op.Mul(op.Unsqueeze(gain, gain_axes), current)
    currents = op.Split(scaled, axis=0, num_outputs=steps) if steps > 1 else [scaled]
    fire = op.Greater if strict else op.GreaterOrEqual
    start = op.Mul(decay, op.Constant(value_floats=[float(rest)]))
    membrane = op.Add(op.Sub(start, leak), currents[0])
    spikes = [op.CastLike(fire(membrane, threshold), current)]
    for current_step in currents[1:]:
        update = op.Add(op.Sub(op.Mul(decay, membrane), leak), current_step)
        reset = op.Mul(spikes[-1], op.Add(op.Mul(hard_reset, membrane), soft_reset))
        membrane = op.Sub(update, reset)
        spikes.append(op.CastLike(fire(membrane, threshold), current))
    return op.Concat(*spikes, axis=0)


def _strip_traces(proto: onnx.ModelProto) -> None:
    """Remove what the exporter notes of source files: it triples the size and names folders of this machine."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's notes on its own working: a deprecated call inside torch, operators left unfolded."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)
