"""What all neurons share: a neuron is a parameterisation, the recurrence does the rest.

A new neuron declares its values and says which coefficients they make. It then runs on every backend, streams, is
trained with the right parameter groups, and is exported. One with a decay of its own for every channel, as a file
``my_neuron.py`` for ``python -m evglif.train --import my_neuron.py --neuron adaptive-decay --data FILE.h5``:

    import torch

    from evglif.neurons import SpikingNeuron, register_neuron
    from evglif.neurons.domains import UNIT, above
    from evglif.recurrence import Coefficients

    class AdaptiveDecay(SpikingNeuron):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.declare("tau", 0.5, UNIT, (channels,))
            self.declare("v_th", 1.0, above(0), learnt=False)

        def coefficients(self) -> Coefficients:
            tau, v_th = self.natural("tau"), self.natural("v_th")
            zero, one = torch.zeros_like(v_th), torch.ones_like(v_th)
            return Coefficients(decay=tau, leak=zero, gain=one, hard_reset=tau, soft_reset=zero, threshold=v_th)

    register_neuron("adaptive-decay", AdaptiveDecay)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from evglif.neurons.domains import Domain
from evglif.neurons.state import NeuronState
from evglif.recurrence import Coefficients, State, Stored, Trace, spiking_recurrence
from evglif.recurrence.coefficients import state_dtype
from evglif.surrogate import Surrogate

SHARINGS = ("channel", "layer")
ROLES = ("gates", "primitives")


@dataclass(frozen=True)
class _Value:
    path: str
    domain: Domain
    role: str


@dataclass(frozen=True)
class _Form:
    name: str
    names: tuple[str, ...]
    domain: Domain


_Method = Callable[[Any], Coefficients]


class SpikingNeuron(nn.Module, ABC):
    """Base of the neurons: values in natural units → six coefficients → spikes.

    A subclass calls ``declare`` for each of its values and states ``coefficients()``. Class attributes hold the
    defaults of its paper.

    Args:
        surrogate: gradient of the step, a name or a ``Surrogate`` with its width; None for the neuron's own.
        backend: see ``spiking_recurrence``.
        strict: fire at U > v (True) or at U ≥ v (False); None for the neuron's own.
        detach_reset: whether the spike in the reset term carries no gradient; None for the neuron's own.

    Attributes:
        rest: membrane before the first step.
    """

    notation: ClassVar[str] = "neuron"
    strict: bool = True
    detach_reset: bool = False
    surrogate_name: str = "rectangular"
    rest: float = 0.0
    _kept: tuple[Any, Stored] | None = None

    def __init__(
        self,
        surrogate: str | Surrogate | None = None,
        backend: str = "auto",
        strict: bool | None = None,
        detach_reset: bool | None = None,
    ) -> None:
        super().__init__()
        surrogate = self.surrogate_name if surrogate is None else surrogate
        self.surrogate = Surrogate(surrogate) if isinstance(surrogate, str) else surrogate
        self.backend = backend
        self.strict = self.strict if strict is None else strict
        self.detach_reset = self.detach_reset if detach_reset is None else detach_reset
        self._values: dict[str, _Value] = {}

    def declare(
        self,
        name: str,
        value: Tensor | float,
        domain: Domain,
        shape: tuple[int, ...] = (1,),
        learnt: bool = True,
        role: str = "primitives",
        stored_as: str | None = None,
    ) -> None:
        """Give the neuron a value: a parameter if it is learnt, else a buffer; both are saved with the weights.

        Args:
            name: its symbol in the paper.
            value: initial value in natural units, one for all or a tensor of its own shape.
            domain: where it may lie, and the scale on which it is stored.
            shape: of what one value fills: ``(C,)``, ``(1,)`` or, for a gain per step, ``(T, C)``, ``(T, 1)``.
            learnt: whether training changes it.
            role: one of ``ROLES``.
            stored_as: name of the stored tensor, where it is not ``name``.

        Raises:
            ValueError: for a value outside its domain.
        """
        natural = domain.check(name, value)
        natural = natural.clone() if natural.dim() else natural.repeat(shape)
        stored = domain.stored(natural).to(torch.get_default_device(), torch.get_default_dtype())
        self._values[name] = _Value(stored_as or name, domain, role)
        path, _, leaf = self._values[name].path.rpartition(".")
        owner = self.get_submodule(path)
        if learnt:
            owner.register_parameter(leaf, nn.Parameter(stored))
        else:
            owner.register_buffer(leaf, stored)

    def _stored(self, name: str) -> Tensor:
        stored: Tensor = attrgetter(self._values[name].path)(self)
        return stored

    def stored_values(self) -> list[Tensor]:
        """All values as they are stored and learnt."""
        return list(map(self._stored, self._values))

    def natural(self, name: str) -> Tensor:
        """A declared value in natural units, differentiable."""
        return self._values[name].domain.natural(self._stored(name))

    @property
    def steps(self) -> int | None:
        """T where a value has one row per time step; None for a neuron that runs for any number of steps."""
        return next((self._stored(name).shape[0] for name in self._values if self._stored(name).dim() == 2), None)

    @abstractmethod
    def coefficients(self) -> Coefficients:
        """The six coefficients, differentiable in the learnable parameters."""

    def values(self) -> dict[str, Tensor]:
        """All values in natural units, learnt and fixed: symbol in the paper → detached copy."""
        return {name: self.natural(name).detach().clone() for name in self._values}

    def set_values(self, **values: Tensor | float) -> None:
        """Set values in natural units: ``set_values(alpha=0.5, g=tensor)``; a scalar fills the whole tensor.

        Raises:
            ValueError: for an unknown name, a shape that doesn't fit, or a value outside its domain; then nothing
                has changed.
        """
        checked = {name: self._checked(name, given) for name, given in values.items()}
        with torch.no_grad():
            for name, value in checked.items():
                self._stored(name).copy_(self._values[name].domain.stored(value))

    def _checked(self, name: str, given: Tensor | float) -> Tensor:
        kind = type(self).__name__
        if name not in self._values:
            raise ValueError(f"{kind} has no parameter {name!r}; it has {', '.join(self._values)}")
        value, expected = self._values[name].domain.check(name, given), self._stored(name).shape
        if value.dim() and value.shape != expected:
            raise ValueError(f"{name} has shape {tuple(expected)}, got values of shape {tuple(value.shape)}")
        return value

    def roles(self) -> dict[str, list[nn.Parameter]]:
        """Learnable parameters by role, ``"gates"`` and ``"primitives"``: recipes treat them unlike weights."""
        of_gates = {id(self._stored(name)) for name, value in self._values.items() if value.role == "gates"}
        parameters = list(self.parameters())
        return {
            "gates": [parameter for parameter in parameters if id(parameter) in of_gates],
            "primitives": [parameter for parameter in parameters if id(parameter) not in of_gates],
        }

    def forward(self, current: Tensor) -> Tensor:
        """Spikes ``[T, B, C, …]`` for a current ``[T, B, C, …]``, from rest."""
        return spiking_recurrence(current, self.parameterisation(), *self._options, initial=self.rest)

    def parameterisation(self) -> Coefficients | Stored:
        """What the recurrence takes: the coefficients, or the stored values where it can work them out by itself."""
        if self._may_keep():
            return self._kept_coefficients()
        form: _Form | None = getattr(type(self).coefficients, "form", None)
        if form is None or type(self).natural is not SpikingNeuron.natural:
            return self.coefficients()
        values = [self._values[name] for name in form.names]
        if not all(value.domain is form.domain or value.domain == form.domain for value in values):
            return self.coefficients()
        return Stored(form.name, tuple(map(self._stored, form.names)), self.coefficients)

    def _may_keep(self) -> bool:
        """Whether coefficients are wanted as numbers: in eval mode, without a gradient, and not in a graph."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return False
        # Neither what stands in for a tensor is a number, nor what a transform maps over.
        traced = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        traced = traced or torch._C._len_torch_dispatch_stack() > 0
        return not (traced or torch._C._are_functorch_transforms_active())

    def _kept_coefficients(self) -> Coefficients | Stored:
        """The coefficients of the last call, where the stored values are the same, byte for byte.

        Versions of tensors would tell of most changes, but not of those through ``.data``, which noise and quantisation
        are often tried with. On other devices than the processor, reading the values would cost more than it saves.
        """
        stored = self.stored_values()
        if any(type(value) not in (Tensor, nn.Parameter) or value.device.type != "cpu" for value in stored):
            return self.coefficients()
        found = [(value.dtype, value.detach().contiguous().view(torch.uint8).numpy().tobytes()) for value in stored]
        if self._kept is not None and self._kept[0] == found:
            return self._kept[1]
        self._kept = found, self.coefficients().packed()
        return self._kept[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": None}

    @property
    def _options(self) -> tuple[Surrogate, bool, bool, str]:
        return self.surrogate, self.strict, self.detach_reset, self.backend

    def trace(self, current: Tensor, initial: State | NeuronState | None = None) -> Trace:
        """Spikes, membranes and final state for a current ``[T, B, C, …]``, from rest or from ``initial``.

        A ``NeuronState`` knows its step: the current is then the piece of a run that begins there.

        Raises:
            ValueError: for a state whose shape is not the current's, and for steps that g^t does not have.
        """
        coefficients, start = self._begin(current, initial)
        return spiking_recurrence(current, coefficients, *self._options, initial=start, trace=True)

    def _begin(self, current: Tensor, initial: State | NeuronState | None) -> tuple[Coefficients, State | float]:
        """Coefficients of the steps that follow a state, and the state as the recurrence takes it."""
        given = self.parameterisation()
        coefficients = given.plain() if isinstance(given, Stored) else given
        if initial is None:
            return coefficients, self.rest
        if isinstance(initial, NeuronState):
            coefficients = _piece(coefficients, initial.step, current.shape[0])
        if initial.membrane.shape != current.shape[1:]:
            expected, received = tuple(current.shape[1:]), tuple(initial.membrane.shape)
            raise ValueError(f"the current needs a state of shape {expected}, got {received}; begin from rest instead")
        return coefficients, State(initial.membrane, initial.spikes)

    def advance(self, current: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Run the next time steps of a recording; pieces of any length give the spikes of the whole run.

        Gradients too are those of the whole run, through the state, unless it is detached in between::

            state = None
            for piece in current.split(4):
                spikes, state = neuron.advance(piece, state)
                loss(spikes).backward()
                state = state.detach()

        Where g^t has one value per step, there is nothing after step T: going on raises. Begin from rest again
        (None), or say which g^t the next step takes: ``state.at(0)`` runs through it again with the membranes as
        they are, ``state.at(T - 1)`` before every step holds its last value.

        Args:
            current: the next steps, ``[T', B, C, …]`` with any T' ≥ 1.
            state: what the last call gave; None before the first step.

        Returns:
            Spikes ``[T', B, C, …]`` and the state after them.

        Raises:
            ValueError: for a state whose shape is not the current's, and for steps that g^t does not have.
        """
        state = self.at_rest(current) if state is None else state
        coefficients, start = self._begin(current, state)
        spikes, final = spiking_recurrence(current, coefficients, *self._options, initial=start, final=True)
        return spikes, NeuronState(*final, state.step + current.shape[0])

    def step(self, current: Tensor, state: NeuronState | None = None) -> tuple[Tensor, NeuronState]:
        """Run one time step: spikes ``[B, C, …]`` for a current ``[B, C, …]``, and the state after it.

        See ``advance``.
        """
        spikes, state = self.advance(current.unsqueeze(0), state)
        return spikes[0], state

    def at_rest(self, current: Tensor) -> NeuronState:
        """The state before the first step of a current ``[T, B, C, …]``."""
        membrane = torch.full_like(current[0], self.rest, dtype=state_dtype(current))
        return NeuronState(membrane, torch.zeros_like(current[0]), 0)


def worked_out_as(name: str, names: tuple[str, ...], domain: Domain) -> Callable[[_Method], _Method]:
    """Say that compiled backends have a form that gives what a neuron's ``coefficients()`` give.

    The mark is the method's: a subclass that states other coefficients has those worked out, in plain torch.

    Args:
        name: of the form.
        names: of the values that it takes, in its order.
        domain: of all of them.
    """

    def mark(coefficients: _Method) -> _Method:
        coefficients.form = _Form(name, names, domain)  # type: ignore[attr-defined]
        return coefficients

    return mark


def _piece(coefficients: Coefficients, first: int, num_steps: int) -> Coefficients:
    """The coefficients of ``num_steps`` steps from step ``first`` on, counted from 0."""
    if coefficients.gain.dim() == 1:
        return coefficients
    last, known = first + num_steps, coefficients.gain.shape[0]
    if first < 0 or last > known:
        raise ValueError(
            f"steps {first + 1} to {last} were asked for, g^t has {known}; begin from rest again, "
            "or choose the row of g^t that comes next: state.at(0)"
        )
    return replace(coefficients, gain=coefficients.gain[first:last])


def parameter_roles(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """All parameters of a network by role: ``"weights"``, and its neurons' ``"gates"`` and ``"primitives"``."""
    roles: dict[str, list[nn.Parameter]] = {"weights": [], "gates": [], "primitives": []}
    for module in model.modules():
        if isinstance(module, SpikingNeuron):
            for role, parameters in module.roles().items():
                roles[role] += parameters
    of_neurons = {id(parameter) for role in ROLES for parameter in roles[role]}
    roles["weights"] = [parameter for parameter in model.parameters() if id(parameter) not in of_neurons]
    return roles


def layer_values(model: nn.Module) -> dict[str, float]:
    """Values in natural units that are learnt once for a whole layer, as PLIF's τ: "layer.symbol" → value."""
    return {
        f"{layer}.{name}": neuron.natural(name).item()
        for layer, neuron in model.named_modules()
        if isinstance(neuron, SpikingNeuron)
        for name, value in neuron.values().items()
        if value.numel() == 1 and neuron.natural(name).requires_grad
    }


def num_shared(channels: int, sharing: str) -> int:
    """How many values a parameter has: one per channel, or one for the layer.

    Raises:
        ValueError: for an unknown sharing or fewer than one channel.
    """
    if sharing not in SHARINGS:
        raise ValueError(f"unknown sharing {sharing!r}; choose one of {', '.join(SHARINGS)}")
    if channels < 1:
        raise ValueError(f"a neuron needs at least one channel, got {channels}")
    return channels if sharing == "channel" else 1
