"""Runs that differ by their seed alone, as one group; and groups set against each other on the samples they share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evglif.studies.paired import OverSeeds, over_samples, over_seeds
from evglif.studies.runs import FoundRun
from evglif.studies.space import Settings, differing, said


@dataclass(frozen=True)
class Judged:
    """A run on a split.

    Attributes:
        run: which.
        right: source of a sample → whether it was classified right.
        spikes: mean number a sample; None for a network without spiking neurons.
        loss: mean cross-entropy, nats.
    """

    run: FoundRun
    right: dict[str, bool]
    spikes: float | None
    loss: float

    @property
    def accuracy(self) -> float:
        """Share of its samples."""
        return sum(self.right.values()) / len(self.right)


@dataclass(frozen=True)
class Group:
    """Runs of one setting.

    Attributes:
        name: what tells it from the others.
        runs: one a seed.
    """

    name: str
    runs: tuple[Judged, ...]

    @property
    def by_seed(self) -> dict[int, float]:
        """Seed → accuracy."""
        return {each.run.recipe.seed: each.accuracy for each in self.runs}

    def right(self, sources: Sequence[str]) -> NDArray[np.float64]:
        """Share of the runs that were right on each of these samples, ``[N]``."""
        right = np.array([[each.right[source] for source in sources] for each in self.runs], np.float64)
        shares: NDArray[np.float64] = right.mean(axis=0)
        return shares

    @property
    def spikes(self) -> float | None:
        """Mean of the runs; None for a network without spiking neurons."""
        counts = [each.spikes for each in self.runs if each.spikes is not None]
        return float(np.mean(counts)) if counts else None


@dataclass(frozen=True)
class Against:
    """A group against the first.

    Attributes:
        seeds: from run to run.
        p_samples: from sample to sample; None where they share no samples.
        num_shared: samples that both were judged on.
    """

    seeds: OverSeeds
    p_samples: float | None
    num_shared: int


def grouped(runs: Sequence[FoundRun], by: Sequence[str] = ()) -> dict[str, list[FoundRun]]:
    """Name → runs that share their settings, or the settings named in ``by``, in the order in which they were given.

    Raises:
        ValueError: a group has a seed twice, or a name in ``by`` is no setting of these runs.
    """
    settings = [run.settings for run in runs]
    differences = list(differing(settings))
    known = _known(by, settings, differences)
    told = [{name: each[name] for name in known if name in each} for each in settings]
    found: dict[str, list[FoundRun]] = {}
    for run, values in zip(runs, told, strict=True):
        found.setdefault(said(values) or _plain_name(run), []).append(run)
    for name, members in found.items():
        seeds = [run.recipe.seed for run in members]
        twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
        if twice is not None:
            where = " and ".join(str(run.folder) for run in members if run.recipe.seed == twice)
            raise ValueError(f"seed {twice} stands twice in {name}: {where}; leave one out, or add --by NAME")
    return found


def _known(by: Sequence[str], settings: Sequence[Settings], differences: Sequence[Settings]) -> list[str]:
    """The names in ``by``, or of all that differs."""
    differing_names = list(dict.fromkeys(name for each in differences for name in each))
    for name in by:
        if not any(name in each for each in settings):
            raise ValueError(f"--by {name}: no setting of these runs; they differ in {', '.join(differing_names)}")
    return list(by) or differing_names


def _plain_name(run: FoundRun) -> str:
    return f"{run.network} with {run.neuron}"


def against(first: Group, other: Group) -> Against:
    """Set a group against the first, by seeds and by the samples that all runs of both were judged on.

    Samples are the same where their sources are: windows of the same recordings, however frames were made of them.
    """
    shared = _shared([*first.runs, *other.runs])
    p_samples = over_samples(first.right(shared), other.right(shared)) if shared else None
    return Against(over_seeds(first.by_seed, other.by_seed), p_samples, len(shared))


def _shared(runs: Iterable[Judged]) -> list[str]:
    sets = [each.right.keys() for each in runs]
    return sorted(set(sets[0]).intersection(*sets[1:]))


def to_dict(groups: Sequence[Group], others: Sequence[Against]) -> list[dict[str, Any]]:
    """Plain values for JSON, one a group, the first without a comparison."""
    found: list[dict[str, Any]] = []
    for group, compared in zip(groups, (None, *others), strict=True):
        figures: dict[str, Any] = {
            "setting": group.name,
            "runs": [str(each.run.folder) for each in group.runs],
            "accuracy_by_seed": group.by_seed,
            "spikes": group.spikes,
        }
        if compared is not None:
            seeds = compared.seeds
            figures |= {"difference": seeds.difference, "interval_95": seeds.interval, "p_over_seeds": seeds.p_value}
            figures |= {"paired_seeds": seeds.paired, "p_over_samples": compared.p_samples}
            figures |= {"num_shared_samples": compared.num_shared}
        found.append(figures)
    return found
