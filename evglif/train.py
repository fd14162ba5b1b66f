"""Train a network on a cache: ``python -m evglif.train --recipe NAME --data FILE.h5``."""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from evglif.checkpoint import read_checkpoint
from evglif.data import FrameDataset, cut_validation, data_spec, frame_loader
from evglif.evaluate import evaluate_checkpoint
from evglif.models import ModelSpec, model_from_spec, model_name
from evglif.recipe import Recipe, model_spec, recipe_names, recipe_path
from preprocessing.cache import FrameCache

RESULTS = "results.json"
RUN_FILES = ("best.pt", "last.pt", "metrics.csv", "hparams.yaml", RESULTS, "curves.png", "confusion.png")
"""What a run writes to its folder, and all that ``overwrite`` removes from it."""


def train(
    recipe: Recipe,
    data: str | Path,
    out: str | Path,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Train a network, then evaluate it on the test split, which plays no part in any choice.

    Writes to ``out``: ``last.pt``; ``best.pt``, the best epoch by validation (``SaveCheckpoints``); ``metrics.csv``
    by epoch; ``results.json``; pictures of the curves and of the confusion matrix.

    Args:
        recipe: what to do.
        data: cache written by ``python -m preprocessing.build``.
        out: folder of the run.
        overwrite: replace the run that ``out`` holds.
        progress: show a progress bar, and print the results at the end.

    Returns:
        What stands in ``results.json``; ``["best"]`` and ``["last"]`` hold the figures of those weights.

    Raises:
        ValueError: for a cache that has no training samples or does not fit the recipe.
        FileExistsError: where ``out`` holds a run and ``overwrite`` is not set.
        FloatingPointError: where the loss becomes infinite or NaN.
    """
    out = Path(out)
    with FrameCache(data) as cache:
        train_set, validation_set = split_training(cache, recipe)
        spec = model_spec(recipe, cache)
        prepare_folder(out, overwrite)
        started = time.perf_counter()
        fit(recipe, spec, cache, (train_set, validation_set), out, progress)
        results: dict[str, Any] = {
            "data": str(data),
            "fingerprint": cache.fingerprint,
            "recipe": recipe.to_dict(),
            "model": model_name(spec),
            "num_train": len(train_set),
            "num_validation": len(validation_set),
            "training_seconds": time.perf_counter() - started,
            "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
        }
        results.update(test_checkpoints(out, cache, recipe))
    (out / RESULTS).write_text(json.dumps(results, indent=1))
    plot_run(out, results, cache.classes)
    if progress:
        report(out, results)
    return results


def split_training(cache: FrameCache, recipe: Recipe) -> tuple[FrameDataset, FrameDataset]:
    """Training and validation samples: the file's own splits, or a part cut off the training split.

    Raises:
        ValueError: where there is nothing to train on.
    """
    training, validation = cache.indices("train"), cache.indices("validation")
    if not len(validation):
        labels = cache.labels.astype("int64")
        training, validation = cut_validation(labels, training, recipe.loader.validation, recipe.seed)
    if not len(training):
        raise ValueError(f"{cache.path} holds no training samples")
    return FrameDataset(cache, training), FrameDataset(cache, validation)


def prepare_folder(out: Path, overwrite: bool) -> None:
    """Make the folder of a run; the run that it holds is removed only with ``overwrite``, other files never."""
    there = [out / name for name in RUN_FILES if (out / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{out} already holds a run; choose another --out or pass --overwrite")
    for path in there:
        path.unlink()
    out.mkdir(parents=True, exist_ok=True)


def fit(
    recipe: Recipe,
    spec: ModelSpec,
    cache: FrameCache,
    sets: tuple[FrameDataset, FrameDataset],
    out: Path,
    progress: bool,
) -> None:
    """Lightning's training loop; checkpoints and metrics go to ``out``."""
    import lightning
    from lightning.pytorch.loggers import CSVLogger

    from evglif.callbacks import EpochLines, SaveCheckpoints
    from evglif.task import ClassificationTask

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    lightning.seed_everything(recipe.seed, workers=True, verbose=False)
    in_terminal = sys.stdout.isatty()
    task = ClassificationTask(model_from_spec(spec), cache.scale, recipe.optim, recipe.augment, recipe.epochs)
    callbacks: list[lightning.Callback] = [SaveCheckpoints(out, data_spec(cache))]
    if progress and not in_terminal:
        callbacks.append(EpochLines())
    with warnings.catch_warnings():
        # Integer reads from the cache are quick enough without the loader processes that Lightning asks for.
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        # Few samples, or the wish to train on all of them, leave nothing to validate on.
        warnings.filterwarnings("ignore", ".*no `val_dataloader`.*")
        # Other files in the folder of a run are the user's own affair.
        warnings.filterwarnings("ignore", ".*Experiment logs directory.*")
        # Named by Lightning's own call into torch, not by ours.
        warnings.filterwarnings("ignore", ".*LeafSpec.*", category=FutureWarning)
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            precision=_precision(recipe.precision),
            logger=CSVLogger(out, name="", version=""),
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress and in_terminal,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
        train_set, validation_set = sets
        validation_loader = frame_loader(validation_set, recipe.loader) if len(validation_set) else None
        try:
            trainer.fit(task, frame_loader(train_set, recipe.loader, shuffle=True), validation_loader)
        except SystemExit as ended:  # Lightning's answer to Ctrl-C, after which it lets no further one through
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from ended


def _precision(name: str) -> Any:
    if name == "auto":
        name = "fp16" if torch.cuda.is_available() else "fp32"
    return {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[name]


def test_checkpoints(out: Path, cache: FrameCache, recipe: Recipe) -> dict[str, Any]:
    """Figures of ``best.pt`` and ``last.pt`` on the test split; none where the file has no test samples."""
    results: dict[str, Any] = {}
    for name in ("best", "last"):
        if (out / f"{name}.pt").exists():
            checkpoint = read_checkpoint(out / f"{name}.pt")
            results[name] = dict(checkpoint.metrics)
            if len(cache.indices("test")):
                results[name]["test"] = evaluate_checkpoint(checkpoint, cache, "test", recipe.loader).to_dict()
    return results


def plot_run(out: Path, results: dict[str, Any], classes: tuple[str, ...]) -> None:
    """Write ``curves.png`` and, where there was a test split, ``confusion.png``."""
    from evglif.plots import plot_confusion, plot_curves

    plot_curves(out / "metrics.csv", out / "curves.png")
    chosen = results.get("best") or results["last"]
    if "test" in chosen:
        plot_confusion(chosen["test"]["confusion"], classes, out / "confusion.png")


def report(out: Path, results: dict[str, Any]) -> None:
    """Print what came out and the next command."""
    seconds = results["training_seconds"]
    print(f"{results['model']}: {results['num_train']} training samples, {seconds:.0f} s of training")
    for name, how in (("best", "best validation epoch"), ("last", "last epoch")):
        if name in results and "test" in results[name]:
            test = results[name]["test"]
            print(f"  test accuracy, {how} ({results[name]['epoch']}): {test['accuracy']:.2%} of {test['num_samples']}")
    best = out / ("best.pt" if "best" in results else "last.pt")
    print(f"  written to {out}\nnext: python -m deploy.export {best} --format onnx")


def parse_arguments(arguments: list[str] | None = None) -> tuple[Recipe, dict[str, Any]]:
    """The command line: recipe and the other arguments of ``train``."""
    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    class RecipeFile(ActionConfigFile):
        """A config file that may also be named like a recipe of the package."""

        def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
            super().__call__(parser, namespace, str(recipe_path(values)), option_string)  # type: ignore[no-untyped-call]

    parser = ArgumentParser(
        prog="python -m evglif.train",
        description="Train a network on a cache and evaluate it on the test split. Values of the recipe can be "
        "overridden one by one. Example: python -m evglif.train --recipe digits --data data/digits.h5 "
        "--out runs/digits --optim.lr 0.05 --model.neuron plif",
    )
    parser.add_argument("--recipe", action=RecipeFile, help=f"one of {', '.join(recipe_names())}, or a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="cache written by python -m preprocessing.build")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run, e.g. runs/digits")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that --out holds")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no printed results")
    parser.add_class_arguments(Recipe)
    chosen = parser.instantiate(parser.parse_args(arguments))
    recipe = Recipe(**{field.name: chosen[field.name] for field in fields(Recipe)})
    return recipe, {
        **{name: chosen[name] for name in ("data", "out", "overwrite")},
        "progress": not chosen["quiet"],
    }


def main() -> int:
    """The command line; errors a user can mend end in one line."""
    try:
        recipe, rest = parse_arguments()
        train(recipe, **rest)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; last.pt and best.pt hold the epochs up to here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
