"""What a network does, as a graph of torch's operators with an open batch size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import Node

BATCH = "batch"


def capture(network: nn.Module, arguments: tuple[Any, ...], batched: tuple[bool, ...]) -> ExportedProgram:
    """Run a network once and note its operators.

    Args:
        network: stateless.
        arguments: examples of a batch of two (of one, torch would make a constant): tensors, or lists of tensors.
        batched: whether the first dimension of each argument is the batch.
    """
    batch = {0: torch.export.Dim(BATCH)}
    dynamic = tuple(
        [batch] * len(argument) if isinstance(argument, list) else batch if open_ else None
        for argument, open_ in zip(arguments, batched, strict=True)
    )
    with torch.no_grad():
        # Guards on strides, which no batch size breaks, would otherwise count as limits of the batch size.
        return torch.export.export(
            network.eval(), arguments, dynamic_shapes=dynamic, prefer_deferred_runtime_asserts_over_guards=True
        )


def placeholders(program: ExportedProgram) -> tuple[dict[Node, Tensor], list[Node]]:
    """Parameters and buffers of a captured graph with their values, and what the caller gives."""
    signature = program.graph_signature
    stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    stored |= signature.inputs_to_lifted_tensor_constants
    values = {**program.constants, **program.state_dict}
    inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
    constants = {node: values[stored[node.name]] for node in inputs if node.name in stored}
    return constants, [node for node in inputs if node.name not in stored]
