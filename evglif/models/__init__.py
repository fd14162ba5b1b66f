"""The registry of networks: name → typed specification → model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from evglif.models.wide7b import Wide7B, Wide7BSpec
from evglif.neurons import NeuronSpec

__all__ = [
    "MODELS",
    "Model",
    "ModelSpec",
    "Wide7B",
    "Wide7BSpec",
    "build_model",
    "model_from_spec",
    "model_name",
    "spec_from_dict",
    "spec_to_dict",
]

Model = Wide7B
ModelSpec = Wide7BSpec


@dataclass(frozen=True)
class _Entry:
    spec: type[ModelSpec]
    model: type[Model]


MODELS: dict[str, _Entry] = {"7b-widenet": _Entry(Wide7BSpec, Wide7B)}
"""Name → specification and model class."""


def build_model(name: str, neuron: str | NeuronSpec | Mapping[str, Any] = "glif", **options: Any) -> Model:
    """Build a network by name with fresh weights.

    Args:
        name: one of ``MODELS``.
        neuron: name of the neuron, or its ``NeuronSpec``, or that as a mapping. The neuron's own options
            (``sharing``, ``gates``, ``init``, ``tau``) may also stand among ``options``.
        options: fields of the model's specification, e.g. ``num_classes``, ``in_channels``, ``steps``, ``size``.

    Returns:
        The model; ``model.spec`` says what it is. It takes frames ``[B, T, C, H, W]`` and gives logits ``[B, K]``.

    Raises:
        ValueError: for an unknown name or option (the known ones are listed) or a value out of range.
    """
    return model_from_spec(spec_from_dict({"name": name, "neuron": neuron, **options}))


def model_from_spec(spec: ModelSpec) -> Model:
    """The network that a specification describes, with fresh weights."""
    return MODELS[model_name(spec)].model(spec)


def spec_from_dict(values: Mapping[str, Any]) -> ModelSpec:
    """A specification from its mapping, as stored in recipes and checkpoints; the inverse of ``spec_to_dict``.

    Raises:
        ValueError: as ``build_model``.
    """
    values = dict(values)
    name = values.pop("name", None)
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; choose one of {', '.join(MODELS)}")
    spec_class = MODELS[name].spec
    neuron = _neuron_spec(values.pop("neuron", "glif"))
    of_neuron = {key: values.pop(key) for key in _names(NeuronSpec) - {"name"} if key in values}
    unknown = set(values) - _names(spec_class)
    if unknown:
        known = sorted(_names(spec_class) | _names(NeuronSpec) - {"name"})
        raise ValueError(f"{name} has no option {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    if "size" in values:
        width, height = values["size"]
        values["size"] = (int(width), int(height))
    return spec_class(neuron=replace(neuron, **of_neuron), **values)


def spec_to_dict(spec: ModelSpec) -> dict[str, Any]:
    """A specification as plain values that JSON and YAML can hold, its model's name among them."""
    return {"name": model_name(spec), **asdict(spec)}


def model_name(spec: ModelSpec) -> str:
    """The registry's name for a specification."""
    return next(name for name, entry in MODELS.items() if entry.spec is type(spec))


def _names(spec_class: type[Any]) -> set[str]:
    return {field.name for field in fields(spec_class)}


def _neuron_spec(neuron: str | NeuronSpec | Mapping[str, Any]) -> NeuronSpec:
    if isinstance(neuron, NeuronSpec):
        return neuron
    if isinstance(neuron, str):
        return NeuronSpec(neuron)
    unknown = set(neuron) - _names(NeuronSpec)
    if unknown:
        raise ValueError(f"a neuron has no option {', '.join(sorted(unknown))}; it has {sorted(_names(NeuronSpec))}")
    return NeuronSpec(**neuron)
