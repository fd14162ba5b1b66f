"""Write the page of a finished run: ``python -m evglif.report RUN``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from preprocessing.commands import command
from preprocessing.options import Parser
from preprocessing.own_code import add_import
from preprocessing.terminal import shown, tell


@command("the page is as it was before")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors a user can mend end in one line."""
    parser = Parser(
        prog="python -m evglif.report",
        description="Write a finished run as one HTML page: its data, network and training, how good it is on the test "
        "samples, where it errs, what its neurons do, and what exports and profiles beside it say.",
        epilog="example: python -m evglif.report runs/digits --data data/digits.h5 --out digits.html",
    )
    parser.add_argument("run", type=Path, help="folder that python -m evglif.train wrote")
    parser.add_argument("--data", type=Path, help="cache of the run; default: where it was when the run was trained")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: report.html in the folder of the run")
    parser.add_argument("--batch-size", type=int, default=32, help="samples per forward pass; default: 32")
    parser.add_argument("--threads", type=int, help="of the processor; default: as many as the layers are worth")
    add_import(parser, "the neuron or network of the run")
    options = parser.parse_args(arguments)
    from evglif.training.run import REPORT

    out = options.out or options.run / REPORT
    report(options.run, out, options.data, options.batch_size, options.threads)
    print(f"written to {shown(out)}")
    return 0


def report(
    folder: Path, out: Path, data: Path | None = None, batch_size: int = 32, num_threads: int | None = None
) -> None:
    """Write the page of a finished run, its test samples classified once more where the data are at hand.

    Args:
        folder: of the run.
        out: the page.
        data: the cache; None for where it was when the run was trained, and for a page without samples if it is gone.
        batch_size: samples per forward pass.
        num_threads: of the processor; None for as many as the layers are worth.

    Raises:
        FileNotFoundError: there is no finished run, or no cache at ``data``.
        ValueError: a file of the run is damaged, or the data are others than the run's.
    """
    from evglif.data import LoaderConfig
    from evglif.evaluation.session import evaluate_checkpoint
    from evglif.reporting import read_run, write_report
    from evglif.threads import choose_threads, use_threads
    from preprocessing.cache import FrameCache

    run = read_run(folder)
    path = data or Path(run.results["data"])
    if data is None and not path.exists():
        tell(f"note: {path} is not there any more; without --data the page shows no samples")
        write_report(run, out)
        return
    with FrameCache(path) as cache:
        if cache.fingerprint != run.results.get("fingerprint"):
            raise ValueError(f"{path} holds other data than {folder} was trained on; give that run's cache as --data")
        evaluation = None
        if len(cache.indices("test")):
            threads = choose_threads(run.checkpoint.model, batch_size, num_threads)
            with use_threads(threads.number):
                evaluation = evaluate_checkpoint(run.checkpoint, cache, "test", LoaderConfig(batch_size=batch_size))
        write_report(run, out, cache, evaluation)


if __name__ == "__main__":
    sys.exit(main())
