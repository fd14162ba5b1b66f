"""The model card: what a network is, what it was trained on, how well it does and how to run it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml  # type: ignore[import-untyped]

from evglif.pretrained.facts import Accuracy, Facts
from preprocessing.terminal import shown

MOST_CLASSES = 20
"""Whose names are written out."""


def model_card(facts: Facts, name: str = "FOLDER", licence: str = "") -> str:
    """The text of a ``README.md``, Markdown behind a head of YAML as model hubs read it.

    Args:
        facts: what is known; nothing else is claimed.
        name: by which the weights are loaded: a folder, a repository, or a name of the zoo.
        licence: of the weights; empty for that of the data.
    """
    head = yaml.safe_dump(_head(facts, licence), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n".join(_lines(facts, name, licence)) + "\n"


def _head(facts: Facts, licence: str) -> dict[str, Any]:
    terms = licence or (facts.licence.identifier if facts.licence else "other")
    tags = ["spiking-neural-network", "event-camera", "neuromorphic", facts.neuron, facts.network]
    head: dict[str, Any] = {"license": terms, "library_name": "evglif", "pipeline_tag": "image-classification"}
    if terms == "other":
        head["license_name"] = "not-stated"
    return {**head, "tags": tags, **({"datasets": [facts.data]} if facts.data else {})}


def _lines(facts: Facts, name: str, licence: str) -> Iterator[str]:
    on = f" on {_plain(facts.data)}" if facts.data else ""
    yield f"# {facts.network} with {facts.neuron.upper()} neurons{on}"
    yield from ("", f"`{facts.notation}`", "")
    yield f"Input {facts.input} (T×C×H×W), {facts.num_parameters:,} parameters. Classes: {_classes(facts.classes)}."
    yield from ("", "## Accuracy", "")
    yield from _accuracies(facts.accuracies)
    if facts.protocol:
        yield from ("", *facts.protocol)
    yield from ("", "## Data", "")
    yield from _data(facts, licence)
    yield from ("", "## Firing and energy", "")
    yield from _energy(facts)
    yield from ("", "## How to run", "", "```python", "from evglif import from_pretrained", "")
    yield from (f'model = from_pretrained("{name}")  # eval mode; frames [B, T, C, H, W] → logits [B, K]', "```", "")
    yield from ("```sh", f"python -m evglif.evaluate {name} --data FILE.h5")
    yield from (f"python -m deploy.export {name} --format onnx --data FILE.h5", "```")
    if facts.versions:
        yield from ("", f"Made with {', '.join(f'{each} {version}' for each, version in facts.versions.items())}.")


def _accuracies(accuracies: tuple[Accuracy, ...]) -> Iterator[str]:
    if not accuracies:
        yield "None is known: these weights were saved without the results of a run."
        return
    yield from ("| | | samples |", "|---|---|---|")
    for each in accuracies:
        interval = "" if each.interval is None else " (95 %: {:.1%} to {:.1%})".format(*each.interval)
        yield f"| {each.name} | {each.value:.2%}{interval} | {each.num_samples or ''} |"


def _data(facts: Facts, licence: str) -> Iterator[str]:
    if facts.preprocessing:
        yield f"Frames: {', '.join(f'{key} {_plain(value)}' for key, value in facts.preprocessing.items())}."
    terms = facts.licence
    if terms is not None:
        yield f"{terms.data}; {terms.credit}. Licence of the data: {terms.identifier} ({terms.source}). {terms.asks}"
    else:
        yield (
            "The licence of the data is not known to the program that wrote this card: find out what it allows before "
            "these weights are passed on."
        )
    if licence:
        yield f"Licence of the weights: {_plain(licence)}."
    for origin in facts.origins:
        yield (
            f"The training began with the weights of {_plain(origin.name)} ({origin.network} with {origin.neuron}, "
            f"SHA-256 {origin.digest[:16]}…), and what holds for the data of those holds too."
        )


def _energy(facts: Facts) -> Iterator[str]:
    if facts.spikes is None:
        yield "Not counted."
    else:
        rate = "" if facts.firing_rate is None else f", {facts.firing_rate:.1%} of neurons a step (mean over layers)"
        yield f"{facts.spikes:,.0f} spikes a sample{rate}."
    if facts.cost:
        yield from _cost(facts.cost)


def _cost(cost: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{cost['macs']:,.0f} multiply-accumulates and {cost['n_accumulates']:,.0f} accumulates a sample, mean of "
        f"{cost['num_samples']}: {cost['microjoules']:.2f} µJ by the usual convention (45 nm, 4.6 and 0.9 pJ), which "
        "processors and GPUs do not reach."
    )


def _classes(classes: tuple[str, ...]) -> str:
    if not classes:
        return "not known by name"
    more = f" and {len(classes) - MOST_CLASSES} more" if len(classes) > MOST_CLASSES else ""
    return ", ".join(_plain(name) for name in classes[:MOST_CLASSES]) + more


def _plain(text: str) -> str:
    """A text of anybody's as Markdown shows it letter for letter, on one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$!&])", r"\\\1", shown(text))
