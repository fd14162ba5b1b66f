"""Wherever weights lie: a checkpoint, a folder, the zoo of the package, a hub."""

from __future__ import annotations

import os
from pathlib import Path

from evglif.checkpoint import Checkpoint, read_checkpoint
from evglif.models import Network
from evglif.pretrained.folder import CONFIG, read_folder
from evglif.pretrained.hub import REPOSITORY, fetch_folder
from evglif.zoo import PREFIX as ZOO
from evglif.zoo import zoo_folder, zoo_names

HUB = "hub:"
"""Before a repository where a command asks for a checkpoint, so that no mistyped path asks the network."""


def from_pretrained(source: str | os.PathLike[str], revision: str | None = None) -> Network:
    """A trained network, in eval mode; ``model.spec`` says what it is.

    Args:
        source: what ``read_weights`` takes, or a repository ``owner/name`` of a hub where there is no such folder.
        revision: of the repository: a branch, tag or commit.

    Raises:
        FileNotFoundError, ValueError, ImportError, OSError: as ``read_weights``.
    """
    name = os.fspath(source)
    if revision is not None or (REPOSITORY.fullmatch(name) and not Path(name).exists()):
        return read_folder(fetch_folder(name.removeprefix(HUB), revision)).model
    return read_weights(source).model


def read_weights(source: str | os.PathLike[str]) -> Checkpoint:
    """Load weights with all that is known of them, on the CPU, model in eval mode.

    Args:
        source: a checkpoint, a folder with ``config.json``, ``zoo:NAME`` or ``hub:OWNER/NAME[@REVISION]``.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: what is there is damaged, or an unknown name of the zoo.
        ImportError: a hub's library is not installed.
        OSError: a hub does not give it.
    """
    name = os.fspath(source)
    if name.startswith(ZOO):
        return read_folder(zoo_folder(name))
    if name.startswith(HUB):
        repository, _, revision = name.removeprefix(HUB).partition("@")
        return read_folder(fetch_folder(repository, revision or None))
    path = Path(source)
    if path.is_dir():
        if not (path / CONFIG).exists() and (path / "last.pt").exists():
            raise ValueError(f"{path} is the folder of a run; name its weights, {path / 'best.pt'} or last.pt")
        return read_folder(path)
    if not path.exists() and name in zoo_names():
        raise FileNotFoundError(f"no checkpoint at {path}; the weights of the zoo are called {ZOO}{name}")
    return read_checkpoint(path)


def file_beside(source: str | os.PathLike[str], suffix: str) -> Path:
    """Where a file made of weights goes by default.

    Beside a checkpoint, under its name; into a folder of weights, as ``model``; and for names of the zoo or a hub into
    the current folder.
    """
    name = os.fspath(source)
    if name.startswith((ZOO, HUB)):
        return Path(name.rpartition("/")[2].removeprefix(ZOO).partition("@")[0] + suffix)
    path = Path(source)
    return path / f"model{suffix}" if path.is_dir() else path.with_suffix(suffix)
