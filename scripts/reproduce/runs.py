"""From a row of a table to a run: its recipe, its data and its folder."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evglif.augment import AugmentConfig
from evglif.models import spec_to_dict
from evglif.recipe import Recipe, model_spec, read_recipe, recipe_path
from evglif.studies.space import with_settings
from evglif.training.optim import OptimConfig
from evglif.training.run import flat
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets.simulated.digits import Digits
from preprocessing.datasets.stills.pictures import Pictures
from preprocessing.terminal import tell
from scripts.reproduce.tables import Row, Table

FILES = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "imagenet-t4": "imagenet",
    "imagenet-t6": "imagenet",
    "cifar10dvs": "cifar10dvs",
    "mnist": "mnist",
    "fashion-mnist": "fashion-mnist",
    "plif-cifar10": "cifar10",
    "nmnist": "nmnist",
    "plif-cifar10dvs": "cifar10dvs-plif",
    "dvs128gesture": "dvs128gesture",
    "digits": "digits",
    "nmnist-small": "nmnist-small",
    "folder": "folder",
}
"""Recipe → name of its data set's file in the folder of the data sets."""

_RESNET = {"hidden": 0, "stem_kernel": 3, "stem_stride": 1}
_PLIF = {"width": 16, "hidden": 64, "stages": (1, 1)}
NARROW: dict[str, dict[str, Any]] = {
    "7b-widenet": {"width": 8, "init": "cifar"},
    "resnet18": {**_RESNET, "stem_width": 8, "repeats": (1, 1, 1), "widths": (8, 16, 32), "strides": (1, 2, 2)},
    "resnet19": {**_RESNET, "stem_width": 16, "repeats": (1, 1), "widths": (16, 32), "strides": (1, 2)},
    "resnet34": {**_RESNET, "stem_width": 8, "repeats": (2, 2, 1), "widths": (8, 16, 32), "strides": (1, 2, 2)},
    "ms-resnet18": {**_RESNET, "stem_width": 8, "repeats": (1, 1, 1), "widths": (8, 16, 32), "strides": (1, 2, 2)},
    "cifarnet": {"width": 8, "hidden": (64, 32)},
    **dict.fromkeys(("plif-mnist", "plif-cifar10", "plif-cifar10dvs", "plif-dvs128gesture"), _PLIF),
}
"""Network → options that make it learn small data on a CPU in seconds."""


SPECIAL = ("tau", "learn_tau", "pooling", "sharing", "gates")
"""Options that tables compare."""


class Job(NamedTuple):
    """A run to be done."""

    recipe: Recipe
    data: Path
    out: Path


def full_job(row: Row, table: Table, seed: int, options: argparse.Namespace) -> Job | None:
    """The row as in the paper, but for ``options.settings``; None, and how to build its data, where it is missing."""
    data = options.data / f"{FILES[row.recipe]}.h5"
    if not data.exists():
        command = next(
            line.strip("# \n")
            for line in recipe_path(row.recipe).read_text().splitlines()
            if "preprocessing.build" in line
        )
        tell(f"left out {row.label}: no {data}; build it with {command} --out {data}")
        return None
    recipe = with_settings(full_recipe(row, table), options.settings)
    return _job(replace(recipe, track_test=True, seed=seed), data, options)


def full_recipe(row: Row, table: Table) -> Recipe:
    """The paper's, of a row."""
    recipe = read_recipe(row.recipe)
    loader = recipe.loader
    if row.validation is not None:
        loader = replace(loader, validation=row.validation)
    elif table.chosen_on_test:
        loader = replace(loader, validation=0.0)
    return replace(recipe, model={**recipe.model, **row.model}, loader=loader)


def changes(row: Row, table: Table, options: argparse.Namespace) -> str:
    """What ``--set`` changes in a row, with the paper's values in brackets; "nothing" where it has these."""
    paper = flat(full_recipe(row, table).to_dict())
    told = {name: value for name, value in options.settings.items() if paper.get(name) != value}
    return ", ".join(f"{name} {value} ({paper.get(name, 'default')})" for name, value in told.items()) or "nothing"


def quick_job(row: Row, seed: int, options: argparse.Namespace) -> Job:
    """The row with a narrow network on small data."""
    recipe = read_recipe(row.recipe)
    model = {**recipe.model, **row.model}
    still = model.get("encoder", "frames") != "frames"
    for of_the_data in ("mean", "std", "encoder"):
        model.pop(of_the_data, None)
    model |= NARROW[model["name"]]
    quick = replace(
        recipe,
        model=model,
        optim=OptimConfig("adam", lr=0.005, gate_lr=recipe.optim.gate_lr),
        loader=replace(recipe.loader, batch_size=32, validation=0.15),
        augment=AugmentConfig(),
        epochs=options.epochs,
        track_test=True,
        precision="fp32",
        seed=seed,
    )
    return _quick_job(quick, quick_data("images" if still else "events", options), options)


def _quick_job(recipe: Recipe, data: Path, options: argparse.Namespace) -> Job:
    """Its folder is named by what is trained: PLIF's networks, made narrow, are one network under several names."""
    with FrameCache(data) as cache:
        spec = spec_to_dict(model_spec(recipe, cache))
        if spec["name"].startswith("plif-"):
            spec["name"] = "plif-net"
        whole = json.dumps([{**recipe.to_dict(), "model": spec}, cache.fingerprint], sort_keys=True)
    return Job(recipe, data, _folder(recipe, spec["name"], whole, options))


def quick_label(job: Job) -> str:
    """What a run of --quick really is: its data, network, time steps and neuron, and what is special of it."""
    model = job.recipe.model
    with FrameCache(job.data) as cache:
        data = f"{job.data.stem} {cache.size[0]}×{cache.size[1]}"
        steps = model_spec(job.recipe, cache).steps
    special = [f"{name} {model[name]}" for name in SPECIAL if name in model]
    return ", ".join([data, f"narrow {model['name']}", f"T={steps}", model["neuron"], *special])


def _job(recipe: Recipe, data: Path, options: argparse.Namespace) -> Job:
    """Its folder is named by all that it is, so that tables share runs."""
    with FrameCache(data) as cache:
        whole = json.dumps([recipe.to_dict(), cache.fingerprint], sort_keys=True)
    return Job(recipe, data, _folder(recipe, recipe.model["name"], whole, options))


def _folder(recipe: Recipe, network: str, whole: str, options: argparse.Namespace) -> Path:
    digest = sha256(whole.encode()).hexdigest()[:10]
    return Path(options.out / "runs" / f"{network}-{recipe.model['neuron']}-{digest}")


def quick_data(kind: str, options: argparse.Namespace) -> Path:
    """The data set that was given for ``"images"`` or ``"events"``, or digits, which need no download.

    Raises:
        ValueError: for a data set of the other kind.
    """
    given: Path | None = getattr(options, kind)
    path = given or options.out / f"digits-{kind}.h5"
    if given is None and not path.exists():
        if kind == "images":
            build(Pictures(_digits(options.out / "digits.npz")), path)
        else:
            build(Digits(options.out / "digits"), path, steps=4, size=(16, 16), resize="area")
    with FrameCache(path) as cache:
        if cache.kind != kind:
            raise ValueError(f"--{kind} {path} holds {cache.kind}; see python -m preprocessing.build --help")
    return path


def _digits(path: Path) -> Path:
    """The 8×8 digits as labelled images, every fifth to test on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    split = np.where(np.arange(len(pixels)) % 5 == 0, "test", "train")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, images=pixels, labels=digits.target, split=split)
    return path
