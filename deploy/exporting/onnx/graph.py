"""A builder of ONNX graphs: nodes, constants, and reshapes that do not follow one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int | str, ...]
"""Dimensions of a value; those that depend on the batch size have a name."""


class GraphBuilder:
    """Collects nodes in the order in which they run; every method returns the name of the value it makes.

    Args:
        counter: of the graph around this one, for the body of a loop: names are then unique in both.

    Attributes:
        nodes: so far.
        initializers: constants so far, by name.
    """

    def __init__(self, counter: Iterator[int] | None = None) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, TensorProto] = {}
        self._reshaped: dict[str, tuple[str, Shape]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self.counter = counter or count(1)

    def name(self, kind: str) -> str:
        """A name that is not taken."""
        return f"{kind}_{next(self.counter)}"

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node with one output."""
        return self.add_many(kind, inputs, [name or self.name(kind)], **attributes)[0]

    def add_many(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> Sequence[str]:
        """A node with the outputs named."""
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), self.name(f"node_{kind}"), **attributes))
        return outputs

    def constant(self, value: NDArray[np.generic], name: str | None = None) -> str:
        """An initializer; equal unnamed values are stored once."""
        value = np.asarray(value, order="C")
        key = (str(value.dtype), value.shape, value.tobytes())
        if name is None and key in self._constants:
            return self._constants[key]
        name = name or self.name("constant")
        self.initializers[name] = numpy_helper.from_array(value, name)
        return self._constants.setdefault(key, name)

    def integers(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, np.int64))

    def reshape(self, value: str, before: Shape, after: Shape) -> str:
        """A value in another shape, of which at most one dimension depends on the batch size.

        A reshape of a reshape goes back to where the first came from, so that what was folded and unfolded between
        two layers leaves nothing behind.
        """
        source, shape = self._reshaped.get(value, (value, before))
        if shape == after:
            return source
        reshaped = self.add(
            "Reshape", source, self.integers(*(-1 if isinstance(size, str) else size for size in after))
        )
        self._reshaped[reshaped] = (source, shape)
        return reshaped

    def graph(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        """The graph, without nodes and constants that no output needs."""
        return pruned(
            helper.make_graph(self.nodes, name, list(inputs), list(outputs), list(self.initializers.values()))
        )


def pruned(graph: onnx.GraphProto) -> onnx.GraphProto:
    """A graph without nodes and constants that no output of it needs."""
    nodes = _needed(graph.node, {output.name for output in graph.output})
    used = {value for node in nodes for value in _values(node)}
    constants = [tensor for tensor in graph.initializer if tensor.name in used]
    return helper.make_graph(nodes, graph.name, list(graph.input), list(graph.output), constants)


def _needed(nodes: Sequence[onnx.NodeProto], values: set[str]) -> list[onnx.NodeProto]:
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if not values.isdisjoint(node.output):
            kept.append(node)
            values |= _values(node)
    return kept[::-1]


def _values(node: onnx.NodeProto) -> set[str]:
    """What a node reads, in the bodies of its loops too."""
    bodies = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    inner = {value for body in bodies for inside in body.node for value in _values(inside)}
    return {*node.input} | inner
