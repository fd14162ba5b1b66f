"""From one task to the next: a network takes over what fits it of the weights of another.

Tensors are told by their names and shapes. What belongs to the classes, the head as a rule, is taken where they are the
same ones in the same order. A neuron's values are taken as they were learnt; g^t, which has one row per time step, is
interpolated over the recording where the two networks cut it into another number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif.checkpoint import Checkpoint
from evglif.models import Network, NetworkSpec, model_from_spec
from evglif.neurons import SpikingNeuron

_Named = Mapping[str, Tensor]
_MOST_NAMED = 3
"""Tensors left for one reason that are named beside the first."""


class Left(NamedTuple):
    """A tensor that was not taken over.

    Attributes:
        name: in the network or, where that has none of this name, in the checkpoint.
        there: its shape in the checkpoint; None where it isn't there.
        here: its shape in the network; None where it isn't here.
        why: in words.
    """

    name: str
    there: tuple[int, ...] | None
    here: tuple[int, ...] | None
    why: str

    def __str__(self) -> str:
        there, here = ("none" if shape is None else str(list(shape)) for shape in (self.there, self.here))
        return f"{self.name}: {there} there, {here} here ({self.why})"


@dataclass
class Taken:
    """What came of taking weights over.

    Attributes:
        names: tensors that are as in the checkpoint.
        resampled: g^t of these neurons was interpolated to another number of steps.
        left: tensors that were not taken, of either network.
        steps: T there and here.
    """

    steps: tuple[int, int]
    names: list[str] = field(default_factory=list)
    resampled: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What to tell a person: which tensors were left, of many for one reason how many and the first."""
        told = [f"{len(self.names)} tensors taken over, {len(self.left)} left"]
        if self.resampled:
            there, here = self.steps
            told.append(f"g^t of {len(self.resampled)} layers interpolated over the recording: {there} → {here} steps")
        for why in dict.fromkeys(each.why for each in self.left):
            first, *others = [each for each in self.left if each.why == why]
            told.append(f"  {first}")
            many = f"  and {len(others)} more ({why}); results.json will name them"
            told += [many] if len(others) > _MOST_NAMED else [f"  {each}" for each in others]
        return told


def take_over(model: Network, checkpoint: Checkpoint, classes: tuple[str, ...], neurons: str = "taken") -> Taken:
    """Give a network what fits it of a checkpoint's weights, exactly as they are there.

    Args:
        model: changed in place.
        checkpoint: of any network of the registry.
        classes: of the network's data, in the order of its logits.
        neurons: ``"taken"`` or ``"fresh"``: whether the values of neurons are taken too. A value that is fixed here
            is what the recipe says, unless both have the same neuron.

    Returns:
        What was taken, and what was not.

    Raises:
        ValueError: nothing fits.
    """
    source = checkpoint.model
    taken = Taken((source.spec.steps, model.spec.steps))
    theirs, ours = source.state_dict(), model.state_dict()
    of_classes = _weights_of_classes(model.spec) if _others(checkpoint, classes) else set()
    of_neurons = _values_of_neurons(model)
    resampled = _resampled(model, source) if neurons == "taken" else {}
    same_neuron = model.spec.neuron == source.spec.neuron
    with torch.no_grad():
        for name, own in ours.items():
            value = theirs.get(name)
            if name in resampled:
                own.copy_(resampled[name])
                taken.resampled.append(name)
                continue
            why = _reason(own, value)
            if not why and name in of_classes:
                why = "other classes"
            elif not why and name in of_neurons:
                why = _reason_of_neuron(of_neurons[name], value, neurons, same_neuron)
            if why:
                taken.left.append(Left(name, None if value is None else tuple(value.shape), tuple(own.shape), why))
            else:
                own.copy_(theirs[name])
                taken.names.append(name)
    taken.left += [
        Left(name, tuple(theirs[name].shape), None, "not in this network") for name in theirs if name not in ours
    ]
    if not set(taken.names) & {name for name, _ in model.named_parameters()}:  # counts of batches fit anything
        there, here = (f"{each.spec.name} with {each.spec.neuron.name}" for each in (source, model))
        raise ValueError(f"nothing of {there} fits {here}; {taken.left[0]}. Begin without it, or with the same network")
    return taken


def _reason(own: Tensor, value: Tensor | None) -> str:
    """Why a tensor cannot be taken; empty where it can."""
    if value is None:
        return "not in the checkpoint"
    return "" if own.shape == value.shape else "another shape"


def _reason_of_neuron(learnt: bool, value: Tensor | None, neurons: str, same: bool) -> str:
    if neurons == "fresh":
        return "neurons fresh"
    if not learnt and not same:
        return "fixed by the recipe"
    if learnt and value is not None and not value.isfinite().all():
        return "fixed at 0 or 1 there"
    return ""


def _others(checkpoint: Checkpoint, classes: tuple[str, ...]) -> bool:
    """Whether a checkpoint's classes are others, as far as it tells."""
    return checkpoint.data is not None and checkpoint.data.classes != classes


def _weights_of_classes(spec: NetworkSpec) -> set[str]:
    """Names of the tensors whose shapes depend on the number of classes."""
    with torch.device("meta"):
        one, more = (
            model_from_spec(replace(spec, num_classes=spec.num_classes + extra)).state_dict() for extra in (0, 1)
        )
    return {name for name, value in one.items() if name not in more or more[name].shape != value.shape}


def _values_of_neurons(model: nn.Module) -> dict[str, bool]:
    """Names of the tensors of neurons → whether they are learnt."""
    found = {}
    for layer, neuron in _neurons(model):
        found.update({f"{layer}.{name}": True for name, _ in neuron.named_parameters()})
        found.update({f"{layer}.{name}": False for name, _ in neuron.named_buffers()})
    return found


def _resampled(model: nn.Module, source: nn.Module) -> dict[str, Tensor]:
    """Stored values per time step, of neurons that differ from the source's in the number of steps alone."""
    others = dict(_neurons(source))
    found = {}
    for layer, neuron in _neurons(model):
        other = others.get(layer)
        if type(other) is not type(neuron):
            continue
        for name, values in neuron.values().items():
            there = other.values().get(name)
            if there is None or not _other_steps(values, there):
                continue
            stored = neuron.stored_as(name, interpolated(there, len(values)))
            if stored.isfinite().all():  # a gain that is 1 to the last digit would learn no more
                found[f"{layer}.{neuron.path(name)}"] = stored
    return found


def _other_steps(here: Tensor, there: Tensor) -> bool:
    return here.dim() == there.dim() == 2 and here.shape[1] == there.shape[1] and len(here) != len(there)


def interpolated(values: Tensor, num_steps: int) -> Tensor:
    """Values per time step ``[T, C]`` at another number of steps of the same recording, ``[num_steps, C]``.

    A step stands for its share of the recording, and its value for the middle of that; between middles it is linear,
    and constant before the first and after the last.
    """
    over_time = values.T.unsqueeze(0)
    return F.interpolate(over_time, num_steps, mode="linear", align_corners=False)[0].T


def _neurons(model: nn.Module) -> Iterator[tuple[str, SpikingNeuron]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, SpikingNeuron))
