"""The package's neurons as snnTorch modules: one call is one time step, ``spk, mem = neuron(x, mem)``.

They hold the parameters of the neurons that they wrap and run the same recurrence, one step a call: the spikes are
those of a whole run. ``GLIF``, ``GLIFf``, ``PLIF``, ``LIF`` and ``IF`` take the arguments by which a paper defines
them; any other neuron or option is wrapped, ``StepNeuron(evglif.GLIF(64, 16, gate_range="code"), init_hidden=True)``.

What snnTorch users should know:

- ``reset(net)`` brings every neuron of a network to rest, nested ones and snnTorch's own too;
  ``snntorch.utils.reset`` knows only its own classes.
- ``snntorch.backprop.BPTT`` takes these neurons with ``init_hidden=True``. The last layer must be one of snnTorch's,
  such as ``Leaky(…, init_hidden=True, output=True)``: it asks no other for a membrane. ``TBPTT`` with K < T can't
  detach foreign states: write that loop with ``detach(net)``.
- NIR export by snnTorch leaves these neurons out and says so: none of them is its ``Leaky``.

Needs snntorch (``pip install snntorch``); nothing else in the package does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import snntorch as snn
import torch
from torch import Tensor, nn

from evglif import neurons
from evglif.recurrence import State, Stored, choose_backend, spiking_step
from evglif.recurrence.coefficients import state_dtype
from evglif.recurrence.packing import packed
from evglif.surrogate import Surrogate, spike

__all__ = ["GLIF", "IF", "LIF", "PLIF", "GLIFf", "SpikeGrad", "StepNeuron", "detach", "reset"]

SpikeGrad = str | Surrogate | Callable[[Tensor], Tensor]
"""A surrogate of the package, by name or value, or a function of ``snntorch.surrogate``."""


Versions = list[tuple[Tensor, int]]
"""Tensors, and how often each has been written to."""


class _Shared(NamedTuple):
    """Coefficients that steps share: of each, or of all where none has its own; the values that they are of."""

    versions: Versions
    has_graph: bool
    steps: int | None
    each: tuple[Stored, ...]


@dataclass
class _Past:
    """What a neuron remembers of its last step, beside the state; not in the module, where setting costs more.

    Attributes:
        step: the counter as eager code left it.
        num_steps: the number in it.
        last: the membrane that was returned, and its spikes.
        shared: coefficients of the sequence that goes on.
    """

    step: Tensor | None = None
    num_steps: int = 0
    last: tuple[Tensor, Tensor] | None = None
    shared: _Shared | None = None


class StepNeuron(snn.SpikingNeuron):  # type: ignore[misc]  # snnTorch has no types
    """Any neuron of the package under snnTorch's calling convention.

    The state is ``mem`` = U, before the reset, as in snnTorch; the last spikes are S = 1 where U passes the
    threshold, so they need no state of their own. A membrane of shape ``(0,)`` stands for a neuron at rest before its
    first step.

    A neuron with g^t knows T steps. One more is an error, as it is in a whole run: no value of g was learnt for it,
    and a repeated one would pass unseen. In eager mode it is a ``ValueError``; compiled code can't look at the counter
    and fails in ``index_select``.

    Args:
        neuron: the neuron to wrap; it stays within reach as ``.neuron``, with its ``values()`` and its parameters.
        spike_grad: surrogate gradient; None takes the neuron's own. Of a function of ``snntorch.surrogate`` only the
            gradient is used: whether the neuron fires at U = v stays the neuron's matter.
        init_hidden: keep the membrane here, and return the spikes alone.
        output: with ``init_hidden``, return the membrane too.
    """

    mem: Tensor
    step: Tensor
    neuron: neurons.SpikingNeuron
    spike_grad: Surrogate | Callable[[Tensor], Tensor]

    def __init__(
        self,
        neuron: neurons.SpikingNeuron,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        spike_grad = neuron.surrogate if spike_grad is None else spike_grad
        spike_grad = Surrogate(spike_grad) if isinstance(spike_grad, str) else spike_grad
        super().__init__(spike_grad=spike_grad, init_hidden=init_hidden, output=output)
        # These would describe another neuron than this one, and travel in its state dict.
        del self.threshold, self.graded_spikes_factor, self.reset_mechanism_val
        self.neuron = neuron
        self.register_buffer("mem", torch.zeros(0), persistent=False)
        self.register_buffer("step", torch.zeros(1, dtype=torch.long), persistent=False)
        self._past = _Past()

    def reset_mem(self) -> Tensor:
        """Go back to rest and to the first step; any batch size may follow. Returns the membrane for the first call."""
        self.mem, self._past = self.mem.new_zeros(0), _Past()
        return self.mem

    def train(self, mode: bool = True) -> StepNeuron:
        """Set the mode; ``train()`` also resets, since snnTorch's training loops call it before each batch."""
        if mode:
            self.reset_mem()
        super().train(mode)
        return self

    def forward(self, input_: Tensor, mem: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """One time step.

        Args:
            input_: X[t], ``[B, C, …]``.
            mem: U[t-1] of that shape, or what ``reset_mem()`` returned; None for the one kept here.

        Returns:
            Spikes S[t] in the dtype of the input, and U[t], in fp32 for half types. With ``init_hidden`` and not
            ``output``, the spikes alone.

        Raises:
            TypeError: for a membrane given with ``init_hidden``.
            ValueError: for shapes that don't fit, and for a step beyond the last g^t.
        """
        if self.init_hidden and mem is not None:
            raise TypeError("with init_hidden=True the neuron keeps its membrane: call neuron(x) without mem")
        spikes, self.mem = self._advance(input_, self.mem if mem is None else mem)
        return spikes if self.init_hidden and not self.output else (spikes, self.mem)

    def _advance(self, current: Tensor, mem: Tensor) -> tuple[Tensor, Tensor]:
        _check_shapes(current, mem)
        at_rest = mem.shape == (0,)
        if at_rest:
            self.step = torch.zeros(1, dtype=torch.long, device=current.device)
            self._past.step, self._past.num_steps = self.step, 0
        coefficients = self._coefficients_now(mem, current)
        neuron = self.neuron
        mem, spikes = spiking_step(
            current,
            coefficients,
            self._surrogate,
            neuron.strict,
            neuron.detach_reset,
            neuron.backend,
            neuron.rest if at_rest else State(mem, self._spikes_of(mem, coefficients)),
        )
        if not isinstance(self.spike_grad, Surrogate):
            spikes = self._fire(mem, coefficients).to(current.dtype)
        self.step, self._past.last = self.step + 1, (mem, spikes)
        if not torch.compiler.is_compiling():
            self._past.step, self._past.num_steps = self.step, self._past.num_steps + 1
        return spikes, mem

    @property
    def _surrogate(self) -> Surrogate:
        own = self.neuron.surrogate
        return self.spike_grad if isinstance(self.spike_grad, Surrogate) else own

    def _spikes_of(self, mem: Tensor, coefficients: Stored) -> Tensor:
        if self._past.last is not None and self._past.last[0] is mem:
            return self._past.last[1]
        return self._fire(mem, coefficients)

    def _coefficients_now(self, mem: Tensor, current: Tensor) -> Stored:
        """The coefficients of this step: what has a row per time step gives one row."""
        # A number in Python would make torch.compile build a graph per step; reading the tensor would wait for the GPU.
        if torch.compiler.is_compiling():
            step = self.step
            return self._given().rows(lambda value: value.index_select(0, step))
        if not torch.is_grad_enabled():
            self._past.shared = None
            given = self._given()
            done = self._steps_done(given.steps)
            return given.rows(lambda value: value[done : done + 1])
        shared = self._shared_by_steps(mem, current)
        return shared.each[self._steps_done(shared.steps)]

    def _steps_done(self, steps: int | None) -> int:
        """How many of so many steps were run since rest; nought for a neuron that doesn't count them."""
        if steps is None:
            return 0
        if self._past.step is not self.step:  # compiled code has moved it, or this is a copy
            self._past.step, self._past.num_steps = self.step, int(self.step)
        if self._past.num_steps >= steps:
            raise ValueError(
                f"step {self._past.num_steps + 1} of a neuron with {steps} time steps: call reset(net) or reset_mem() "
                "before each sequence, or build the neuron with the number of steps of the data"
            )
        return self._past.num_steps

    def _given(self) -> Stored:
        given = self.neuron.parameterisation()
        return given if isinstance(given, Stored) else given.packed()

    def _shared_by_steps(self, mem: Tensor, current: Tensor) -> _Shared:
        """The coefficients of all steps, worked out once for as long as the graph behind the membrane goes on.

        A backward pass takes that graph with it as a whole, so that nobody finds a part of it missing who would not
        have without this. Values that have changed meanwhile are seen.
        """
        versions = [(value, value._version) for value in self.neuron.stored_values()]
        goes_on = self._past.last is not None and self._past.last[0] is mem
        shared = self._past.shared
        lives_on = shared is not None and goes_on and (mem.requires_grad or not shared.has_graph)
        if shared is None or not lives_on or not _same(versions, shared.versions):
            backend = choose_backend(self.neuron.backend, current)
            whole = packed(self.neuron.parameterisation(), backend, state_dtype(current))
            shared = self._past.shared = _Shared(
                versions, any(value.requires_grad for value in whole.values), whole.steps, whole.by_step()
            )
        return shared

    def _fire(self, mem: Tensor, coefficients: Stored) -> Tensor:
        distance = mem - coefficients.threshold.to(mem.dtype).view(-1, *(1,) * (mem.dim() - 2))
        if isinstance(self.spike_grad, Surrogate):
            return spike(distance, self.spike_grad, self.neuron.strict)
        soft = self.spike_grad(distance).to(distance.dtype)
        return spike(distance.detach(), self._surrogate, self.neuron.strict) + (soft - soft.detach())

    def __getstate__(self) -> dict[str, Any]:
        # A copy carries the state without the graph behind it, which can't be copied.
        state = cast("dict[str, Any]", super().__getstate__())
        buffers = {name: buffer.detach() for name, buffer in self._buffers.items()}
        return state | {"_buffers": buffers, "_past": _Past()}


class GLIF(StepNeuron):
    """GLIF for snnTorch; see ``evglif.GLIF`` and ``StepNeuron`` for the arguments."""

    def __init__(
        self,
        channels: int,
        steps: int,
        sharing: str = "channel",
        gates: str = "learned",
        init: str | Mapping[str, float] = "cifar10dvs",
        *,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(neurons.GLIF(channels, steps, sharing, gates, init), spike_grad, init_hidden, output)


class GLIFf(StepNeuron):
    """GLIF_f for snnTorch; see ``evglif.neurons.GLIFf`` and ``StepNeuron`` for the arguments."""

    def __init__(
        self,
        channels: int,
        steps: int,
        sharing: str = "channel",
        init: str | Mapping[str, float] = "cifar10dvs",
        *,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(neurons.GLIFf(channels, steps, sharing, init), spike_grad, init_hidden, output)


class PLIF(StepNeuron):
    """PLIF for snnTorch; see ``evglif.PLIF`` and ``StepNeuron`` for the arguments."""

    def __init__(
        self,
        tau: float = 2.0,
        v_th: float = 1.0,
        v_reset: float | None = 0.0,
        *,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(neurons.PLIF(tau, v_th, v_reset), spike_grad, init_hidden, output)


class LIF(StepNeuron):
    """Vanilla LIF for snnTorch; see ``evglif.LIF`` and ``StepNeuron`` for the arguments."""

    def __init__(
        self,
        decay: float = 0.5,
        v_th: float = 1.0,
        reset: str = "hard",
        *,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(neurons.LIF(decay, v_th, reset=reset), spike_grad, init_hidden, output)


class IF(StepNeuron):
    """IF for snnTorch; see ``evglif.neurons.IF`` and ``StepNeuron`` for the arguments."""

    def __init__(
        self,
        v_th: float = 1.0,
        reset: str = "soft",
        *,
        spike_grad: SpikeGrad | None = None,
        init_hidden: bool = False,
        output: bool = False,
    ) -> None:
        super().__init__(neurons.IF(v_th, reset=reset), spike_grad, init_hidden, output)


def reset(net: nn.Module) -> None:
    """Bring every step-wise neuron of a network to rest, this package's and snnTorch's, however deeply nested."""
    for module in net.modules():
        if isinstance(module, snn.SpikingNeuron) and hasattr(module, "reset_mem"):
            module.reset_mem()


def detach(net: nn.Module) -> None:
    """Cut the states of this package's neurons off their past, for truncated backpropagation through time."""
    for module in net.modules():
        if isinstance(module, StepNeuron):
            module.mem = module.mem.detach()


def _same(ones: Versions, others: Versions) -> bool:
    return all(one is other and version == before for (one, version), (other, before) in zip(ones, others, strict=True))


def _check_shapes(current: Tensor, mem: Tensor) -> None:
    if current.dim() < 2:
        raise ValueError(f"the input of a step must be [B, C, …], got shape {tuple(current.shape)}")
    if mem.shape not in ((0,), current.shape):
        raise ValueError(
            f"the membrane has shape {tuple(mem.shape)}, the input {tuple(current.shape)}; "
            "call reset(net) or reset_mem() before a batch of another size"
        )
