"""The readers of NIR files that networks were tried with, and what each needs that NIR leaves open.

An entry was read off the reader's source, and a test runs a network in it; README's table says what came of which.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

import numpy as np

from deploy.exporting.nir.adapt import (
    Change,
    Edges,
    Nodes,
    above_threshold,
    biased,
    depth_first,
    normalised,
    pools_as_convolutions,
    sums_as_pools,
)
from deploy.exporting.options import DT_S


@dataclass(frozen=True)
class Reader:
    """A simulator that reads NIR.

    Attributes:
        name: as its makers write it.
        changes: what is done to a graph for it, in their order.
        call: how a file is loaded there.
        one_tau: neurons of a layer share one τ there.
        reads_if: it takes IF for what it is.
        subtracts: it takes the threshold away after a spike, whatever v_reset says.
        any_dt: it can be told the time step; otherwise it takes ``DT_S``.
    """

    name: str
    changes: tuple[Change, ...]
    call: str
    one_tau: bool = False
    reads_if: bool = True
    subtracts: bool = False
    any_dt: bool = True

    def adapt(self, nodes: Nodes, edges: Edges, dt: float) -> tuple[Nodes, Edges]:
        """The graph as this reader takes it; the one given stays as it is.

        Raises:
            ValueError: where it would be read as something else; the node is named.
        """
        if not self.any_dt and dt != DT_S:
            raise ValueError(f"{self.name} takes every τ for one of dt {DT_S:g} s, not {dt:g}; leave out --dt")
        for change in self.changes:
            nodes, edges = change(nodes, edges, dt)
        nir = import_module("nir")
        for name, node in nodes.items():
            if isinstance(node, nir.IF) and not self.reads_if:
                raise ValueError(f"{name}: {self.name} takes an IF for a leaky neuron; choose another reader")
            if isinstance(node, nir.LIF) and self.one_tau and np.unique(node.tau).size > 1:
                raise ValueError(
                    f"{name}: {self.name} takes one τ a layer; choose another reader, or train with --neuron lif or "
                    "plif, or sharing: layer"
                )
        return nodes, edges


READERS = {
    "snntorch": Reader(
        "snnTorch",
        (normalised(unit_resistance=False),),
        'snntorch.import_nir.import_from_nir(nir.read("{out}"))',
        reads_if=False,
        any_dt=False,
    ),
    "spikingjelly": Reader(
        "SpikingJelly",
        (normalised(unit_resistance=False), above_threshold),
        'spikingjelly.activation_based.nir_exchange.import_from_nir("{out}", dt={dt:g})',
        one_tau=True,
    ),
    "norse": Reader(
        "norse",
        (pools_as_convolutions, normalised(unit_resistance=True), depth_first),
        'norse.torch.from_nir(nir.read("{out}"), dt={dt:g})',
    ),
    "sinabs": Reader(
        "sinabs",
        (sums_as_pools, normalised(unit_resistance=False), above_threshold, biased, depth_first),
        'sinabs.nir.from_nir(nir.read("{out}"), batch_size=1), whose neurons fire once a step, as here, '
        "with layer.spike_fn, layer.min_v_mem = sinabs.activation.SingleSpike, None",
        subtracts=True,
    ),
}
"""Name on the command line → reader."""
