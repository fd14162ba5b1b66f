"""The step model: one time step with explicit membranes, for streams of events.

The contract between the exporter (``--format onnx-step``) and any runtime:

    input   frame              float32 [batch, C, H, W]   one slice: events per pixel, or a still image in [0, 1]
            step               int64   []                 which time step, 0 … T-1: it chooses the row of g^t
            membrane_<i>       float32 [batch, …]         U[t-1] of layer i, before its reset
    output  logits             float32 [batch, K]         of this step alone
            membrane_<i>_next  float32 [batch, …]         U[t]; hand it in as membrane_<i> with the next step

The mean of the logits over all T steps equals the logits of the unrolled model. Before step 0 every membrane is at the
resting value that the metadata state (``ModelMetadata.states``: name, layer, shape of a sample, rest). The spikes
need not travel, because they follow from the membrane: S[t-1] = 1 where U[t-1] > v (or ≥ v, as the neuron fires).
After step T - 1 the membranes go back to rest. A network of ReLUs has no states.
"""

from __future__ import annotations

import copy
from dataclasses import fields

import torch
from torch import Tensor, nn

from deploy.exporting import operators
from deploy.running.metadata import MembraneState
from evglif.layers import ConvSpike
from evglif.models import GraphLayers, Network
from evglif.neurons import SpikingNeuron
from evglif.recurrence import Coefficients

FRAME, STEP, LOGITS = "frame", "step", "logits"


class _Carrier:
    """The membranes and the step on their way between a step network and its neurons, during one call."""

    def __init__(self) -> None:
        self.step = torch.zeros((), dtype=torch.int64)
        self.membranes: list[Tensor] = []
        self.following: dict[int, Tensor] = {}


class StepNeuron(nn.Module):
    """A neuron with constant coefficients that takes its membrane from a carrier and leaves the next one there.

    Args:
        neuron: any neuron of the package.
        index: of its membrane.
        carrier: shared by all neurons of the network.

    Raises:
        ValueError: where a membrane at rest would fire, so that it could not be told from one that has fired.
    """

    def __init__(self, neuron: SpikingNeuron, index: int, carrier: _Carrier) -> None:
        super().__init__()
        coefficients = neuron.coefficients()
        for field in fields(coefficients):
            self.register_buffer(field.name, getattr(coefficients, field.name).detach().clone())
        self.rest, self.strict = neuron.rest, neuron.strict
        self.index, self._carrier = index, carrier
        lowest = float(coefficients.threshold.detach().min())
        if self.rest > lowest or (self.rest == lowest and not self.strict):
            raise ValueError(
                f"neuron {index} rests at {self.rest:g} and fires from {lowest:g} on, so a step model cannot tell rest "
                "from a spike; train it with a threshold above rest, or export it with --format onnx"
            )

    def forward(self, current: Tensor) -> Tensor:
        """Spikes ``[1, B, C, …]`` for the current of one step, same shape."""
        at_rest = self.index >= len(self._carrier.membranes)
        membrane = torch.full_like(current[0], self.rest) if at_rest else self._carrier.membranes[self.index]
        values = [self.get_buffer(field.name) for field in fields(Coefficients)]
        fired, following = operators.step(current, membrane, self._carrier.step, *values, self.strict)
        self._carrier.following[self.index] = following
        spikes: Tensor = fired
        return spikes


class StepNetwork(nn.Module):
    """One time step of a network: frame, step, membranes → logits of the step, next membranes.

    Args:
        model: stays as it is.

    Attributes:
        states: what travels, in the order of the layers.

    Raises:
        ValueError: for an encoder that draws at random, and as ``StepNeuron``.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.network = copy.deepcopy(model).eval().requires_grad_(False)
        self._carrier = _Carrier()
        neurons = [(name, child) for name, child in self.network.named_modules() if isinstance(child, SpikingNeuron)]
        for index, (name, neuron) in enumerate(neurons):
            self.network.set_submodule(name, StepNeuron(neuron, index, self._carrier))
        for module in self.network.modules():
            if isinstance(module, ConvSpike | GraphLayers):
                module.repeat = 1
        self.states = self._find_states([name for name, _ in neurons], [neuron.rest for _, neuron in neurons])

    def forward(self, frame: Tensor, step: Tensor, membranes: list[Tensor]) -> tuple[Tensor, ...]:
        """Logits ``[B, K]`` of one step and the next membranes, for ``frame`` ``[B, C, H, W]``."""
        self._carrier.step, self._carrier.membranes, self._carrier.following = step, membranes, {}
        x = self.network.time_major(frame.unsqueeze(1))
        if self.network.spec.encoder == "latency":
            x = x.index_select(0, step.view(1))
        logits: Tensor = self.network.head(self.network.features(x)[0])
        return logits, *(self._carrier.following[index] for index in range(len(self._carrier.following)))

    def _find_states(self, layers: list[str], rests: list[float]) -> tuple[MembraneState, ...]:
        """Run one step from rest: the layers then say what their membranes are like."""
        spec = self.network.spec
        frame = torch.zeros(1, spec.in_channels, spec.size[1], spec.size[0])
        with torch.no_grad():
            _, *membranes = self(frame, torch.tensor(0), [])
        return tuple(
            MembraneState(f"membrane_{index}", layer, tuple(membrane.shape[1:]), rest)
            for index, (layer, membrane, rest) in enumerate(zip(layers, membranes, rests, strict=True))
        )
