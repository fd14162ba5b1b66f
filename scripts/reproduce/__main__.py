"""Train what stands in a table or figure of the papers, and print the papers' accuracies beside ours.

Every row is a run of ``python -m evglif.train``: it goes on where it was stopped, and a run that stands in several
tables is done once. The papers report the best epoch by the test split; that figure is printed too, and called so.

With --set, rows keep their networks and data, and what a smaller budget changes in their recipes stands above the table
beside the papers' values.

With --quick, narrow networks learn small data for a few epochs on a CPU. This shows that everything works, and which
way things go. Its rows say what was really trained, on which data, and rows that come to the same are trained once; the
papers' figures, of other networks and data, do not stand beside them.

Examples:
    .venv/bin/python -m scripts.reproduce glif-table4 --quick
    .venv/bin/python -m scripts.reproduce glif-table1 --data data --seeds 0 1 2
    .venv/bin/python -m scripts.reproduce plif-tableS2 --rows MNIST --set epochs=8 --set cosine_period=8 --set lr=0.0005
    .venv/bin/python -m scripts.reproduce neurons --seeds 0 1 2    # on data for a laptop, none of the papers'
    .venv/bin/python -m scripts.reproduce plif-table4 --rows LIF --quick --events data/nmnist.h5
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from evglif.studies.space import parse_setting
from evglif.train import train
from preprocessing.commands import command
from scripts.reproduce.drawings import draw
from scripts.reproduce.runs import Job, changes, full_job, quick_job, quick_label
from scripts.reproduce.tables import TABLES, Row, Table

COLUMNS = ("best validation epoch", "last epoch", "best test epoch")


class Done(NamedTuple):
    """A row and its finished runs, one a seed."""

    row: Row
    folders: list[Path]
    results: list[dict[str, Any]]


@command("finished runs and epochs are kept, and the same command goes on from there")
def main() -> int:
    options = parse()
    options.settings = dict(map(parse_setting, options.set))
    if options.quick and options.set:
        raise ValueError("--set changes rows of full size, and --quick has values of its own; leave one of them out")
    table = TABLES[options.table]
    rows = [row for row in table.rows if not options.rows or any(part in row.label for part in options.rows)]
    if not rows:
        raise ValueError(f"no row of {options.table} has {' or '.join(options.rows)}; --list shows them")
    if options.list:
        print("\n".join(f"{row.label}: {row.paper} %" if row.paper else row.label for row in rows))
        return 0
    done = list(trained(table, rows, options))
    if not done:
        return 1
    write(options, table, done)
    return 0


def parse() -> argparse.Namespace:
    description, _, examples = (__doc__ or "").partition("Examples:")
    shown = "\n".join(f"  {name:<16}{table.title}" for name, table in TABLES.items())
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"Examples:{examples}\ntables:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", choices=TABLES, metavar="TABLE", help=f"one of {', '.join(TABLES)}")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets; default: data")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="default: runs/reproduce")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each; default: 0")
    parser.add_argument("--rows", nargs="+", default=[], help="only rows whose label holds one of these texts")
    parser.add_argument("--list", action="store_true", help="show the rows and the paper's accuracies, and end")
    told = "a value of the rows' recipes in place of the papers', as --set epochs=8; may be given again"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help=told)
    parser.add_argument("--quick", action="store_true", help="narrow networks, small data, few epochs, on a CPU")
    parser.add_argument("--epochs", type=int, default=8, help="of --quick; default: 8")
    parser.add_argument("--images", type=Path, help="data set of still images for --quick; default: 8×8 digits")
    parser.add_argument("--events", type=Path, help="data set of events for --quick; default: digits, simulated")
    return parser.parse_args()


def trained(table: Table, rows: Sequence[Row], options: argparse.Namespace) -> Iterable[Done]:
    """Rows whose data are there, trained; of others the command that builds their data is printed."""
    planned = list(plan(table, rows, options))
    for number, (row, jobs) in enumerate(planned, 1):
        print(f"[{number}/{len(planned)}] {row.label}", flush=True)
        results = [train(job.recipe, job.data, job.out, progress=False) for job in jobs]
        yield Done(row, [job.out for job in jobs], results)


def plan(table: Table, rows: Sequence[Row], options: argparse.Namespace) -> Iterable[tuple[Row, list[Job]]]:
    """Rows with their runs, one a seed; quick ones are called what they are, and each comes once."""
    known: set[Path] = set()
    for row in rows:
        jobs: list[Job] = []
        for seed in options.seeds:
            job = quick_job(row, seed, options) if options.quick else full_job(row, table, seed, options)
            if job is not None:
                jobs.append(job)
        if jobs and jobs[0].out not in known:
            known.add(jobs[0].out)
            yield (replace(row, label=quick_label(jobs[0]), paper="") if options.quick else row), jobs


def write(options: argparse.Namespace, table: Table, done: Sequence[Done]) -> None:
    """Print the table; keep it as Markdown and CSV, and a figure as a picture."""
    out, name = options.out, options.table
    chosen = "best test epoch" if table.chosen_on_test else "best validation epoch"
    head = ["", f"paper, {chosen}", *COLUMNS, "seeds", "epochs", "seconds"]
    lines = [[each.row.label, each.row.paper, *figures(each.results)] for each in done]
    if not any(each.row.paper for each in done):
        for line in (head, *lines):
            del line[1]
    title = quick_title(name, done) if options.quick else table.title
    markdown = "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *lines))
    told = ["Test accuracy, %. Best test epochs are chosen on the test split."]
    if options.settings:
        told += [f"{each.row.label}, other than in the paper: {changes(each.row, table, options)}." for each in done]
    text = "\n\n".join((f"# {title}", "\n".join(told), f"{markdown}\n"))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    with (out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *lines])
    print(f"\n{text}\nwritten to {out / name}.md and .csv")
    if table.draws:
        picture = out / f"{name}.png"
        draw(table.draws, {each.row.label: each.folders[0] for each in done}, picture, title)
        print(f"drawn to {picture}")


def quick_title(name: str, done: Sequence[Done]) -> str:
    """What a quick table shows: the data that were used, and no others."""
    data = dict.fromkeys(each.row.label.partition(", ")[0] for each in done)
    return f"{name}, quick: narrow networks on {' and '.join(data)}"


def figures(results: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Accuracies as mean ± standard deviation over the seeds, and what it took."""
    best = [each["best"]["test"]["accuracy"] for each in results if "best" in each]
    last = [each["last"]["test"]["accuracy"] for each in results]
    tracked = [each["test_by_epoch"]["best_epoch_chosen_on_the_test_split"]["accuracy"] for each in results]
    seconds = fmean(each["training_seconds"] for each in results)
    epochs = str(results[0]["recipe"]["epochs"])
    return *map(spread, (best, last, tracked)), str(len(results)), epochs, f"{seconds:.0f}"


def spread(shares: Sequence[float]) -> str:
    if not shares:
        return "–"
    deviation = f" ± {100 * stdev(shares):.2f}" if len(shares) > 1 else ""
    return f"{100 * fmean(shares):.2f}{deviation}"


if __name__ == "__main__":
    sys.exit(main())
