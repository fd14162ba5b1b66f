"""What a NIR file holds: nodes by their names, edges, and what its writer says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.plain import brief
from preprocessing.trees import read_tree

VERSIONS = ("0.2", "1.")
"""How the versions of NIR begin whose files are laid out as here."""

LONGEST_NAME = 200


@dataclass(frozen=True)
class FileNode:
    """A node as it is written.

    Attributes:
        name: in the file.
        kind: NIR's name of it, such as ``"LIF"``.
        values: its parameters, arrays of any shape.
        metadata: what its writer says of it.
    """

    name: str
    kind: str
    values: Mapping[str, Any]
    metadata: Mapping[str, Any]

    def array(self, name: str, usual: float | None = None) -> NDArray[np.float64]:
        """A parameter as numbers; ``usual`` where the file leaves it out.

        Raises:
            ValueError: it is missing, no number, or not finite.
        """
        value = self.values.get(name, usual)
        if not isinstance(value, np.ndarray | float):
            raise ValueError(f"{self.name}: {self.kind} needs numbers for {name}, got {brief(value)}")
        array = np.asarray(value, np.float64)
        if not np.isfinite(array).all():
            raise ValueError(f"{self.name}: {name} holds values that are not finite")
        return array

    def pair(self, name: str) -> tuple[int, int]:
        """A parameter of two whole numbers, for height and width, or one for both."""
        array = self.array(name).reshape(-1)
        if array.size not in (1, 2) or (array != np.round(array)).any() or np.abs(array).max() > 1 << 30:
            raise ValueError(f"{self.name}: {name} is {brief(array.tolist())}; expected one or two whole numbers")
        first, second = (int(array[0]), int(array[-1]))
        return first, second


@dataclass(frozen=True)
class File:
    """A whole file.

    Attributes:
        version: of the package that wrote it.
        nodes: by their names.
        edges: (from, to).
        metadata: of the graph.
    """

    version: str
    nodes: Mapping[str, FileNode]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]


def read_nir_file(path: Path) -> File:
    """Read a file, in a process apart.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as ``read_tree``; and where it is no graph of NIR, or one of another version.
    """
    tree = read_tree(path)
    version, graph = tree.get("version"), tree.get("node")
    if not isinstance(version, str) or not isinstance(graph, dict):
        raise ValueError(f"{path} is no NIR file: it holds {brief(sorted(tree))}, not version and node")
    if not version.startswith(VERSIONS):
        known = ", ".join(f"{each.rstrip('.')}.x" for each in VERSIONS)
        raise ValueError(f"{path} is of NIR {brief(version)}, of which {known} are known here; write it anew with one")
    try:
        return _graph(version, graph)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _graph(version: str, graph: Mapping[str, Any]) -> File:
    if graph.get("type") != "NIRGraph" or not isinstance(graph.get("nodes"), dict):
        raise ValueError(f"its node is {brief(graph.get('type'))}; expected a NIRGraph with nodes")
    nodes = {name: _node(name, node) for name, node in graph["nodes"].items()}
    return File(version, nodes, _edges(graph.get("edges"), nodes), _metadata(graph))


def _node(name: str, node: Any) -> FileNode:
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a node is called {brief(name)}, of {len(name):,} letters; expected {LONGEST_NAME} at most")
    if not isinstance(node, dict) or not isinstance(node.get("type"), str):
        raise ValueError(f"{brief(name)} does not say what kind of node it is")
    values = {key: value for key, value in node.items() if key not in ("type", "metadata")}
    return FileNode(name, node["type"], values, _metadata(node))


def _metadata(node: Mapping[str, Any]) -> Mapping[str, Any]:
    found = node.get("metadata")
    return found if isinstance(found, dict) else {}


def _edges(edges: Any, nodes: Mapping[str, FileNode]) -> tuple[tuple[str, str], ...]:
    pairs = edges if isinstance(edges, list) else []
    if not all(isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, str) for n in pair) for pair in pairs):
        raise ValueError("its edges are no pairs of names")
    found = tuple((str(source), str(target)) for source, target in pairs)
    for edge in found:
        unknown = [name for name in edge if name not in nodes]
        if unknown:
            raise ValueError(f"the edge {brief(edge)} names {brief(unknown[0])}, which is no node")
    if len(set(found)) < len(found):
        raise ValueError("it states an edge twice")
    return found
