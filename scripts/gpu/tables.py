"""Tables that are on the disk after every row, and the list of what is still to be done."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic

LEFT = ".left"
"""Suffix of the file beside a table that names what is not in it yet, one a line."""


class Table:
    """A table as CSV and as Markdown, both whole after every row.

    Args:
        path: of the CSV file; the other one lies beside it.
        columns: names of its columns.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.rows: list[list[str]] = [list(columns)]
        self._write()

    def add(self, *cells: object) -> None:
        """A row, which is also printed."""
        self.rows.append([str(cell) for cell in cells])
        self._write()
        print(*self.rows[-1], sep=", ", flush=True)

    def _write(self) -> None:
        with self.path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(self.rows)
        self.path.with_suffix(".md").write_text(markdown(self.rows))


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a table; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def work_off(jobs: Mapping[str, Callable[[], object]], table: Path, seconds: float) -> list[str]:
    """Do jobs in their order until the time is over; one that fails stops no other.

    Args:
        jobs: by name, what matters most first.
        table: the jobs' table, beside which those that are left are named.
        seconds: after which none is begun.

    Returns:
        What went wrong.
    """
    end, failed = monotonic() + seconds, []
    left = table.with_suffix(LEFT)
    left.write_text("\n".join(jobs))
    for number, (name, job) in enumerate(jobs.items()):
        if monotonic() > end:
            break
        try:
            job()
        except Exception as error:  # whatever it is, the others are still to be done
            failed.append(f"{name}: {type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}")
            print(failed[-1], flush=True)
        left.write_text("\n".join(list(jobs)[number + 1 :]))
    return failed


def exit_code(failed: Sequence[str]) -> int:
    """1 if something went wrong, which the last line then says: it is what the day's table quotes; else 0."""
    if failed:
        print(f"failed: {'; '.join(failed)}")
    return 1 if failed else 0


def left_out(table: Path) -> list[str]:
    """What was not begun, or not ended when the process was; see ``work_off``."""
    path = table.with_suffix(LEFT)
    return path.read_text().split("\n") if path.exists() and path.read_text() else []


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of rows of the same length, the first of which is the header."""
    cells = [[cell.replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]) + "\n"
