"""The tables and figures of both papers whose networks can be trained here: every row's recipe, and the paper's figure.

Accuracies are in percent, as printed. Rows that quote other works are left out where the neuron is not in this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One experiment.

    Attributes:
        label: what the paper calls it.
        recipe: name of the recipe.
        paper: the paper's accuracy, %; empty where it has none.
        model: options of the network that differ from the recipe's.
        validation: share of the training split to choose an epoch by; None as in the recipe.
    """

    label: str
    recipe: str
    paper: str
    model: Mapping[str, Any] = field(default_factory=dict)
    validation: float | None = None


@dataclass(frozen=True)
class Table:
    """A table, or a figure that is drawn from its rows' runs.

    Attributes:
        title: what it compares.
        rows: its experiments.
        chosen_on_test: whether the paper reports the best epoch by the test split.
        draws: what a figure draws: ``"learnt"`` values of the neurons, ``"curves"`` of the accuracy by epoch, or
            ``"tau"`` by epoch; empty for a table.
    """

    title: str
    rows: tuple[Row, ...]
    chosen_on_test: bool = True
    draws: str = ""


def _cifar(recipe: str, network: str, accuracies: Mapping[int, str]) -> tuple[Row, ...]:
    name = {"resnet18": "ResNet-18", "resnet19": "ResNet-19", "cifarnet": "CIFARNet"}[network]
    data = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}[recipe]
    return tuple(
        Row(f"{data}, {name}, T={steps}", recipe, paper, {"name": network, "steps": steps})
        for steps, paper in accuracies.items()
    )


def _cifar100(network: str, steps: int, neurons: Mapping[str, tuple[Mapping[str, Any], str]]) -> tuple[Row, ...]:
    shown = {"resnet18": "ResNet-18", "resnet19": "ResNet-19"}[network]
    return tuple(
        Row(f"{shown}, T={steps}, {label}", "cifar100", paper, {"name": network, "steps": steps, **options})
        for label, (options, paper) in neurons.items()
    )


def _simplex(network: str, accuracies: tuple[str, ...]) -> tuple[Row, ...]:
    codes = [f"{code:03b}" for code in range(8)]
    neurons = {code: ({"neuron": f"simplex-{code}"}, paper) for code, paper in zip(codes, accuracies, strict=False)}
    return _cifar100(network, 4, {**neurons, "GLIF": ({"neuron": "glif"}, accuracies[-1])})


def _variants(network: str, steps: int, static: str, fused: str, glif: str) -> tuple[Row, ...]:
    neurons = {"GLIF_s": "glif-s", "GLIF_f": "glif-f", "GLIF": "glif"}
    papers = dict(zip(neurons, (static, fused, glif), strict=True))
    return _cifar100(network, steps, {label: ({"neuron": name}, papers[label]) for label, name in neurons.items()})


def _sharing(network: str, steps: int, layer: str, channel: str) -> tuple[Row, ...]:
    papers = {"layer-wise": ("layer", layer), "channel-wise": ("channel", channel)}
    return _cifar100(network, steps, {label: ({"sharing": name}, paper) for label, (name, paper) in papers.items()})


_PLIF_SETS = {
    "MNIST": "mnist",
    "Fashion-MNIST": "fashion-mnist",
    "CIFAR-10": "plif-cifar10",
    "N-MNIST": "nmnist",
    "CIFAR10-DVS": "plif-cifar10dvs",
    "DVS128 Gesture": "dvs128gesture",
}
_PLIF_ABLATED = ("Fashion-MNIST", "CIFAR-10", "CIFAR10-DVS", "DVS128 Gesture")


def _plif(label: str, papers: Mapping[str, str], model: Mapping[str, Any], validation: float | None) -> tuple[Row, ...]:
    return tuple(
        Row(", ".join(filter(None, (data, label))), _PLIF_SETS[data], paper, model, validation)
        for data, paper in papers.items()
    )


def _plif_ablated(label: str, papers: tuple[str, ...], **model: Any) -> tuple[Row, ...]:
    return _plif(label, dict(zip(_PLIF_ABLATED, papers, strict=True)), model, 0.0)


_PLIF_TABLE_2 = dict(zip(_PLIF_SETS, ("99.72", "94.38", "93.50", "99.61", "74.80", "97.57"), strict=True))
_PLIF_VALIDATED = dict(zip(_PLIF_SETS, ("99.63", "93.85", "92.58", "99.57", "69.00", "96.53"), strict=True))
_NEURONS = (
    *_plif_ablated("PLIF τ₀=2", ("94.38", "93.50", "74.80", "97.57"), neuron="plif", tau=2.0),
    *_plif_ablated("LIF τ=2", ("94.17", "93.03", "73.60", "96.88"), neuron="plif", tau=2.0, learn_tau=False),
    *_plif_ablated("PLIF τ₀=16", ("94.65", "93.23", "70.50", "92.01"), neuron="plif", tau=16.0),
    *_plif_ablated("LIF τ=16", ("94.47", "47.50", "62.40", "76.74"), neuron="plif", tau=16.0, learn_tau=False),
)

TABLES: dict[str, Table] = {
    "glif-table1": Table(
        "GLIF on CIFAR",
        (
            *_cifar("cifar10", "cifarnet", {5: "93.28"}),
            *_cifar("cifar10", "resnet19", {6: "95.03±0.08", 4: "94.85±0.07", 2: "94.44±0.10"}),
            *_cifar("cifar10", "resnet18", {6: "94.88±0.15", 4: "94.67±0.05", 2: "94.15±0.04"}),
            *_cifar("cifar100", "resnet19", {6: "77.35±0.07", 4: "77.05±0.14", 2: "75.48±0.08"}),
            *_cifar("cifar100", "resnet18", {6: "77.28±0.14", 4: "76.42±0.06", 2: "74.60±0.24"}),
        ),
    ),
    "glif-table2": Table(
        "GLIF on ImageNet",
        (
            Row("ResNet-34, T=6", "imagenet-t6", "69.09"),
            Row("ResNet-34, T=4", "imagenet-t4", "67.52"),
            Row("MS-ResNet-18, T=6", "imagenet-t6", "68.11", {"name": "ms-resnet18"}),
        ),
    ),
    "glif-table3": Table(
        "CIFAR10-DVS",
        (
            Row("PLIF, PLIF-Net, T=20", "plif-cifar10dvs", "74.80"),
            Row("PLIF, 7B-wideNet, T=16", "cifar10dvs", "74.40", {"neuron": "plif"}),
            Row("GLIF, 7B-wideNet, T=16", "cifar10dvs", "78.10"),
        ),
    ),
    "glif-table4": Table(
        "Simplex LIFs on CIFAR-100: the gates α, β, γ fixed at 0 or 1",
        (
            *_simplex("resnet19", ("76.29", "76.59", "73.89", "74.71", "77.15", "76.26", "74.39", "74.68", "77.22")),
            *_simplex("resnet18", ("75.77", "76.05", "74.27", "74.59", "75.54", "75.51", "73.36", "74.49", "76.39")),
        ),
    ),
    "glif-table5": Table(
        "Learnable gates on CIFAR-100",
        (
            *_variants("resnet19", 4, "76.89", "71.26", "77.22"),
            *_variants("resnet19", 2, "75.27", "72.14", "75.54"),
            *_variants("resnet18", 4, "76.22", "72.60", "76.39"),
            *_variants("resnet18", 2, "74.24", "72.10", "74.85"),
        ),
    ),
    "glif-table6": Table(
        "Sharing of parameters on CIFAR-100",
        (
            *_sharing("resnet19", 4, "75.71", "77.22"),
            *_sharing("resnet19", 2, "74.19", "75.54"),
            *_sharing("resnet18", 4, "75.29", "76.39"),
            *_sharing("resnet18", 2, "73.40", "74.85"),
        ),
    ),
    "glif-figure3-4": Table(
        "Learnt gates and primitives of ResNet-18 on CIFAR-100",
        _cifar100("resnet18", 4, {"GLIF": ({"neuron": "glif"}, "76.42±0.06")}),
        draws="learnt",
    ),
    "plif-table2": Table("PLIF, τ₀=2, max-pooling", _plif("", _PLIF_TABLE_2, {}, 0.0)),
    "plif-table4": Table("PLIF against LIF by the time constant at the start", _NEURONS),
    "plif-table5": Table(
        "Pooling",
        (
            *_plif_ablated("average", ("94.74", "93.30", "72.70", "97.22"), pooling="average"),
            *_plif_ablated("max", ("94.38", "93.50", "74.80", "97.57"), pooling="max"),
        ),
    ),
    "plif-tableS2": Table(
        "With 15 % of the training split for validation", _plif("", _PLIF_VALIDATED, {}, 0.15), chosen_on_test=False
    ),
    "plif-figure6": Table("PLIF against LIF during training", _NEURONS, draws="curves"),
    "plif-figure7": Table(
        "Time constants during training on CIFAR-10 and CIFAR10-DVS",
        tuple(row for row in _NEURONS if row.label.split(", ")[0].startswith("CIFAR") and "PLIF" in row.label),
        draws="tau",
    ),
    "neurons": Table(
        "Neurons side by side on small data, and the twin with ReLUs",
        tuple(
            Row(f"{data}, {shown}", recipe, "", {"neuron": neuron})
            for data, recipe in {"digits": "digits", "N-MNIST": "nmnist-small", "objects": "folder"}.items()
            for shown, neuron in {"GLIF": "glif", "PLIF": "plif", "LIF": "lif", "ReLU": "relu"}.items()
        ),
        chosen_on_test=False,
    ),
}
"""Name → table or figure."""
