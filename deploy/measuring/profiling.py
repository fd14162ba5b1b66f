"""Counts of what a network does on real samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deploy.measuring.energy import CONVENTION, Cost, Neurons, Synapses
from evglif.evaluation.firing import count_spikes
from evglif.layers import BasicBlock, ConvNorm, MSBlock, SpikeProducts, TokenSelection
from evglif.models import Network
from evglif.neurons import SpikingNeuron
from evglif.provenance import Seen, rows_of_split
from preprocessing.cache import FrameCache
from preprocessing.progress import progress

Products = TokenSelection | SpikeProducts

_MOST_POOLINGS = 8
"""Average pools by four in a row behind which a count of spikes is still told from a real value."""


def profile(model: Network, batches: Iterable[Tensor]) -> Cost:
    """Count the operations of a network while it runs.

    Args:
        model: any network of the registry, in eval mode.
        batches: frames ``[B, T, C, H, W]``; at least one batch.

    Raises:
        ValueError: for frames that do not fit the network, or no batch.
    """
    num_samples = 0
    with torch.inference_mode(), count_spikes(model) as firing, _counted(model) as counters:
        for frames in batches:
            model(frames)
            num_samples += len(frames)
    if not num_samples:
        raise ValueError("no sample was given; a profile counts what happens on real ones")
    synapses = tuple(counter.result(name, num_samples) for name, counter in counters.items())
    neurons = []
    for name, layer in firing.layers().items():
        per_neuron = multiplications(model.get_submodule(name), len(layer.by_step))
        neurons.append(Neurons(name, layer.num_neurons, layer.rate, round(layer.num_neurons * per_neuron)))
    return Cost(model.spec.name, model.spec.steps, num_samples, synapses, tuple(neurons))


class Counter:
    """Counts what the inputs of one layer make it do.

    Args:
        layer: a convolution, a linear layer, or a norm that has no convolution before it.
        of_values: its input counts as real values, whatever it holds.
    """

    def __init__(self, layer: nn.Module, of_values: bool) -> None:
        self.layer = layer
        self.of_values = of_values
        self.poolings: int | None = None if of_values else 0
        self.num_inputs = self.num_active = self.macs = self.accumulates = self.num_runs = 0
        self.largest = self.total = 0.0

    def count(self, x: Tensor) -> None:
        """Add one call, with input ``[N, C, H, W]`` or ``[…, F]``."""
        reach = fan_out(self.layer, x.shape)
        per_place = tuple(range(x.dim() - reach.dim()))
        active = (x != 0).sum(per_place)
        self.num_inputs += x.numel()
        self.num_active += int(active.sum())
        self.macs += x.numel() // reach.numel() * int(reach.sum())
        self.num_runs += x.numel() // x.shape[-1] if reach.dim() == 1 else x.shape[0]
        if self.poolings is not None:
            self.poolings = _poolings(x, self.poolings)
        if self.poolings is not None:
            self.accumulates += int((active * reach).sum())
            self.total += float((x.abs().sum(per_place, dtype=torch.float64) * reach).sum())
            self.largest = max(self.largest, float(x.abs().max()))

    def result(self, name: str, num_samples: int) -> Synapses:
        """The means over samples."""
        runs, active = self.num_runs // num_samples, self.num_active / self.num_inputs
        macs = self.macs // num_samples
        if self.poolings is None:
            return Synapses(name, "values", runs, active, macs, 0.0, 0.0)
        spikes = self.total * 4**self.poolings
        kind = "spikes" if self.poolings == 0 and self.largest <= 1 else "counts"
        return Synapses(name, kind, runs, active, macs, self.accumulates / num_samples, spikes / num_samples)


class ProductCounter:
    """Counts what an attention's products of spikes with spikes come to: ANDs, of which those that give 1 are added.

    Args:
        layer: the products.
        of_values: of a network of ReLUs, which multiplies.
    """

    def __init__(self, layer: Products, of_values: bool) -> None:
        self.layer = layer
        self.of_values = of_values
        self.num_inputs = self.num_active = self.macs = self.accumulates = self.num_runs = 0

    def count(self, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Add one call, with inputs and output ``[T, B, C, H, W]``."""
        self.num_inputs += sum(each.numel() for each in inputs)
        self.num_active += sum(int(each.count_nonzero()) for each in inputs)
        self.macs += output.numel() * self.layer.products
        self.num_runs += output.shape[0] * output.shape[1]
        if not self.of_values:
            self.accumulates += self.layer.num_active(inputs, output)

    def result(self, name: str, num_samples: int) -> Synapses:
        """The means over samples."""
        kind, accumulates = "values" if self.of_values else "spikes", self.accumulates / num_samples
        runs, active = self.num_runs // num_samples, self.num_active / self.num_inputs
        return Synapses(name, kind, runs, active, self.macs // num_samples, accumulates, accumulates)


def _poolings(x: Tensor, least: int) -> int | None:
    """How many average pools by four lie between ``x`` and whole spikes; None where it holds real values."""
    for poolings in range(least, _MOST_POOLINGS + 1):
        scaled = x * 4**poolings
        if torch.equal(scaled, scaled.round()):
            return poolings
    return None


def fan_out(layer: nn.Module, shape: torch.Size) -> Tensor:
    """How many weights an input meets, int64: ``[H, W]`` of a convolution or norm, ``[F]`` of a linear layer.

    At the border of a map fewer, as some of a convolution's outputs would lie outside, and with a stride not the
    same everywhere.
    """
    if isinstance(layer, nn.Linear):
        return torch.full((layer.in_features,), layer.out_features)
    if not isinstance(layer, nn.Conv2d):
        return torch.ones(shape[-2:], dtype=torch.int64)
    padding = [int(side) for side in layer.padding]
    options = zip(shape[-2:], layer.kernel_size, layer.stride, padding, layer.dilation, strict=True)
    rows, columns = (_windows_over(*option) for option in options)
    return torch.from_numpy(np.outer(rows, columns)) * (layer.out_channels // layer.groups)


def _windows_over(side: int, kernel: int, stride: int, padding: int, dilation: int) -> NDArray[np.int64]:
    """Along one axis: how many places of the kernel lie over each input."""
    num_outputs = (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    inputs = np.arange(num_outputs)[:, None] * stride + np.arange(kernel) * dilation - padding
    return np.bincount(inputs[(inputs >= 0) & (inputs < side)], minlength=side).astype(np.int64)


def multiplications(neuron: nn.Module, steps: int) -> float:
    """Multiplications per neuron in ``steps`` steps of U·(a − S·r) + g·X + …, a mean over channels.

    A factor of 0 or 1 needs none: an IF neuron multiplies nothing, PLIF and GLIF twice a step.
    """
    assert isinstance(neuron, SpikingNeuron)
    coefficients = neuron.coefficients()
    kept, reset = coefficients.decay, coefficients.decay - coefficients.hard_reset
    multiplied = _is_proper(kept) | _is_proper(reset)
    return steps * float(multiplied.double().mean() + (coefficients.gain != 1).double().mean())


def _is_proper(factor: Tensor) -> Tensor:
    return (factor != 0) & (factor != 1)


@contextmanager
def _counted(model: Network) -> Iterator[dict[str, Counter | ProductCounter]]:
    """Count inside the ``with`` block; layers appear in the order in which they run."""
    counters: dict[str, Counter | ProductCounter] = {}
    spiking = any(isinstance(module, SpikingNeuron) for module in model.modules())

    def count(name: str, layer: nn.Module, x: Tensor) -> None:
        if name not in counters:
            first = not counters and model.spec.encoder in ("frames", "direct")
            counters[name] = Counter(layer, first or not spiking or name.partition(".")[0] == "head")
        counter = counters[name]
        assert isinstance(counter, Counter)
        counter.count(x)

    def count_products(name: str, layer: Products, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counter = counters.setdefault(name, ProductCounter(layer, not spiking))
        assert isinstance(counter, ProductCounter)
        counter.count(inputs, output)

    hooks = [
        layer.register_forward_hook(lambda layer, inputs, out, name=name: count_products(name, layer, inputs, out))
        for name, layer in model.named_modules()
        if isinstance(layer, Products)
    ]
    hooks += [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: count(name, layer, inputs[0]))
        for name, layer in _summed(model)
    ]
    try:
        yield counters
    finally:
        for hook in hooks:
            hook.remove()


def _summed(model: Network) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            yield name, module
        elif isinstance(module, BasicBlock | MSBlock) and not isinstance(module.shortcut, ConvNorm):
            yield f"{name}.shortcut", module.shortcut


def sample_frames(
    cache: FrameCache, split: str, num_samples: int, batch: int = 8, seen: Seen | None = None
) -> Iterator[Tensor]:
    """Batches of at most ``num_samples`` samples, spread evenly over a split.

    Args:
        cache: the data.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        num_samples: at least 1.
        batch: samples of a batch.
        seen: what the model has learnt from, for a validation split that the training cut off.

    Raises:
        ValueError: if the split is empty.
    """
    indices = rows_of_split(cache, split, seen)
    chosen = indices[np.linspace(0, len(indices) - 1, min(len(indices), num_samples)).astype(int)]
    starts = range(0, len(chosen), batch)
    for start in progress(starts, len(starts), "profile", "batches"):
        yield torch.from_numpy(cache.stored(chosen[start : start + batch]) * np.float32(cache.scale))


def table(cost: Cost) -> str:
    """The figures of a cost as text."""
    lines = [f"{cost.network}, T = {cost.steps}, mean of {cost.num_samples} samples", ""]
    lines.append(
        f"{'layer':38}{'input':>8}{'active':>8}{'runs':>6}{'MACs':>12}{'accum.':>12}{'n-accum.':>12}{'µJ':>10}"
    )
    for layer in cost.synapses:
        counts = "".join(f"{_short(count):>12}" for count in (layer.macs, layer.accumulates, layer.n_accumulates))
        what = f"{layer.name:38}{layer.input:>8}{layer.active:>8.1%}{layer.runs:>6}"
        lines.append(f"{what}{counts}{1e-6 * layer.picojoules:>10.3f}")
    if cost.neurons:
        lines += ["", f"{'neurons':38}{'number':>8}{'rate':>8}{'multiplications':>18}{'membranes':>12}"]
    for neurons in cost.neurons:
        multiplied, memory = _short(neurons.multiplications), f"{neurons.membrane_bytes / 1024:.1f} KiB"
        lines.append(f"{neurons.name:38}{neurons.num_neurons:>8}{neurons.rate:>8.2%}{multiplied:>18}{memory:>12}")
    return "\n".join([*lines, "", *_totals(cost), "", *CONVENTION])


def _totals(cost: Cost) -> Iterator[str]:
    spent = f"{_short(cost.macs)} MACs + {_short(cost.multiplications)} neuron multiplications"
    for name, accumulates, binary in (
        ("n accumulates for n spikes", cost.n_accumulates, False),
        ("binary only", cost.accumulates, True),
    ):
        yield f"{name}: {spent} + {_short(accumulates)} accumulates = {cost.microjoules(binary):.2f} µJ"
    for name, repeated in (("run once", False), (f"run at all {cost.steps} steps", True)):
        energy = cost.twin_microjoules(repeated)
        macs = _short(cost.twin_macs(repeated))
        yield f"ReLU twin {name}: {macs} MACs = {energy:.2f} µJ; here {cost.microjoules() / energy:.2f}× of that"
    yield f"membranes: {cost.membrane_bytes / 1024:.1f} KiB a sample (fp32)"


def _short(count: float) -> str:
    """A count with a unit, 12.3 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:.0f}"
