"""The papers' networks, and the registry that builds them by name."""

from typing import TYPE_CHECKING

from preprocessing.later import later

if TYPE_CHECKING:
    from evglif.models.base import Network, NetworkSpec
    from evglif.models.graph import GraphLayers, GraphNet, GraphNode, GraphSpec
    from evglif.models.registry import (
        MODELS,
        Entry,
        build_model,
        model_from_spec,
        register_network,
        spec_from_dict,
        spec_to_dict,
    )

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
    "register_network",
    "spec_from_dict",
    "spec_to_dict",
]

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(__all__, "evglif.models.registry"),
        **dict.fromkeys(("Network", "NetworkSpec"), "evglif.models.base"),
        **dict.fromkeys(("GraphLayers", "GraphNet", "GraphNode", "GraphSpec"), "evglif.models.graph"),
    },
)
