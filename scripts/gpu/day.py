"""What is looked at while a GPU is at hand for minutes: what matters most first, each part with a budget of its own.

Every part is a process of its own, which writes its table row by row; so a crash or a kill costs the row it was at.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from scripts.gpu import summary
from scripts.gpu.machine import ROOT, machine
from scripts.gpu.tables import Table, left_out

WHOLE_S = 480
"""Seconds of the budgets below; others are shared out in the same way."""

TO_STOP_S = 6
"""Seconds that a part has left for its last rows once it should be over."""

TO_END_S = 12
"""Seconds for the summary."""


@dataclass(frozen=True)
class Part:
    """One of the day's parts.

    Attributes:
        name: of its table.
        about: what is asked, in a few words.
        module: that is run, with ``--device``, ``--csv`` and ``--seconds``.
        budget_s: of ``WHOLE_S``; None for all that is left.
        options: more of them, for a GPU.
        toy: options that make it small, for a processor.
    """

    name: str
    about: str
    module: str
    budget_s: float | None
    options: tuple[str, ...] = ()
    toy: tuple[str, ...] = ()


PARTS = (
    Part("agreement", "Triton's spikes and gradients against the reference", "scripts.gpu.agreement", 60),
    Part(
        "recurrence",
        "the recurrence against its peers and a copy",
        "scripts.bench.recurrence_gpu",
        90,
        ("--steps", "16", "4"),
        (
            "--steps",
            "2",
            "--backend",
            "cpu",
            "--side",
            "2",
            "--batch",
            "1",
            "--repeats",
            "1",
            "--no-compile",
            "--dtypes",
            "fp32",
        ),
    ),
    Part(
        "training",
        "training steps against the ReLU twin",
        "scripts.bench.training_gpu",
        90,
        (),
        ("--repeats", "1"),
    ),
    Part("learning", "trainings with published figures", "scripts.gpu.learning", None),
)


@dataclass(frozen=True)
class Day:
    """How the parts are run.

    Attributes:
        device: ``"cuda"``; or ``"cpu"``, at toy size, to see that everything works.
        minutes: for all of it.
        folder: of the results.
        data: folder of the images to learn from, see ``kit``.
        archive: file that holds the folder after each part; None for none.
        only: names of parts; empty for all.
    """

    device: str
    minutes: float
    folder: Path
    data: Path | None = None
    archive: Path | None = None
    only: tuple[str, ...] = ()

    def run(self, parts: Sequence[Part] = PARTS) -> int:
        """Run the parts; 0 if each of them went well, whether or not all of it fitted."""
        begun = monotonic()
        end = begun + 60 * self.minutes - TO_END_S
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "machine.md").write_text(machine(self.device))
        table = Table(self.folder / "parts.csv", ("part", "about", "outcome", "seconds", "left out"))
        failed = []
        for part in parts:
            if self.only and part.name not in self.only:
                continue
            share = 60 * self.minutes / WHOLE_S
            left = end - monotonic()
            budget = left if part.budget_s is None else min(part.budget_s * share, left)
            started = monotonic()
            outcome = self._run(part, budget) if budget > TO_STOP_S else "not begun: the time was over"
            failed += [part.name] if outcome.startswith("failed") else []
            left_here = left_out(self.folder / f"{part.name}.csv")
            named = "; ".join(left_here) or ("all of it" if outcome.startswith("not") else "nothing")
            table.add(part.name, part.about, outcome, f"{monotonic() - started:.0f}", named)
            self._keep()
        (self.folder / "summary.md").write_text(summary.text(self.folder))
        self._keep()
        print(summary.text(self.folder))
        print(f"results are in {self.folder}" + (f"; failed: {', '.join(failed)}" if failed else ""))
        return 1 if failed else 0

    def _run(self, part: Part, budget_s: float) -> str:
        command = [sys.executable, "-m", part.module, "--device", self.device]
        command += ["--csv", str(self.folder / f"{part.name}.csv"), "--seconds", f"{budget_s - TO_STOP_S:.1f}"]
        command += part.options if self.device == "cuda" else part.toy
        if part.budget_s is None and self.data is not None:
            command += ["--data", str(self.data)]
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        environment |= {} if self.device == "cuda" else {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        log = self.folder / f"{part.name}.log"
        with log.open("w") as file:
            job = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            try:
                code = job.wait(budget_s)
            except subprocess.TimeoutExpired:
                return "stopped: it took longer than its budget"
            finally:
                with suppress(ProcessLookupError):  # nothing of it may go on beside the next part
                    os.killpg(job.pid, signal.SIGKILL)
                job.wait()
        if code:
            return f"failed: {(log.read_text(errors='replace').strip().splitlines() or ['no output'])[-1]}"
        return "ok"

    def _keep(self) -> None:
        runs = self.folder / "runs"
        for metrics in runs.glob("*/metrics.csv"):
            shutil.copy(metrics, self.folder / f"learning-{metrics.parent.name}.csv")
        if self.archive is None:
            return
        with tarfile.open(self.archive, "w:gz") as file:
            for path in sorted(self.folder.iterdir()):
                if path.is_file():
                    file.add(path, f"{self.folder.name}/{path.name}")
