"""The specification by which a network asks for a neuron, and the registry of neurons: name → how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import Parameter, signature
from typing import TypedDict

from evglif.neurons.base import SHARINGS, SpikingNeuron
from evglif.neurons.channels import ChannelLIF
from evglif.neurons.glif import GLIF
from evglif.neurons.glif_f import GLIFf
from evglif.neurons.lif import IF, LIF
from evglif.neurons.plif import PLIF
from evglif.neurons.primitives import INITIAL_VALUES
from evglif.neurons.relu import ReLU
from evglif.surrogate import Surrogate
from preprocessing.nearest import nearest
from preprocessing.own_code import CodeOrigin, origin_of

Neuron = SpikingNeuron | ReLU
"""What a network can be built of."""

GATES_BY_NAME = {"glif-s": "static", **{f"simplex-{code:03b}": f"{code:03b}" for code in range(8)}}
"""GLIF under the names that its gates have in the paper's ablations (§4.3)."""

_BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_MAY_BE_NONE = ("v_reset", "surrogate_width", "strict", "detach_reset")


@dataclass(frozen=True)
class NeuronSpec:
    """Which neuron a network is built of; every layer gets its own.

    A neuron takes what it knows and ignores the rest, so that a recipe may name another neuron and stay as it is.

    Attributes:
        name: one of ``NEURONS``.
        sharing: GLIF and GLIF_f: ``"channel"`` or ``"layer"``.
        gates: GLIF: ``"learned"``, ``"static"`` or a binary code such as ``"101"``.
        init: GLIF and GLIF_f: a row of Table 7, ``"cifar"``, ``"imagenet-t4"``, ``"imagenet-t6"`` or ``"cifar10dvs"``.
        tau: PLIF: initial time constant τ₀, steps. LIF leaks 1/τ per step.
        v_th: PLIF, LIF and IF: threshold.
        gate_range: GLIF: ``"paper"`` or ``"code"``, where gates start.
        v_reset: PLIF: V_reset; None for a soft reset.
        learn_tau: PLIF: whether τ is learnt.
        reset: LIF and IF: ``"hard"`` or ``"soft"``; None for hard with LIF, soft with IF.
        surrogate: name of a surrogate; None, as with the next three, for the neuron's own.
        surrogate_width: of the surrogate; None for 1.
        strict: fire at U > v rather than at U ≥ v.
        detach_reset: let no gradient pass through the spike in the reset.

    Raises:
        ValueError: for an unknown name, sharing or init, a value of the wrong type, or gates that contradict the name;
            other values are checked by the neuron itself.
    """

    name: str = "glif"
    sharing: str = "channel"
    gates: str = "learned"
    init: str = "cifar10dvs"
    tau: float = 2.0
    v_th: float = 1.0
    gate_range: str = "paper"
    v_reset: float | None = 0.0
    learn_tau: bool = True
    reset: str | None = None
    surrogate: str | None = None
    surrogate_width: float | None = None
    strict: bool | None = None
    detach_reset: bool | None = None

    def __post_init__(self) -> None:
        if self.name not in NEURONS:
            known = f"choose one of {', '.join(NEURONS)}{nearest(self.name, NEURONS)}"
            raise ValueError(f"unknown neuron {self.name!r}; {known}")
        if self.sharing not in SHARINGS:
            raise ValueError(f"unknown sharing {self.sharing!r}; choose one of {', '.join(SHARINGS)}")
        if self.init not in INITIAL_VALUES:
            raise ValueError(f"unknown init {self.init!r}; choose one of {', '.join(INITIAL_VALUES)}")
        for name in ("tau", "v_th", "v_reset", "surrogate_width"):
            self._one_of_types(name, int, float)
        for name in ("learn_tau", "strict", "detach_reset"):
            self._one_of_types(name, bool)
        own = GATES_BY_NAME.get(self.name, self.gates)
        if self.gates not in ("learned", own):
            raise ValueError(f"{self.name} has the gates {own!r}, got {self.gates!r}; choose the neuron glif for those")

    def _one_of_types(self, name: str, *types: type) -> None:
        value = getattr(self, name)
        fits = isinstance(value, types) and (bool in types or not isinstance(value, bool))
        if not fits and not (value is None and name in _MAY_BE_NONE):
            wanted = " or ".join(known.__name__ for known in types)
            raise ValueError(f"{self.name}: {name} must be of type {wanted}, got {value!r}")

    @property
    def initial_threshold(self) -> float:
        """V_th before training, by which tdBN scales: of Table 7 for GLIF and GLIF_f, 1 for ReLU, which has none."""
        if self.name == "relu":
            return 1.0
        return self.v_th if self.name in ("plif", "lif", "if") else INITIAL_VALUES[self.init]["v_th"]


class _Firing(TypedDict):
    surrogate: Surrogate
    strict: bool | None
    detach_reset: bool | None


def _firing(spec: NeuronSpec, kind: type[SpikingNeuron]) -> _Firing:
    width = 1.0 if spec.surrogate_width is None else spec.surrogate_width
    surrogate = Surrogate(spec.surrogate or kind.surrogate_name, width)
    return {"surrogate": surrogate, "strict": spec.strict, "detach_reset": spec.detach_reset}


def _glif(spec: NeuronSpec, channels: int, steps: int) -> GLIF:
    gates, firing = GATES_BY_NAME.get(spec.name, spec.gates), _firing(spec, GLIF)
    return GLIF(channels, steps, spec.sharing, gates, spec.init, gate_range=spec.gate_range, **firing)


def _glif_f(spec: NeuronSpec, channels: int, steps: int) -> GLIFf:
    return GLIFf(channels, steps, spec.sharing, spec.init, **_firing(spec, GLIFf))


def _plif(spec: NeuronSpec, channels: int, steps: int) -> PLIF:  # noqa: ARG001
    return PLIF(spec.tau, spec.v_th, spec.v_reset, learn_tau=spec.learn_tau, **_firing(spec, PLIF))


def _lif(spec: NeuronSpec, channels: int, steps: int) -> LIF:  # noqa: ARG001
    return LIF(1 - 1 / spec.tau, spec.v_th, reset=spec.reset or "hard", **_firing(spec, LIF))


def _if(spec: NeuronSpec, channels: int, steps: int) -> IF:  # noqa: ARG001
    return IF(spec.v_th, reset=spec.reset or "soft", **_firing(spec, IF))


def _relu(spec: NeuronSpec, channels: int, steps: int) -> ReLU:  # noqa: ARG001
    return ReLU()


NEURONS: dict[str, Callable[[NeuronSpec, int, int], Neuron]] = {
    "glif": _glif,
    "plif": _plif,
    "lif": _lif,
    "if": _if,
    "glif-f": _glif_f,
    **dict.fromkeys(GATES_BY_NAME, _glif),
    "relu": _relu,
}
"""Name → function that builds the neuron of a specification, for so many channels and time steps."""


_ORIGINS: dict[str, CodeOrigin] = {}


def register_neuron(name: str, kind: Callable[..., Neuron]) -> None:
    """Add a neuron of one's own, for any network, recipe and command.

    Args:
        name: that recipes, ``--neuron`` and checkpoints call it by.
        kind: its class, or a function that builds it; called with those of ``channels``, ``steps`` and ``spec``, the
            ``NeuronSpec``, that it names among its arguments.

    Raises:
        ValueError: a neuron of this package has the name, or the arguments are others.
    """
    if name in NEURONS and name not in _ORIGINS:
        raise ValueError(f"the neuron {name!r} is there already; choose another name than {', '.join(NEURONS)}")
    given = ("spec", "channels", "steps")
    arguments = signature(kind).parameters
    wanted = [each for each in given if each in arguments]
    needed = [each for each, how in arguments.items() if how.default is how.empty and how.kind in _BY_NAME]
    if foreign := [each for each in needed if each not in given]:
        raise ValueError(
            f"the neuron {name!r} wants {', '.join(foreign)}, and a network gives {', '.join(given)}; give it a default"
        )

    def build(spec: NeuronSpec, channels: int, steps: int) -> Neuron:
        values = {"spec": spec, "channels": channels, "steps": steps}
        return kind(**{each: values[each] for each in wanted})

    NEURONS[name] = build
    _ORIGINS[name] = origin_of(kind)


_FIRING_OPTIONS = ("surrogate", "surrogate_width", "strict", "detach_reset")
_OF_GLIF = frozenset({"sharing", "init", *_FIRING_OPTIONS})
_OF_IF = frozenset({"v_th", "reset", *_FIRING_OPTIONS})
_OPTIONS: dict[str, frozenset[str]] = {
    "glif": _OF_GLIF | {"gates", "gate_range"},
    "plif": frozenset({"tau", "v_th", "v_reset", "learn_tau", *_FIRING_OPTIONS}),
    "lif": _OF_IF | {"tau"},
    "if": _OF_IF,
    "glif-f": _OF_GLIF,
    **dict.fromkeys(GATES_BY_NAME, _OF_GLIF),
    "glif-s": _OF_GLIF | {"gate_range"},
    "relu": frozenset(),
}


def options_of(name: str | None = None) -> frozenset[str]:
    """The options of a specification that a neuron takes; all that there are without a name.

    Of a neuron of one's own nobody knows, and it may take all.
    """
    return _OPTIONS.get(name or "", frozenset(field.name for field in fields(NeuronSpec)) - {"name"})


def neuron_origin(name: str) -> CodeOrigin | None:
    """Where a neuron is from that was registered; None for one of this package."""
    return _ORIGINS.get(name)


def build_neuron(spec: NeuronSpec, channels: int, steps: int) -> Neuron:
    """A fresh neuron layer, or a ReLU in its place, for a current ``[T, B, C, …]`` of so many steps and channels."""
    return NEURONS[spec.name](spec, channels, steps)


def neuron_of_channels(spec: NeuronSpec, channels: int, steps: int, rest: float, reset: str) -> Neuron:
    """A layer whose values differ from channel to channel, of LIF or IF; another neuron that is named, as it is.

    Args:
        spec: for ``"lif"`` and ``"if"`` it says how gradients flow; values are set by whoever knows them.
        channels: C.
        steps: T.
        rest: where the membrane begins and, with a hard reset, is reset to.
        reset: ``"hard"`` or ``"soft"``.
    """
    if spec.name not in ("lif", "if"):
        return build_neuron(spec, channels, steps)
    return ChannelLIF(channels, rest, reset, **_firing(spec, ChannelLIF))
