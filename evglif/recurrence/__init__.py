"""The spiking recurrence: one operator under every neuron, and the one place where its backend is chosen."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal, NamedTuple, overload

import torch
from torch import Tensor
from torch.autograd import forward_ad

from evglif.recurrence import (
    operator,
    reference,
    threads,  # noqa: F401 (it notes the process that loads it, which must not be a forked one)
)
from evglif.recurrence.coefficients import Coefficients, Stored, state_dtype
from evglif.recurrence.one_step import one_step
from evglif.surrogate import Surrogate, spike

__all__ = [
    "BACKENDS",
    "Coefficients",
    "State",
    "Stored",
    "Trace",
    "choose_backend",
    "spiking_recurrence",
    "spiking_step",
]

BACKENDS = ("reference", "cpu", "triton")
"""Plain torch on any device, numba on processors, Triton on GPUs. ``"auto"`` picks the fastest that fits the tensor."""

_NUMBA_IS_THERE = find_spec("numba") is not None
_TRITON_IS_THERE = find_spec("triton") is not None


class State(NamedTuple):
    """What a neuron carries from one time step to the next.

    Attributes:
        membrane: U, before the reset, ``[B, C, …]``.
        spikes: S, ``[B, C, …]``.
    """

    membrane: Tensor
    spikes: Tensor


class Trace(NamedTuple):
    """Everything that a run of the recurrence gives.

    Attributes:
        spikes: S, ``[T, B, C, …]``, in the dtype of the current.
        membrane: U, before the reset, ``[T, B, C, …]``, in the dtype of the state (fp32 for half types).
        state: U and S after the last step; hand it to the next call as ``initial`` to go on.
    """

    spikes: Tensor
    membrane: Tensor
    state: State


@overload
def spiking_recurrence(
    current: Tensor,
    coefficients: Coefficients | Stored,
    surrogate: str | Surrogate = ...,
    strict: bool = ...,
    detach_reset: bool = ...,
    backend: str = ...,
    *,
    initial: State | float = ...,
    trace: Literal[False] = ...,
    final: Literal[False] = ...,
) -> Tensor: ...
@overload
def spiking_recurrence(
    current: Tensor,
    coefficients: Coefficients | Stored,
    surrogate: str | Surrogate = ...,
    strict: bool = ...,
    detach_reset: bool = ...,
    backend: str = ...,
    *,
    initial: State | float = ...,
    trace: Literal[False] = ...,
    final: Literal[True],
) -> tuple[Tensor, State]: ...
@overload
def spiking_recurrence(
    current: Tensor,
    coefficients: Coefficients | Stored,
    surrogate: str | Surrogate = ...,
    strict: bool = ...,
    detach_reset: bool = ...,
    backend: str = ...,
    *,
    initial: State | float = ...,
    trace: Literal[True],
    final: bool = ...,
) -> Trace: ...
def spiking_recurrence(
    current: Tensor,
    coefficients: Coefficients | Stored,
    surrogate: str | Surrogate = "rectangular",
    strict: bool = True,
    detach_reset: bool = False,
    backend: str = "auto",
    *,
    initial: State | float = 0.0,
    trace: bool = False,
    final: bool = False,
) -> Tensor | tuple[Tensor, State] | Trace:
    """Run spiking neurons over time.

        U[t] = a·U[t-1] − b + g[t]·X[t] − S[t-1]·(r·U[t-1] + d)        S[t] = 1 if U[t] > v, else 0

    All neurons of the two papers are coefficients of this one scan: GLIF (NeurIPS 2022, eq. 4–12), its eight simplex
    forms, GLIF_f (eq. 14–19), vanilla LIF (eq. 1), and PLIF (ICCV 2021, eq. 2–6). Gradients flow to the current, to
    the coefficients and to the initial state by backpropagation through time.

    Args:
        current: X, the synaptic input, ``[T, B, C, …]``; floating point. With half types the state is kept in fp32.
        coefficients: a, b, g, r, d, v, per channel or one for all; or the values that a neuron stores, of which a
            compiled backend works them out by itself.
        surrogate: gradient of the step, a name of ``evglif.surrogate.DERIVATIVES`` or a ``Surrogate``.
        strict: fire at U > v (GLIF eq. 6); otherwise at U ≥ v (PLIF eq. 5).
        detach_reset: let no gradient pass through the spike in the reset term (PLIF does, GLIF does not).
        backend: ``"auto"`` or one of ``BACKENDS``.
        initial: state before the first step, or the membrane's value where no neuron has fired before.
        trace: return a ``Trace`` with the membranes of all steps and the final state instead of the spikes alone.
        final: return the spikes and the final ``State`` alone; no other membranes are kept.

    Returns:
        Spikes ``[T, B, C, …]`` (0 or 1) in the dtype of the current, or what ``trace`` or ``final`` ask for.

    Raises:
        ValueError: for a current that has fewer than three dimensions, no time step or no floating-point dtype, for
            coefficients that don't fit it, for an unknown backend, and for gradients in forward mode.
    """
    _check(current, coefficients, "[T, B, C, …]")
    of_current = current.shape[0], current.shape[2], state_dtype(current)
    surrogate = Surrogate(surrogate) if isinstance(surrogate, str) else surrogate
    backend = choose_backend(backend, current)
    if final and isinstance(coefficients, Stored):
        coefficients = coefficients.plain()  # whose threshold tells the last spikes
    if backend == "reference":
        six = _six(coefficients, *of_current)
        spikes, membranes = _run_reference(current, six, surrogate, strict, detach_reset, initial)
    else:
        form, values = _stored(coefficients, *of_current)
        spikes, membranes = _run_operator(
            current, form, values, surrogate, strict, detach_reset, initial, trace, backend
        )
    if trace:
        return Trace(spikes, membranes, State(_last(membranes), _last(spikes)))
    if not final:
        return spikes
    threshold = _six(coefficients, *of_current).threshold
    return spikes, _final_state(_last(membranes), threshold, surrogate, strict, current.dtype)


def spiking_step(
    current: Tensor,
    coefficients: Coefficients | Stored,
    surrogate: Surrogate,
    strict: bool,
    detach_reset: bool,
    backend: str,
    initial: State | float,
) -> State:
    """Run one time step: the state after a current ``[B, C, …]``; arguments and errors as of ``spiking_recurrence``.

    The numbers and gradients are those of a run of that step alone, which takes longer.
    """
    backend = choose_backend(backend, current)
    if backend == "reference" or torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        options = surrogate, strict, detach_reset, backend
        return spiking_recurrence(current[None], coefficients, *options, initial=initial, trace=True).state
    _check(current, coefficients, "[B, C, …]")
    form, values = _stored(coefficients, 1, current.shape[1], state_dtype(current))
    current = _laid_out(current, 1)
    start, rest = _start(initial, current, values)
    settings = form, rest, strict, detach_reset, surrogate.name, surrogate.width
    spikes, membrane = one_step(settings, backend, current, start, values)
    return State(membrane, spikes)


def _last(steps: Tensor) -> Tensor:
    """The last step; of one alone a view whose gradient is not padded with zeros."""
    return steps.squeeze(0) if len(steps) == 1 else steps[-1]


def _six(coefficients: Coefficients | Stored, steps: int, channels: int, dtype: torch.dtype) -> Coefficients:
    """The coefficients of a current of so many steps and channels, in the dtype of its state."""
    six = coefficients.plain() if isinstance(coefficients, Stored) else coefficients
    six.check(steps, channels)
    return six.to(dtype)


def _stored(
    coefficients: Coefficients | Stored, steps: int, channels: int, dtype: torch.dtype
) -> tuple[str, tuple[Tensor, ...]]:
    """What the operator takes for such a current, and its form: values as they are stored, or else the six."""
    if isinstance(coefficients, Stored) and coefficients.fits(steps, channels, dtype):
        return coefficients.form, coefficients.values
    return "coefficients", _six(coefficients, steps, channels, dtype).values


def _final_state(u: Tensor, threshold: Tensor, surrogate: Surrogate, strict: bool, dtype: torch.dtype) -> State:
    """The state after a step from its membrane: a last slice of all spikes would cost a gradient as large as they."""
    threshold = threshold.view((-1,) + (1,) * (u.dim() - 2))
    return State(u, spike(u - threshold, surrogate, strict).to(dtype))


def choose_backend(backend: str, current: Tensor) -> str:
    """The backend that runs a current: the one asked for, or by ``"auto"`` the fastest that is there.

    The environment variable ``EVGLIF_BACKEND`` stands in for ``"auto"``.

    Raises:
        ValueError: for an unknown backend, or one that does not run tensors of that device.
        ModuleNotFoundError: for ``"cpu"`` without numba, and ``"triton"`` without Triton.
    """
    device = current.device.type
    if backend == "auto" and "EVGLIF_BACKEND" in os.environ:  # by get, one that isn't set costs a caught exception
        backend = os.environ["EVGLIF_BACKEND"]
    if backend == "auto":
        if device == "cuda" and _TRITON_IS_THERE:
            return "triton"
        return "cpu" if device == "cpu" and _NUMBA_IS_THERE else "reference"
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose auto or one of {', '.join(BACKENDS)}")
    if backend == "reference":
        return backend
    if device not in _devices(backend):
        raise ValueError(f"the backend {backend} does not run tensors on {current.device}; choose auto or reference")
    if backend == "cpu" and not _NUMBA_IS_THERE:
        raise ModuleNotFoundError("the backend cpu needs numba: pip install numba, or choose reference")
    if backend == "triton" and not _TRITON_IS_THERE:
        raise ModuleNotFoundError("the backend triton needs Triton: pip install triton, or choose reference")
    return backend


def _devices(backend: str) -> tuple[str, ...]:
    """Kinds of devices whose tensors a compiled backend runs; Triton's interpreter is for tests without a GPU."""
    if backend == "cpu":
        return ("cpu",)
    return ("cuda", "cpu") if os.environ.get("TRITON_INTERPRET") == "1" else ("cuda",)


def _run_reference(
    current: Tensor,
    coefficients: Coefficients,
    surrogate: Surrogate,
    strict: bool,
    detach_reset: bool,
    initial: State | float,
) -> tuple[Tensor, Tensor]:
    membrane, fired = initial if isinstance(initial, State) else (initial, None)
    state = current.to(state_dtype(current))
    # Autocast would put the products of the state back into the half type. It knows no tensors without data.
    kind = current.device.type
    with torch.autocast("cpu" if kind == "meta" else kind, enabled=False):
        spikes, membranes = reference.scan(state, coefficients, surrogate, strict, detach_reset, membrane, fired)
    return spikes.to(current.dtype), membranes


def _run_operator(
    current: Tensor,
    form: str,
    values: tuple[Tensor, ...],
    surrogate: Surrogate,
    strict: bool,
    detach_reset: bool,
    initial: State | float,
    trace: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    current = _laid_out(current, 2)
    start, rest = _start(initial, current[0], values)
    options = (form, rest, strict, detach_reset, surrogate.name, surrogate.width, trace, backend)
    spikes, membranes = operator.recurrence(current, values, *start, *options)
    return spikes, membranes


def _laid_out(current: Tensor, channels: int) -> Tensor:
    """A current as compiled backends take it: contiguous, or with its dimension of channels last in memory."""
    fits = current.is_contiguous() or current.movedim(channels, -1).is_contiguous()
    return current if fits else current.contiguous()


def _start(
    initial: State | float, step: Tensor, values: tuple[Tensor, ...]
) -> tuple[tuple[Tensor | None, Tensor | None], float]:
    """Membranes and spikes before the first step, like a step of the current; or none, and where membranes rest."""
    start: tuple[Tensor | None, Tensor | None] = (None, None)
    if isinstance(initial, State):
        start = _as_state(initial.membrane, step), _as_state(initial.spikes, step)
    device = step.device
    for tensor in (*values, *start):
        if tensor is not None and tensor.device != device:
            raise ValueError(
                f"the current is on {device}, a value or state of the neuron on {tensor.device}; "
                "move both to one device with .to()"
            )
    return start, 0.0 if isinstance(initial, State) else float(initial)


def _as_state(part: Tensor, step: Tensor) -> Tensor:
    """Membranes or spikes in the shape and dtype of a current's state; nothing is done to those that are."""
    dtype, shape = state_dtype(step), step.shape
    part = part if part.dtype == dtype else part.to(dtype)
    return part if part.shape == shape else part.expand(shape)


def _check(current: Tensor, coefficients: Coefficients | Stored, shape: str) -> None:
    timed = shape.startswith("[T")
    if current.dim() < 2 + timed or (timed and current.shape[0] < 1):
        at_least = " with T ≥ 1" if timed else ""
        raise ValueError(f"current must be {shape}{at_least}, got shape {tuple(current.shape)}")
    if not current.is_floating_point():
        raise ValueError(f"current must be floating point, got {current.dtype}; convert it with .float()")
    if not torch.compiler.is_compiling() and _has_tangent(current, *coefficients.values):
        raise ValueError(
            "spikes have surrogate gradients in reverse mode only, not by jvp; "
            "use torch.autograd.grad, or torch.func.vjp with the backend reference"
        )


def _has_tangent(*values: Tensor) -> bool:
    """Whether something is to be differentiated in forward mode, looked for only where that is on."""
    if forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(value).tangent is not None for value in values)  # type: ignore[no-untyped-call]
