"""The page: facts, charts and samples put into a template, which escapes every name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined

from evglif.evaluation.figures import Evaluation
from evglif.evaluation.learnt import MEANINGS, neuron_values
from evglif.models.summary import summarise
from evglif.reporting import charts, words
from evglif.reporting.record import RunRecord, TestFigures, figures_of
from evglif.reporting.samples import contact_sheet, worst
from evglif.training.run import REPORT
from preprocessing.cache import FrameCache, package_version
from preprocessing.calling import spoken
from preprocessing.files import require_file, write_whole
from preprocessing.own_code import imported
from preprocessing.terminal import IN_NO_LINE, as_text, by_codes

NUM_PAIRS = 8
MOST_IN_A_MATRIX = 30
"""Classes up to which the whole confusion matrix is shown; of more, the pairs that are confused most."""


def write_report(
    run: RunRecord, out: Path, cache: FrameCache | None = None, evaluation: Evaluation | None = None
) -> None:
    """Write the page of a run; what lies at ``out`` is replaced by the whole new page.

    Args:
        run: the finished run.
        out: the file.
        cache: its data, for the contact sheet and the samples that went wrong; None where they are not at hand.
        evaluation: of its chosen weights on the test split of the cache; None for the figures that the run noted.

    Raises:
        ValueError: ``out`` is no place for a file, or a figure of the run is damaged.
    """
    require_file(out)
    write_whole(out, render(run, out, cache, evaluation).encode())


def render(run: RunRecord, out: Path, cache: FrameCache | None = None, evaluation: Evaluation | None = None) -> str:
    """The page as text; arguments as of ``write_report``."""
    environment = Environment(
        loader=PackageLoader("evglif.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.filters.update(percent=_percent, short=_short)
    return environment.get_template("report.html.j2").render(_facts(run, out, cache, evaluation))


def _facts(run: RunRecord, out: Path, cache: FrameCache | None, evaluation: Evaluation | None) -> dict[str, Any]:
    test = figures_of(evaluation.to_dict(), "the evaluation") if evaluation else run.test(run.chosen)
    model, spec = run.checkpoint.model, run.checkpoint.model.spec
    with torch.random.fork_rng(devices=[]):  # gates start at random: the same page shows the same draw
        torch.manual_seed(0)
        values = neuron_values(model)
    name = f"{run.results['model']} with {run.results['neuron']}"
    return {
        "title": f"{Path(run.results['data']).stem}: {name}",
        "run": run,
        "run_recipe": run.recipe,
        "spec": spec,
        "network": summarise(model),
        "test": test,
        "protocol": words.protocol(run, test) if test else [],
        "calibration": words.calibration(test) if test else "",
        "data": _data(run, cache),
        "sheet": contact_sheet(cache) if cache else [],
        "num_classes": len(run.classes),
        "mistakes": list(worst(evaluation, cache)) if evaluation and cache else [],
        "training": charts.training_charts(run.epochs),
        "confusion": charts.confusion_chart(test, _names(run)) if test and _fits(run) else None,
        "pairs": list(_pairs(test, run.classes)) if test else [],
        "by_class": list(_by_class(test, run.classes)) if test else [],
        "tested": charts.test_charts(test, name) if test else [],
        "firing": charts.firing_charts(test.layers) if test else [],
        "silent": [layer for layer, fired in test.layers.items() if fired.silent == 1] if test else [],
        "learnt": charts.value_charts(values, MEANINGS),
        "commands": _commands(run, out),
        "version": package_version(),
        "seconds": run.results.get("training_seconds", 0.0),
    }


def _fits(run: RunRecord) -> bool:
    return len(run.classes) <= MOST_IN_A_MATRIX


def _names(run: RunRecord) -> list[str]:
    return [by_codes(IN_NO_LINE, as_text(name)) for name in run.classes]


def _data(run: RunRecord, cache: FrameCache | None) -> dict[str, str]:
    """What is known of the data, in words."""
    results, spec, data = run.results, run.checkpoint.model.spec, run.checkpoint.data
    facts = {"file": results["data"]}
    told = data.preprocessing if data else {}
    if told.get("dataset"):
        facts["data set"] = str(told["dataset"])
    if cache is not None:
        facts["what is in it"] = "events of a camera" if cache.kind == "events" else "still images"
    num_test = run.results[run.chosen].get("test", {}).get("num_samples", 0)
    counts = (results.get("num_train", 0), "to train on"), (results.get("num_validation", 0), "to choose by")
    facts["samples"] = ", ".join(f"{num:,} {what}" for num, what in (*counts, (num_test, "to test on")))
    steps = f"{spec.steps} time steps"
    facts["frames"] = f"{steps} × {spec.in_channels} channels × {spec.size[1]} × {spec.size[0]} px"
    if data and max(data.sensor):
        facts["sensor"] = f"{data.sensor[0]} × {data.sensor[1]} px"
    slicing = {"count": "equal numbers of events each", "time": "equal spans of time each"}
    if told.get("slicing") and (cache is None or cache.kind == "events"):
        facts["time steps"] = slicing.get(str(told["slicing"]), str(told["slicing"]))
    if told.get("resize"):
        facts["resized by"] = str(told["resize"])
    if cache is not None and cache.kind == "events" and len(cache):
        facts["events a sample"] = f"{int(cache.num_events.min()):,} to {int(cache.num_events.max()):,}"
        facts["length"] = f"{cache.duration_us.min() / 1e6:.2f} to {cache.duration_us.max() / 1e6:.2f} s"
    facts["fingerprint"] = results.get("fingerprint", "")[:16]
    return facts


def _pairs(test: TestFigures, classes: tuple[str, ...]) -> Iterator[tuple[str, str, int, int]]:
    """True class, what it was taken for, how often, and of how many: those confused most."""
    counts = [
        (count, row, column)
        for row, line in enumerate(test.confusion)
        for column, count in enumerate(line)
        if row != column and count
    ]
    for count, row, column in sorted(counts, key=lambda each: (-each[0], each[1:]))[:NUM_PAIRS]:
        yield classes[row], classes[column], count, sum(test.confusion[row])


def _by_class(test: TestFigures, classes: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    found = test.classes
    yield from zip(classes, found.support, found.precision, found.recall, found.f1, strict=True)


def _commands(run: RunRecord, out: Path) -> dict[str, str]:
    """What to do next, in words → a command line that runs as it is printed, where the training was started.

    In the words of whoever started it, with the code of theirs that it needs.
    """
    checkpoint, data = _quoted(run.checkpoint_path), _quoted(Path(run.results["data"]))
    exported = _quoted(run.checkpoint_path.with_suffix(".onnx"))
    profile = _quoted(run.checkpoint_path.with_suffix(".profile.json"))
    own = "".join(f" --import {shlex.quote(name)}" for name in imported())
    again = f"python -m evglif.report {_quoted(run.folder)} --data {data}{own}"
    commands = {
        "Evaluate it on other data, or with all figures as files": f"python -m evglif.evaluate {checkpoint} "
        f"--data {data} --out {_quoted(run.folder / 'evaluation')}{own}",
        "Count operations and energy": f"python -m deploy.profile {checkpoint} --data {data} --json {profile}{own}",
        "Export it, compared with this checkpoint": f"python -m deploy.export {checkpoint} --format onnx "
        f"--data {data}{own}",
        "Write this page anew, with what lies beside the checkpoint by then": again
        if out == run.folder / REPORT
        else f"{again} --out {_quoted(out)}",
        "Classify recordings with the exported model, without torch": f"python -m deploy.infer {exported} RECORDING …",
    }
    return {what: spoken(line) for what, line in commands.items()}


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _seen(value: Any) -> Any:
    """Texts of others by their codes where they hold what would change how the rest is shown."""
    return by_codes(IN_NO_LINE, as_text(value)) if type(value) is str else value


def _percent(share: float | None, digits: int = 1) -> str:
    return "–" if share is None else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _short(count: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{count:.0f}"
