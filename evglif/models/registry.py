"""The registry of networks: name → typed specification → model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from evglif.models.base import Network, NetworkSpec
from evglif.models.cifarnet import CIFARNet, CIFARNetSpec
from evglif.models.graph import GraphNet, GraphSpec
from evglif.models.plifnet import PLIFNet, PLIFNetSpec
from evglif.models.qkformer import QKFormer, QKFormerSpec
from evglif.models.resnet import ResNet, ResNetSpec
from evglif.models.vgg import VGG, VGGSpec
from evglif.models.wide7b import Wide7B, Wide7BSpec
from evglif.neurons import NeuronSpec
from evglif.neurons.spec import neuron_origin
from preprocessing.nearest import nearest
from preprocessing.own_code import CodeOrigin, origin_of


@dataclass(frozen=True)
class Entry:
    """A network of the registry.

    Attributes:
        spec: class of its specification.
        model: what builds it from that.
        paper: where it comes from.
        options: values of the specification that make this network of its family.
        neuron: its neuron, unless another is given, and that neuron's options.
    """

    spec: type[NetworkSpec]
    model: Callable[[Any], Network]
    paper: str
    options: Mapping[str, Any] = field(default_factory=dict)
    neuron: Mapping[str, Any] = field(default_factory=dict)


_CIFAR = {"encoder": "direct", "steps": 6, "size": (32, 32)}
_IMAGENET = {"encoder": "direct", "num_classes": 1000, "size": (224, 224), "stem_kernel": 7, "stem_stride": 2}
_ALL_HALVED = {"strides": (2, 2, 2, 2)}
_PLIF = {"name": "plif"}
_DVS = {"size": (128, 128), "steps": 20}
_LIF = {"name": "lif", "init": "cifar"}
_VGG11 = {"widths": (64, 128, 256, 256, 512, 512, 512, 512), "stages": (1, 1, 2, 4), "readout": "mean", "norm": "tdbn"}

MODELS: dict[str, Entry] = {
    "7b-widenet": Entry(Wide7BSpec, Wide7B, "GLIF, CIFAR10-DVS"),
    "resnet18": Entry(ResNetSpec, ResNet, "GLIF, CIFAR", _CIFAR, {"init": "cifar"}),
    "resnet19": Entry(
        ResNetSpec,
        ResNet,
        "GLIF, CIFAR",
        {**_CIFAR, "stem_width": 128, "repeats": (3, 3, 2), "widths": (128, 256, 512), "strides": (1, 2, 2)},
        {"init": "cifar"},
    ),
    "resnet34": Entry(
        ResNetSpec,
        ResNet,
        "GLIF, ImageNet",
        {**_IMAGENET, **_ALL_HALVED, "steps": 4, "repeats": (3, 4, 6, 3)},
        {"init": "imagenet-t4"},
    ),
    "ms-resnet18": Entry(
        ResNetSpec,
        ResNet,
        "GLIF, ImageNet",
        {**_IMAGENET, **_ALL_HALVED, "steps": 6, "block": "ms"},
        {"init": "imagenet-t6"},
    ),
    "cifarnet": Entry(CIFARNetSpec, CIFARNet, "GLIF, CIFAR", {**_CIFAR, "steps": 5}, {"init": "cifar"}),
    "plif-mnist": Entry(
        PLIFNetSpec,
        PLIFNet,
        "PLIF, MNIST",
        {"encoder": "direct", "in_channels": 1, "steps": 8, "size": (28, 28), "stages": (1, 1), "hidden": 2048},
        _PLIF,
    ),
    "plif-cifar10": Entry(
        PLIFNetSpec,
        PLIFNet,
        "PLIF, CIFAR-10",
        {**_CIFAR, "in_channels": 3, "steps": 8, "width": 256, "stages": (3, 3), "hidden": 2048},
        _PLIF,
    ),
    "plif-cifar10dvs": Entry(PLIFNetSpec, PLIFNet, "PLIF, CIFAR10-DVS", {**_DVS, "stages": (1, 1, 1, 1)}, _PLIF),
    "plif-dvs128gesture": Entry(
        PLIFNetSpec, PLIFNet, "PLIF, DVS128 Gesture", {**_DVS, "num_classes": 11, "stages": (1, 1, 1, 1, 1)}, _PLIF
    ),
    "vggsnn": Entry(VGGSpec, VGG, "TET, CIFAR10-DVS", {"steps": 10}, _LIF),
    "vgg11": Entry(VGGSpec, VGG, "NDA, CIFAR10-DVS", {"steps": 10, **_VGG11}, _LIF),
    "qkformer": Entry(QKFormerSpec, QKFormer, "QKFormer, CIFAR10-DVS", {"size": (128, 128), "steps": 16}, _LIF),
}
"""Name → network."""

_NODES = Entry(GraphSpec, GraphNet, "a NIR file", {}, {"name": "lif"})
"""Networks that are stated node by node: their specification knows them, no name does."""


_ORIGINS: dict[str, CodeOrigin] = {}


def register_network(
    name: str,
    spec: type[NetworkSpec],
    model: Callable[[Any], Network],
    paper: str = "own",
    options: Mapping[str, Any] = MappingProxyType({}),
    neuron: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Add a network of one's own, for any recipe and command.

    Args:
        name: that recipes, ``build_model`` and checkpoints call it by.
        spec, model, paper, options, neuron: as in ``Entry``; the spec a frozen dataclass that checkpoints can hold.

    Raises:
        ValueError: a network of this package has the name.
    """
    if name in MODELS and name not in _ORIGINS:
        raise ValueError(f"the network {name!r} is there already; choose another name than {', '.join(MODELS)}")
    MODELS[name] = Entry(spec, model, paper, options, neuron)
    _ORIGINS[name] = origin_of(model)


def own_code(spec: NetworkSpec) -> dict[str, CodeOrigin]:
    """What a network needs that this package does not have: "neuron NAME" or "network NAME" → where that is from."""
    found = {
        f"network {spec.name}": _ORIGINS.get(spec.name),
        f"neuron {spec.neuron.name}": neuron_origin(spec.neuron.name),
    }
    return {what: origin for what, origin in found.items() if origin is not None}


def build_model(name: str, neuron: str | NeuronSpec | Mapping[str, Any] | None = None, **options: Any) -> Network:
    """Build a network by name with fresh weights.

    Args:
        name: one of ``MODELS``.
        neuron: name of the neuron, or its ``NeuronSpec``, or that as a mapping; ``"relu"`` for the ANN twin, None
            for the network's own. The neuron's options (``sharing``, ``gates``, ``init``, ``tau``) may also stand
            among ``options``.
        options: fields of the model's specification, e.g. ``num_classes``, ``in_channels``, ``steps``, ``size``.

    Returns:
        The model; ``model.spec`` says what it is. It takes frames ``[B, T, C, H, W]`` and gives logits ``[B, K]``.

    Raises:
        ValueError: for an unknown name or option (the known ones are listed) or a value out of range.
    """
    return model_from_spec(spec_from_dict({"name": name, "neuron": neuron, **options}))


def model_from_spec(spec: NetworkSpec) -> Network:
    """The network that a specification describes, with fresh weights."""
    return _entry(spec.name).model(spec)


def spec_from_dict(values: Mapping[str, Any]) -> NetworkSpec:
    """A specification from its mapping, as stored in recipes and checkpoints; the inverse of ``spec_to_dict``.

    What the mapping leaves out is as the registry has it.

    Raises:
        ValueError: as ``build_model``.
    """
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    name = values.pop("name", None)
    entry = _entry(name)
    neuron = _neuron_spec(values.pop("neuron", None), entry.neuron)
    of_neuron = {key: values.pop(key) for key in _names(NeuronSpec) - {"name"} if key in values}
    known = _names(entry.spec) - {"name"}
    unknown = set(values) - known
    if unknown:
        listed = sorted(known | _names(NeuronSpec) - {"name"})
        meant = nearest(min(unknown), listed)
        raise ValueError(f"{name} has no option {', '.join(sorted(unknown))}; it has {', '.join(listed)}{meant}")
    return entry.spec(name=name, neuron=replace(neuron, **of_neuron), **{**entry.options, **values})


def spec_to_dict(spec: NetworkSpec) -> dict[str, Any]:
    """A specification as plain values that JSON and YAML can hold, its model's name among them."""
    return asdict(spec)


def _entry(name: Any) -> Entry:
    if name == "nir":
        return _NODES
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}{nearest(str(name), MODELS)}")
    return MODELS[name]


def _names(spec_class: type[Any]) -> set[str]:
    return {field.name for field in fields(spec_class)}


def _neuron_spec(neuron: str | NeuronSpec | Mapping[str, Any] | None, usual: Mapping[str, Any]) -> NeuronSpec:
    if isinstance(neuron, NeuronSpec):
        return neuron
    options = {"name": neuron} if isinstance(neuron, str) else dict(neuron or {})
    unknown = set(options) - _names(NeuronSpec)
    if unknown:
        raise ValueError(f"a neuron has no option {', '.join(sorted(unknown))}; it has {sorted(_names(NeuronSpec))}")
    return NeuronSpec(**{**usual, **options})
