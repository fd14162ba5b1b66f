"""The papers' networks, and the registry that builds them by name."""

from evglif.models.base import Network, NetworkSpec
from evglif.models.graph import GraphLayers, GraphNet, GraphNode, GraphSpec
from evglif.models.registry import MODELS, Entry, build_model, model_from_spec, spec_from_dict, spec_to_dict

__all__ = [
    "MODELS",
    "Entry",
    "GraphLayers",
    "GraphNet",
    "GraphNode",
    "GraphSpec",
    "Network",
    "NetworkSpec",
    "build_model",
    "model_from_spec",
    "spec_from_dict",
    "spec_to_dict",
]
