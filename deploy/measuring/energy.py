"""What a network costs in operations, and by convention in energy: figures alone, counted by ``deploy.profile``.

The convention of the papers on spiking networks: a multiply-accumulate (MAC) in fp32 takes 4.6 pJ and an accumulate
0.9 pJ at 45 nm (M. Horowitz, "Computing's energy problem", ISSCC 2014). It holds for a chip that does nothing for an
input of zero and that gets its weights for free. CPUs and GPUs compute the zeros too: there nothing of it is saved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAC_PJ, ACCUMULATE_PJ = 4.6, 0.9
"""Energy of one operation in fp32 at 45 nm, pJ."""

MEMBRANE_BYTES = 4

CONVENTION = (
    "Energy by convention: 4.6 pJ a MAC, 0.9 pJ an accumulate (fp32, 45 nm; Horowitz 2014), memory not counted.",
    "The first layer on frames or images, the head and any layer with real-valued input do MACs, zeros included. The",
    "others accumulate weights: once for every input that is not zero (binary), or n times for an input of n spikes",
    "(SEW-ADD, pools). Padding counts nowhere. A neuron's multiplication costs a MAC; norms behind a convolution",
    "are folded into it. An attention's products of spikes are ANDs, and those that give 1 are accumulated: where a",
    "key and a value fire together, where a query meets such a sum; in Q-K attention one for each query that fires",
    "and each key that is let through. CPUs and GPUs compute the zeros too and save nothing of this.",
)
"""What the figures mean, line by line."""


@dataclass(frozen=True)
class Synapses:
    """The work of one weighted sum for one sample, all time steps together; counts are means over samples.

    Attributes:
        name: of the layer.
        input: ``"values"``, which take MACs; ``"spikes"``, 0 or 1; or ``"counts"`` of spikes, where they were added.
        runs: how often it is worked out: T, or once behind the mean over time and for a still image.
        active: share of its inputs that are not zero.
        macs: of a dense run.
        accumulates: one per weight that an input other than zero meets; 0 for values.
        n_accumulates: n per weight that an input of n spikes meets; 0 for values.
    """

    name: str
    input: str
    runs: int
    active: float
    macs: int
    accumulates: float
    n_accumulates: float

    @property
    def macs_done(self) -> int:
        """MACs of the spiking network: all of them, or none."""
        return self.macs if self.input == "values" else 0

    @property
    def picojoules(self) -> float:
        """Energy with n accumulates for n spikes, pJ."""
        return MAC_PJ * self.macs_done + ACCUMULATE_PJ * self.n_accumulates


@dataclass(frozen=True)
class Neurons:
    """One layer of neurons.

    Attributes:
        name: of the layer.
        num_neurons: C·H·W.
        rate: spikes per neuron and time step.
        multiplications: for one sample: U·(a − S·r), where that factor is not 0 or 1, and g·X, where g is not 1.
    """

    name: str
    num_neurons: int
    rate: float
    multiplications: int

    @property
    def membrane_bytes(self) -> int:
        """Memory of the membranes of one sample, fp32."""
        return MEMBRANE_BYTES * self.num_neurons


@dataclass(frozen=True)
class Cost:
    """What one sample costs a network.

    Attributes:
        network: its name.
        steps: T.
        num_samples: that were counted.
        synapses: its weighted sums, in the order in which they run.
        neurons: its layers of neurons; none in a network of ReLUs.
    """

    network: str
    steps: int
    num_samples: int
    synapses: tuple[Synapses, ...]
    neurons: tuple[Neurons, ...]

    @property
    def macs(self) -> int:
        """MACs of the spiking network, those of the neurons left out."""
        return sum(layer.macs_done for layer in self.synapses)

    @property
    def multiplications(self) -> int:
        """Of the neurons."""
        return sum(layer.multiplications for layer in self.neurons)

    @property
    def accumulates(self) -> float:
        """One for every weight that an input other than zero meets."""
        return sum(layer.accumulates for layer in self.synapses)

    @property
    def n_accumulates(self) -> float:
        """n for every weight that an input of n spikes meets."""
        return sum(layer.n_accumulates for layer in self.synapses)

    @property
    def membrane_bytes(self) -> int:
        """Memory of all membranes of one sample."""
        return sum(layer.membrane_bytes for layer in self.neurons)

    def microjoules(self, binary: bool = False) -> float:
        """Energy of one sample, µJ; ``binary``: an input of n spikes costs one accumulate, not n."""
        accumulates = self.accumulates if binary else self.n_accumulates
        return 1e-6 * (MAC_PJ * (self.macs + self.multiplications) + ACCUMULATE_PJ * accumulates)

    def twin_macs(self, repeated: bool) -> int:
        """MACs of the ReLU twin: the same layers, each run once, or ``repeated`` at every time step as here."""
        return sum(layer.macs if repeated else layer.macs // layer.runs for layer in self.synapses)

    def twin_microjoules(self, repeated: bool) -> float:
        """Energy of the ReLU twin, µJ."""
        return 1e-6 * MAC_PJ * self.twin_macs(repeated)

    def as_json(self) -> dict[str, Any]:
        """All figures as types that JSON has."""
        return {
            "network": self.network,
            "steps": self.steps,
            "num_samples": self.num_samples,
            "macs": self.macs,
            "accumulates": self.accumulates,
            "n_accumulates": self.n_accumulates,
            "neuron_multiplications": self.multiplications,
            "membrane_bytes": self.membrane_bytes,
            "microjoules": self.microjoules(),
            "microjoules_binary": self.microjoules(binary=True),
            "relu_twin": {
                name: {"macs": self.twin_macs(repeated), "microjoules": self.twin_microjoules(repeated)}
                for name, repeated in (("once", False), ("every_step", True))
            },
            "synapses": [{**vars(layer), "microjoules": 1e-6 * layer.picojoules} for layer in self.synapses],
            "neurons": [{**vars(layer), "membrane_bytes": layer.membrane_bytes} for layer in self.neurons],
            "convention": " ".join(CONVENTION),
        }
