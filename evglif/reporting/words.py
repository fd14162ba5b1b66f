"""How good a network is, in sentences: what was measured on what, who chose, and what is left open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evglif.reporting.record import RunRecord, TestFigures

EQUAL = 0.02
"""Between mean confidence and accuracy, a difference that is not worth a word."""


def protocol(run: RunRecord, test: TestFigures) -> list[str]:
    """How the test accuracy came about, a sentence a paragraph; the first says the figure.

    Args:
        run: the finished run.
        test: of the epoch that was chosen.
    """
    return list(_protocol(run, test))


def _protocol(run: RunRecord, test: TestFigures) -> Iterator[str]:
    low, high = test.accuracy_interval_95
    epoch = run.results[run.chosen].get("epoch", "")
    yield (
        f"Of {test.num_samples:,} test samples the network classifies {_percent(test.accuracy)} right, with the "
        f"weights of epoch {epoch} of {run.results['recipe'].get('epochs', '?')}, {_chosen_by(run)}."
    )
    yield (
        f"The 95 % interval runs from {_percent(low)} to {_percent(high)}. It is what the choice of test samples "
        "leaves open; another seed of the training moves the figure too, by how much only several seeds tell."
    )
    num_classes = sum(support > 0 for support in test.classes.support)
    beaten = "is above it" if low > test.chance else "DOES NOT CLEARLY EXCEED IT"
    yield (
        f"Chance is {_percent(test.chance)}: so much is right for whoever always names the most frequent of "
        f"{num_classes} classes. The interval {beaten}."
    )
    yield from _others(run)
    if test.num_learnt_from:
        new = test.accuracy_on_new_samples
        others = "none is new" if new is None else f"on the new ones it is right in {_percent(new)}"
        yield (
            f"THIS IS NO TEST ACCURACY: the network has learnt from {test.num_learnt_from:,} of these samples; "
            f"{others}."
        )


def _chosen_by(run: RunRecord) -> str:
    if run.chosen == "last":
        return "the last one: there were no validation samples to choose an epoch by"
    accuracy, num = run.results["best"].get("validation_accuracy"), run.results.get("num_validation", 0)
    judged = f" ({_percent(accuracy)} of {num:,})" if accuracy is not None else ""
    return (
        f"which did best on the validation samples{judged}; the test samples had no part in training, nor in the choice"
    )


def _others(run: RunRecord) -> Iterator[str]:
    last = run.test("last") if run.chosen == "best" else None
    if last is not None:
        epoch = run.results["last"].get("epoch", "?")
        low, high = last.accuracy_interval_95
        yield (
            f"The last epoch, {epoch}, reaches {_percent(last.accuracy)} on the same samples "
            f"({_percent(low)} to {_percent(high)})."
        )
    validation: dict[str, Any] = run.results.get("validation", {})
    if validation.get("shared_classes"):
        yield (
            f"Validation flatters: of {', '.join(validation['shared_classes'])} its samples come from recordings that "
            "were trained on too. The test split is what counts."
        )
    tracked = run.results.get("test_by_epoch")
    if tracked:
        best, mean = tracked["best_epoch_chosen_on_the_test_split"], tracked["mean_of_last"]
        yield (
            f"For comparison with papers only: the best epoch chosen ON THE TEST SPLIT ({best['epoch']:.0f}) has "
            f"{_percent(best['accuracy'])}, the mean of the last {mean['epochs']} epochs {_percent(mean['accuracy'])}."
        )


def calibration(test: TestFigures) -> str:
    """What the calibration means, in a sentence."""
    found = test.calibration
    gap = found.mean_confidence - test.accuracy
    how = "surer than it is right" if gap > 0 else "less sure than it is right"
    if abs(gap) < EQUAL:
        how = "as sure as it is right"
    return (
        f"Its mean confidence is {_percent(found.mean_confidence)} at an accuracy of {_percent(test.accuracy)}: it is "
        f"{how}. The expected calibration error, the mean gap over {len(found.counts)} bins, is "
        f"{_percent(found.error)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
