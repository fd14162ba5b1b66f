"""Settings that Optuna suggests, one after the other, by what the former ones came to."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evglif.studies.space import Dimension, Settings

if TYPE_CHECKING:
    import optuna

JOURNAL = "optuna.log"


class Suggestions:
    """A study of Optuna, kept in a file, so that it goes on where it was stopped.

    Args:
        dimensions: what is tried.
        number: settings in all, those of former runs included.
        seed: of the sampler.
        folder: where the study is kept; one process at a time.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: the folder holds a study of other values.
    """

    def __init__(self, dimensions: Sequence[Dimension], number: int, seed: int, folder: Path) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ImportError("--optuna needs Optuna: pip install 'evglif[sweep]', or give --random N") from error
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        folder.mkdir(parents=True, exist_ok=True)
        self.dimensions, self.number = dimensions, number
        self.study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
            sampler=optuna.samplers.TPESampler(seed=seed),
            study_name="sweep",
            direction="maximize",
            load_if_exists=True,
        )
        space = [str(each) for each in dimensions]
        known = self.study.user_attrs.get("space", space)
        if known != space:
            raise ValueError(f"{folder} holds a study of {'; '.join(known)}; choose another --out")
        self.study.set_user_attr("space", space)
        self._take_up()

    def _take_up(self) -> None:
        """Ask again for what was being tried when a former process was stopped: its runs go on where they were."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            self.study.tell(trial.number, state=TrialState.FAIL)
            self.study.enqueue_trial(trial.params)

    def __iter__(self) -> Iterator[tuple[optuna.Trial, Settings]]:
        """Settings to try, with what to tell the outcome to."""
        from optuna.trial import TrialState

        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        while len(self.study.get_trials(states=ended)) < self.number:
            trial = self.study.ask()
            yield trial, {each.name: _suggest(trial, each) for each in self.dimensions}

    def tried(self) -> list[Settings]:
        """The settings of all that has an outcome."""
        from optuna.trial import TrialState

        trials = self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        return [{each.name: _value(each, trial.params[each.name]) for each in self.dimensions} for trial in trials]

    def tell(self, trial: optuna.Trial, score: float) -> None:
        """What a trial came to; one that is not finite counts as tried, and as no example."""
        from optuna.trial import TrialState

        if math.isfinite(score):
            self.study.tell(trial, score)
        else:
            self.study.tell(trial, state=TrialState.PRUNED)


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Any:
    if not dimension.values:
        return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)
    texts = [json.dumps(value) for value in dimension.values]  # Optuna keeps no lists
    return _value(dimension, trial.suggest_categorical(dimension.name, texts))


def _value(dimension: Dimension, kept: Any) -> Any:
    return json.loads(kept) if dimension.values else kept
