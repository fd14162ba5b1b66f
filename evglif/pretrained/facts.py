"""What there is to say of a trained network, for a card or a report: plain values, each under an honest name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.pretrained.licences import LICENCES, Licence
from evglif.provenance import Origin, doubts
from evglif.results import CHOSEN, RESULTS, read_results, weights_that_count


@dataclass(frozen=True)
class Accuracy:
    """One accuracy.

    Attributes:
        name: what it is: a test accuracy, or why it is none.
        value: share of samples classified right.
        num_samples: how many there were.
        interval: of 95 %, where it was worked out.
        is_test: whether it is one of samples that played no part in training or choice.
    """

    name: str
    value: float
    num_samples: int
    interval: tuple[float, float] | None = None
    is_test: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of a network.

    Attributes:
        network, neuron: names in the registry.
        notation: in the papers' notation.
        num_parameters: of the network.
        input: its frames, T×C×H×W.
        classes: names in the order of the logits; empty where they are not known.
        data: name of the data set; empty where it is not known.
        preprocessing: how frames were made, name → value.
        licence: terms of the data set, where they are known.
        accuracies: the one of these weights first.
        protocol: how it was trained and judged, sentence by sentence.
        spikes: a sample, all layers together; None where not counted.
        firing_rate: spikes per neuron and time step, mean over layers; None likewise.
        cost: figures of ``deploy.profile`` for a sample: ``macs``, ``accumulates``, ``microjoules``, …; None likewise.
        origins: the checkpoints that its training began with.
        versions: of the programs that trained it.
    """

    network: str
    neuron: str
    notation: str
    num_parameters: int
    input: str
    classes: tuple[str, ...] = ()
    data: str = ""
    preprocessing: Mapping[str, str] | None = None
    licence: Licence | None = None
    accuracies: tuple[Accuracy, ...] = ()
    protocol: tuple[str, ...] = ()
    spikes: float | None = None
    firing_rate: float | None = None
    cost: Mapping[str, Any] | None = None
    origins: tuple[Origin, ...] = ()
    versions: Mapping[str, str] | None = None


def run_facts(folder: Path, which: str = "") -> tuple[Checkpoint, Facts]:
    """The checkpoint of a finished run and what is known of it.

    Args:
        folder: of the run.
        which: ``"best"`` or ``"last"``; empty for the best by validation where there is one.

    Raises:
        FileNotFoundError: there is no such run, or it is not finished.
        ValueError: its files are damaged.
    """
    path = folder / RESULTS
    results = read_results(path)
    if results is None:
        raise FileNotFoundError(f"{path} is missing: {folder} holds no finished run; train one with evglif.train")
    try:
        which = which or weights_that_count(results)
        if which not in results:
            raise ValueError(f"it has no {which!r} weights")
        checkpoint = read_checkpoint(folder / f"{which}.pt")
        return checkpoint, model_facts(checkpoint, results, which)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not what a run writes ({error!r})") from error
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def model_facts(
    checkpoint: Checkpoint,
    results: Mapping[str, Any] | None = None,
    which: str = "best",
) -> Facts:
    """What is known of a checkpoint; what its operations cost is for who counts them to add.

    Args:
        checkpoint: of which.
        results: what stands in ``results.json`` of its run, where there was one.
        which: of the run's weights it is.
    """
    from preprocessing.cache import package_version  # which loads h5py

    model, data = checkpoint.model, checkpoint.data
    spec = model.spec
    dataset = str(data.preprocessing.get("dataset", "")) if data else ""
    shape = (spec.steps if spec.encoder == "frames" else 1, spec.in_channels, spec.size[1], spec.size[0])
    test = (results or {}).get(which, {}).get("test") or {}
    rates = list(test.get("firing_rates", {}).values())
    return Facts(
        spec.name,
        spec.neuron.name,
        model.notation(),
        sum(parameter.numel() for parameter in model.parameters()),
        "×".join(map(str, shape)),
        data.classes if data else (),
        dataset,
        _preprocessing(data.preprocessing) if data else None,
        LICENCES.get(dataset),
        _accuracies(checkpoint, results, which),
        _protocol(results, which) if results else (),
        test.get("spikes"),
        sum(rates) / len(rates) if rates else None,
        None,
        checkpoint.origins,
        {"evglif": package_version(), **(results or {}).get("versions", {})},
    )


def _preprocessing(config: Mapping[str, Any]) -> dict[str, str]:
    names = ("slicing", "steps", "resize", "size", "value", "window_us", "filters")
    told = {name: config[name] for name in names if config.get(name) not in (None, [])}
    return {name: "×".join(map(str, each)) if name == "size" else str(each) for name, each in told.items()}


def _accuracies(checkpoint: Checkpoint, results: Mapping[str, Any] | None, which: str) -> tuple[Accuracy, ...]:
    found = []
    for weights in sorted(CHOSEN, key=lambda name: name != which) if results else ():
        figures = (results or {}).get(weights, {})
        if figures.get("test"):
            chosen = CHOSEN[weights] + ("" if weights == which else ", other weights of the same run")
            found.append(_of_test(figures["test"], chosen, figures["epoch"], doubts(checkpoint.origins)))
        if weights == which and "validation_accuracy" in figures:
            chosen = "by which the epoch was chosen" if which == "best" else "of the last epoch"
            number = int((results or {})["num_validation"])
            found.append(Accuracy(f"validation accuracy, {chosen}", figures["validation_accuracy"], number))
    if not results and "validation_accuracy" in checkpoint.metrics:
        value = float(checkpoint.metrics["validation_accuracy"])
        known = 0 if checkpoint.seen is None else len(checkpoint.seen.chosen)
        found.append(Accuracy("validation accuracy", value, known))
    if results and results.get("test_by_epoch"):
        best = results["test_by_epoch"]["best_epoch_chosen_on_the_test_split"]
        number = next((each.num_samples for each in found if each.interval), 0)
        found.append(Accuracy("accuracy of the best epoch, chosen on the test split itself", best["accuracy"], number))
    return tuple(found)


def _of_test(test: Mapping[str, Any], chosen: str, epoch: float, unknown: list[str]) -> Accuracy:
    low, high = test["accuracy_interval_95"]
    learnt, total = test.get("num_learnt_from"), test["num_samples"]
    where = f"{chosen} ({epoch:.0f})"
    if learnt:
        name = f"accuracy on the test split, of whose samples {learnt} were learnt from: no test accuracy; {where}"
    elif unknown:
        name = f"accuracy on the test split, of samples that may have been learnt from before; {where}"
    else:
        name = f"test accuracy, {where}"
    return Accuracy(name, test["accuracy"], total, (low, high), is_test=not learnt and not unknown)


def _protocol(results: Mapping[str, Any], which: str) -> tuple[str, ...]:
    recipe = results["recipe"]
    told = [
        f"Trained on {results['num_train']:,} samples for {recipe['epochs']} epochs "
        f"({recipe['optim']['name']}, learning rate {recipe['optim']['lr']:g}, batches of "
        f"{recipe['loader']['batch_size']}, loss {recipe['loss']['name']}, seed {recipe['seed']}).",
    ]
    if results["num_validation"]:
        cut = results.get("validation", {})
        told.append(
            f"{results['num_validation']:,} validation samples of {cut.get('num_recordings', 0):,} recordings were set "
            f"aside from the training split; the weights are those of the {CHOSEN[which]}."
        )
        if cut.get("shared_classes"):
            told.append("Some of them are parts of recordings that were trained on: validation flatters.")
    when = "evaluated after every epoch" if recipe.get("track_test") else "evaluated after the training alone"
    told.append(f"The test split was {when}, and played no part in any choice.")
    return tuple(told)
