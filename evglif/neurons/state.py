"""What a neuron carries from one call to the next, when a run is done in pieces."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NeuronState(NamedTuple):
    """State of a neuron between two time steps.

    Attributes:
        membrane: U of the last step, before its reset, ``[B, C, …]``; fp32 where the current is of a half type.
        spikes: S of the last step, ``[B, C, …]``; they reset the membrane in the next.
        step: how many steps are done, which is also the row of g^t that the next one takes.
    """

    membrane: Tensor
    spikes: Tensor
    step: int

    def detach(self) -> NeuronState:
        """The same state without its past: no gradient flows into earlier pieces (truncated BPTT)."""
        return NeuronState(self.membrane.detach(), self.spikes.detach(), self.step)

    def at(self, step: int) -> NeuronState:
        """The same membranes and spikes before another step: ``at(0)`` lets g^t begin again."""
        return NeuronState(self.membrane, self.spikes, step)
