"""What a GPU day found, in two lines, and where its tables are."""

from __future__ import annotations

from pathlib import Path

from scripts.gpu.tables import read


def text(folder: Path) -> str:
    """The summary as Markdown: two lines, and the parts."""
    parts = folder / "parts.md"
    lines = ["**Kernels.** " + kernels(folder), "", "**Training.** " + training(folder), ""]
    return "\n".join([*lines, parts.read_text() if parts.exists() else ""])


def kernels(folder: Path) -> str:
    """Agreement, and the recurrence against its peers at its largest number of steps."""
    rows = read(folder / "agreement.csv")
    said = [f"{sum(row['verdict'] == 'ok' for row in rows)} of {len(rows)} comparisons with the reference agree"]
    table = read(folder / "recurrence.csv")
    for dtype, layout in dict.fromkeys((row["type"], row["layout"]) for row in table):
        same = [row for row in table if (row["type"], row["layout"]) == (dtype, layout)]
        most = max(int(row["T"]) for row in same)
        times = {row["contender"]: row for row in same if int(row["T"]) == most}
        if "ours" not in times:
            continue
        ours = times.pop("ours")
        against = [
            f"{name} takes {float(row['both ms']) / float(ours['both ms']):.1f} ×" for name, row in times.items()
        ]
        said.append(
            f"{dtype} {layout}, T = {most}: forward and backward {ours['both ms']} ms, {ours['both of copy']} of a "
            f"copy's bandwidth; {', '.join(against)}"
        )
    return "; ".join(said) + "."


def training(folder: Path) -> str:
    """Training steps against the twin, and what was learnt."""
    said = [
        f"{row['network']} {row['precision']}{', channels last' if row['layout'] == 'channels-last' else ''}, "
        f"{row['contender']}: {row['ms']} ms ({row['host ms']} of the host), {row['times the twin']} × the twin"
        for row in read(folder / "training.csv")
        if row["contender"].startswith("GLIF") and "eager" not in row["contender"]
    ]
    said += [
        f"{row['data']} after {row['epochs']} epochs: {row['test % at best validation']} % at best validation, "
        f"{row['best test %']} % best test epoch (paper: {row['paper %']})"
        for row in read(folder / "learning.csv")
    ]
    return ("; ".join(said) or "nothing was measured") + "."
