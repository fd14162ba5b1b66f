"""What the nodes of a captured graph say of themselves."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node


def layer(node: Node) -> str:
    """The innermost layer of the network that a node comes from, e.g. ``features.1.first.neuron``."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def arguments(node: Node, *usual: Any) -> tuple[Any, ...]:
    """What an operator was called with; arguments that were left out are as in ``usual``."""
    return (*node.args, *usual[len(node.args) :])


def shape_of(node: Node) -> tuple[int | str, ...]:
    """Dimensions of a node's value, of several the first; those that follow from the batch size are texts."""
    value = node.meta["val"]
    shape = value.shape if isinstance(value, torch.Tensor) else value[0].shape
    return tuple(size if isinstance(size, int) else str(size) for size in shape)
