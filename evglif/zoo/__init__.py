"""Weights that come with the package: small networks, each a folder with its card; ``SHA256SUMS`` lists their files."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib import resources
from pathlib import Path

PREFIX = "zoo:"
"""Before a name wherever a checkpoint is asked for."""

SUMS = "SHA256SUMS"


def zoo_names() -> list[str]:
    """The names of all weights."""
    return sorted({file.partition("/")[0] for file in _sums()})


def zoo_folder(name: str) -> Path:
    """The folder of a name, whose files are those that were published.

    Raises:
        ValueError: for an unknown name; the known ones are listed. Or for a file that is missing or another one.
    """
    name = name.removeprefix(PREFIX)
    if name not in zoo_names():
        raise ValueError(f"the zoo has no weights {name!r}; it has {', '.join(zoo_names())}")
    for file, published in _sums().items():
        if file.startswith(f"{name}/"):
            path = _root() / file
            found = sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"
            if found != published:
                raise ValueError(f"{path} has the SHA-256 {found}, published is {published}; install evglif again")
    return _root() / name


def _root() -> Path:
    return Path(str(resources.files("evglif") / "zoo"))


def _sums() -> dict[str, str]:
    """File of the zoo → its SHA-256, as ``sha256sum --check`` reads them."""
    lines = (_root() / SUMS).read_text(encoding="ascii").splitlines()
    pairs = [re.fullmatch(r"([0-9a-f]{64})  (\S+)", line) for line in lines]
    return {pair[2]: pair[1] for pair in pairs if pair}
