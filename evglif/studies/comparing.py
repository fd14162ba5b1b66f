"""Settings set against each other, from their runs to a table and files."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path

from evglif.checkpoint import read_checkpoint
from evglif.data import LoaderConfig
from evglif.evaluation.report import write_csv, write_json
from evglif.evaluation.session import best_device, evaluate_checkpoint
from evglif.studies.groups import Against, Group, Judged, against, grouped, to_dict
from evglif.studies.paired import spread
from evglif.studies.runs import FoundRun, find_runs
from evglif.studies.space import full_name
from evglif.studies.tables import counted, table
from evglif.threads import choose_threads, use_threads
from preprocessing.cache import FrameCache
from preprocessing.drawing import optional_picture
from preprocessing.progress import progress
from preprocessing.terminal import paragraph, shown, tell

COMPARED = ("difference", "95 % interval", "p over seeds", "p over samples")
NOTES = (
    "difference: to the first, in percentage points, with its 95 % interval over seeds;",
    "p over seeds: Student's t of the runs, paired where the seeds are the same (else Welch's);",
    "p over samples: random signs of each sample's difference, the seeds' mean. Neither is corrected for several rows.",
)


def run(options: argparse.Namespace) -> int:
    """The work of ``python -m evglif.compare``."""
    runs = list(find_runs(options.runs))
    for run in runs:
        if run.results is None:
            raise ValueError(f"{run.folder} is not finished ({len(run.history)} of {run.recipe.epochs} epochs)")
    by = [name if name == "data" else full_name(name) for name in options.by]
    members = grouped(runs, by)
    ordered = [run for each in members.values() for run in each]
    found = (judged(run, options) for run in progress(ordered, len(ordered), "compare", "runs"))
    groups = [Group(name, tuple(islice(found, len(each)))) for name, each in members.items()]
    others = [against(groups[0], group) for group in groups[1:]]
    counts = f"{counted(len(runs), 'run')} in {counted(len(groups), 'setting')}"
    print(f"{options.split}: {counts}, weights of best validation\n")
    print(comparison_table(groups, others))
    if options.out:
        write(options.out, groups, others)
        print(f"\nwritten to {shown(options.out)}")
    return 0


def judged(run: FoundRun, options: argparse.Namespace) -> Judged:
    """A run's best weights on the split.

    Raises:
        FileNotFoundError: its cache is no longer where it was.
    """
    data: Path | None = options.data or run.data
    if data is None or not data.is_file():
        raise FileNotFoundError(f"{run.folder} was trained on {data}, which is not there; say where it is with --data")
    checkpoint = read_checkpoint(run.checkpoint)
    with FrameCache(data) as cache:
        threads = choose_threads(checkpoint.model, options.batch_size, options.threads)
        accept: Collection[str] = options.accept
        with use_threads(threads.number if best_device() == "cpu" else options.threads):
            config = LoaderConfig(batch_size=options.batch_size)
            found = evaluate_checkpoint(checkpoint, cache, options.split, config, accept=accept)
        for warning in found.familiar.warnings() if found.familiar else []:
            tell(f"WARNING: {shown(run.folder)}: {warning}")
        sources = [cache.sources[index] for index in found.predictions.indices.tolist()]
    right = dict(zip(sources, found.predictions.right.tolist(), strict=True))
    return Judged(run, right, found.spikes if found.layers else None, found.loss)


def comparison_table(groups: Sequence[Group], others: Sequence[Against]) -> str:
    """The groups, one a line, all but the first with their difference to it."""
    head = ("setting", "seeds", "accuracy, %", "spikes", *COMPARED)
    rows = []
    for group, compared in zip(groups, (None, *others), strict=True):
        spikes = "–" if group.spikes is None else f"{group.spikes:,.0f}"
        cells = (group.name, str(len(group.runs)), spread(list(group.by_seed.values())), spikes)
        rows.append((*cells, *(_compared(compared) if compared else ("–",) * 4)))
    partly = [name for name, each in zip((g.name for g in groups[1:]), others, strict=True) if _partly(groups, each)]
    notes = [f"p over samples: {name} shares only some of its samples with the first" for name in partly]
    return paragraph([*table(head, rows), *(["", *NOTES, *notes] if others else [])])


def _partly(groups: Sequence[Group], compared: Against) -> bool:
    return compared.num_shared < len(groups[0].runs[0].right)


def _compared(compared: Against) -> tuple[str, ...]:
    seeds = compared.seeds
    interval = "–" if seeds.interval is None else "{:+.1f} to {:+.1f}".format(*(100 * end for end in seeds.interval))
    return f"{100 * seeds.difference:+.2f}", interval, _p(seeds.p_value), _p(compared.p_samples)


def _p(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def write(folder: Path, groups: Sequence[Group], others: Sequence[Against]) -> None:
    """Write ``comparison.json``, ``comparison.csv``, a row a run, and ``comparison.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "comparison.json", {"settings": to_dict(groups, others)})
    rows = [
        (group.name, str(each.run.folder), each.run.recipe.seed, each.accuracy, each.loss, each.spikes)
        for group in groups
        for each in group.runs
    ]
    write_csv(folder / "comparison.csv", ("setting", "run", "seed", "accuracy", "loss", "spikes"), rows)
    with optional_picture(folder / "comparison.png", "all figures are written; the same command draws it"):
        from evglif.plots.settings import plot_settings

        values = {group.name: list(group.by_seed.values()) for group in groups}
        plot_settings(values, folder / "comparison.png", "accuracy by setting", "accuracy")
