"""A network's figures under the names that NeuroBench gives them, so that they can stand in its tables.

NeuroBench hooks the convolutions, linear layers and neurons of a network and looks at what goes through them; so does
this, without that package. Where both can be had, on networks of a few thousand neurons, they agree to the last digit;
this is what differs:

- Effective operations and ``Dense`` are counted here in integers. NeuroBench adds up what a layer does for a batch in
  fp32, which rounds beyond 2²⁴ operations.
- What a layer does are ACs where its input is −1, 0 or 1 throughout, else MACs; both look at a whole batch at once. A
  network here runs all T steps of it together; one whose steps are called one after the other is looked at step by
  step, so that of counts (SEW-ADD, pools) some steps may come out as ACs.
- ``MembraneUpdates`` NeuroBench takes from snnTorch's neurons and gives as 0 for all others. Here they are those that
  it finds in the same network of ``evglif.neurons.snntorch``: all membranes in the first step, and in every further
  one those whose U, before the reset, is no longer what it was.

Biases, norms, shortcuts without a convolution and the neurons' own multiplications count nowhere, as there.

Source: J. Yik et al., "The neurobench framework for benchmarking neuromorphic computing algorithms and systems",
Nature Communications 16, 2025; the package neurobench 2.3, ``metrics``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from evglif.neurons import SpikingNeuron

NOTES = (
    "As NeuroBench 2.3 counts, on the same samples: ACs where all of a layer's input in a batch is -1, 0 or 1, else",
    "MACs; zeros of inputs and weights do nothing, except in Dense; biases, norms and neurons count nowhere. But this",
    "counts in integers (NeuroBench in fp32, which rounds beyond 2^24), looks at all time steps of a batch together,",
    "and gives membrane updates of every neuron (NeuroBench: of snnTorch's): all at first, then those that change.",
)
"""What the figures mean, line by line."""

_ACTIVATIONS = (SpikingNeuron, nn.ReLU, nn.Sigmoid)


@dataclass(frozen=True)
class SynapticOperations:
    """Operations of weights for one sample, means over samples.

    Attributes:
        Effective_MACs: of layers with real-valued input; inputs and weights of 0 do nothing.
        Effective_ACs: the same of layers with input of spikes.
        Dense: of all layers, zeros included.
    """

    Effective_MACs: float
    Effective_ACs: float
    Dense: float


@dataclass(frozen=True)
class Metrics:
    """NeuroBench's figures, under its names.

    Attributes:
        Footprint: bytes of all parameters and buffers.
        ParameterCount: numbers that are learnt.
        ConnectionSparsity: share of the weights that are 0, to four decimals as NeuroBench has it.
        ActivationSparsity: share of the outputs of neurons, over samples and steps, that are 0.
        SynapticOperations: see there.
        MembraneUpdates: for one sample, a mean over samples.
    """

    Footprint: int
    ParameterCount: int
    ConnectionSparsity: float
    ActivationSparsity: float
    SynapticOperations: SynapticOperations
    MembraneUpdates: float

    def as_json(self) -> dict[str, Any]:
        """All figures as types that JSON has."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """The figures as text."""
        operations = asdict(self.SynapticOperations)
        rows = {**{name: value for name, value in asdict(self).items() if name != "SynapticOperations"}, **operations}
        for name, value in rows.items():
            yield f"{name:20}{value:>18}"


def measure(model: nn.Module, batches: Iterable[Tensor]) -> Metrics:
    """Run a network and count.

    Args:
        model: in eval mode, with ``Conv2d`` and ``Linear`` layers.
        batches: frames ``[B, T, C, H, W]``, or what the network takes with the samples first; at least one batch.

    Raises:
        ValueError: for no batch.
    """
    num_samples, silent = 0, list[tuple[float, int]]()
    with torch.inference_mode(), _counted(model) as counts:
        for frames in batches:
            counts.num_outputs = counts.num_silent = 0
            model(frames)
            num_samples += len(frames)
            silent.append((counts.num_silent / max(counts.num_outputs, 1), len(frames)))
    if not num_samples:
        raise ValueError("no sample was given; NeuroBench's figures are of what happens on real ones")
    operations = SynapticOperations(*(num / num_samples for num in (counts.macs, counts.accumulates, counts.dense)))
    tensors = [*model.parameters(), *model.buffers()]
    return Metrics(
        Footprint=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        ParameterCount=sum(parameter.numel() for parameter in model.parameters()),
        ConnectionSparsity=_connection_sparsity(model),
        ActivationSparsity=sum(share * size / num_samples for share, size in silent),
        SynapticOperations=operations,
        MembraneUpdates=counts.updates / num_samples,
    )


@dataclass
class _Counts:
    """Sums over all samples; of outputs over one batch, as NeuroBench's is a mean over batches."""

    macs: int = 0
    accumulates: int = 0
    dense: int = 0
    num_outputs: int = 0
    num_silent: int = 0
    updates: int = 0

    def synapses(self, layer: nn.Conv2d | nn.Linear, x: Tensor) -> None:
        """Add one call of a layer, with input ``[N, C, H, W]`` or ``[…, F]``."""
        used = layer.weight != 0
        reach, reach_all = (_reach(layer, counted, x.shape) for counted in (used, torch.ones_like(used)))
        per_place = tuple(range(x.dim() - reach.dim()))
        operations = int(((x != 0).sum(per_place) * reach).sum())
        self.dense += x.numel() // reach_all.numel() * int(reach_all.sum())
        if bool(((x == 0) | (x.abs() == 1)).all()):
            self.accumulates += operations
        else:
            self.macs += operations

    def neurons(self, layer: nn.Module, current: Tensor, outputs: Tensor) -> None:
        """Add one call of neurons: current and spikes ``[T, B, C, …]``, or whatever a ReLU takes and gives."""
        self.num_outputs += outputs.numel()
        self.num_silent += outputs.numel() - int(torch.count_nonzero(outputs))
        if isinstance(layer, SpikingNeuron):
            membrane = layer.trace(current).membrane
            self.updates += membrane[0].numel() + int(torch.count_nonzero(membrane[1:] - membrane[:-1]))


def _reach(layer: nn.Conv2d | nn.Linear, counted: Tensor, shape: torch.Size) -> Tensor:
    """How many weights of those ``counted`` each input meets, int64: ``[C, H, W]``, ``[F]`` of a linear layer."""
    if isinstance(layer, nn.Linear):
        return counted.sum(0)
    weight = counted.double()  # whole numbers, exact up to 2⁵³
    options: Any = layer.stride, layer.padding, layer.dilation, layer.groups
    one = torch.zeros(1, *shape[1:], dtype=torch.float64)
    outputs = nn.functional.conv2d(one, weight, None, *options)
    met: Tensor = conv2d_input(one.shape, weight, torch.ones_like(outputs), *options)  # type: ignore[no-untyped-call]
    return met[0].round().long()


def _connection_sparsity(model: nn.Module) -> float:
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if not weights:
        return 0.0
    num_zeros = sum(int((weight == 0).sum()) for weight in weights)
    return round((torch.tensor(num_zeros) / sum(weight.numel() for weight in weights)).item(), 4)


@contextmanager
def _counted(model: nn.Module) -> Iterator[_Counts]:
    """Count inside the ``with`` block."""
    counts = _Counts()
    hooks = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_pre_hook(lambda layer, inputs: counts.synapses(layer, inputs[0])))
        elif isinstance(module, _ACTIVATIONS):
            hooks.append(
                module.register_forward_hook(lambda layer, inputs, outputs: counts.neurons(layer, inputs[0], outputs))
            )
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
