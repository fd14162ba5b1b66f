"""A folder of weights in the layout of model hubs: ``config.json``, ``model.safetensors`` and a card, ``README.md``.

``config.json`` holds what a checkpoint holds beside tensors, and the SHA-256 of the files with tensors; it is written
last, so that a folder whose writing was stopped is told from a whole one. ``learnt_from.safetensors`` has the digests
of the samples that were learnt from, where they are known. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from evglif.checkpoint import NOT_USABLE, Checkpoint, DataSpec, Held
from evglif.models import Network, spec_to_dict
from evglif.pretrained.card import model_card
from evglif.pretrained.facts import Accuracy, Facts, model_facts
from evglif.provenance import Origin
from evglif.tensor_files import replace_files
from preprocessing.plain import brief, from_plain, json_text, parse_json
from preprocessing.terminal import as_text

FORMAT, VERSION = "evglif-pretrained", 1
CONFIG, WEIGHTS, LEARNT_FROM, CARD = "config.json", "model.safetensors", "learnt_from.safetensors", "README.md"
FILES = (CONFIG, WEIGHTS, LEARNT_FROM, CARD)
MOST_CONFIG_BYTES = 4_000_000
"""Of ``config.json``; ImageNet's thousand names and a long build configuration are a hundredth of it."""
MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True)
class Config:
    """What ``config.json`` holds; fields beside these as those of ``Checkpoint``.

    Attributes:
        format, version: of this file.
        spec: of the network, as ``spec_to_dict`` gives it.
        files: name of a file with tensors → its SHA-256.
        accuracies: as the card has them.

    Raises:
        ValueError: it is of another format, or names other files.
    """

    format: str
    version: int
    spec: dict[str, Any]
    files: dict[str, str]
    data: DataSpec | None = None
    metrics: dict[str, Any] | None = None
    origins: tuple[Origin, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()

    def __post_init__(self) -> None:
        if (self.format, self.version) != (FORMAT, VERSION):
            found = f"{brief(self.format)} version {brief(self.version)}"
            raise ValueError(f"it is of the format {found}; this evglif reads {FORMAT} version {VERSION}")
        if WEIGHTS not in self.files or set(self.files) - {WEIGHTS, LEARNT_FROM}:
            raise ValueError(f"files are {brief(sorted(self.files))}; expected {WEIGHTS} and perhaps {LEARNT_FROM}")


def save_pretrained(
    model: Network | Checkpoint,
    folder: str | os.PathLike[str],
    facts: Facts | None = None,
    name: str = "",
    licence: str = "",
) -> None:
    """Write a folder of weights that ``from_pretrained`` reads again, bit for bit.

    Its files replace those of the same names, once all of them are on the disk; others stay as they are.

    Args:
        model: a network, or a checkpoint that also knows its data, figures and samples.
        folder: made where there is none.
        facts: what the card says; None for what the checkpoint knows.
        name: by which the card has the weights loaded; empty for the folder's.
        licence: of the weights; empty for that of the data.

    Raises:
        ValueError: the folder is a file, or holds the configuration of something else.
        OSError: it cannot be written; what was there is as it was.
    """
    checkpoint = Checkpoint(model, None, {}) if isinstance(model, Network) else model
    facts = facts or model_facts(checkpoint)
    folder = Path(folder)
    _require_ours(folder)
    tensors = {WEIGHTS: to_safetensors(checkpoint.model.state_dict())}
    if checkpoint.seen is not None:
        tensors[LEARNT_FROM] = to_safetensors(checkpoint.seen.to_tensors())
    config = {
        "format": FORMAT,
        "version": VERSION,
        "spec": spec_to_dict(checkpoint.model.spec),
        "files": {name: sha256(content).hexdigest() for name, content in tensors.items()},
        "data": None if checkpoint.data is None else asdict(checkpoint.data),
        "metrics": checkpoint.metrics,
        "origins": [asdict(origin) for origin in checkpoint.origins],
        "accuracies": [asdict(each) for each in facts.accuracies],
    }
    text = model_card(facts, name or as_text(folder.name), licence)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {CARD: text.encode(), **tensors, CONFIG: (json_text(config, indent=1) + "\n").encode()}
    replace_files({folder / name: content for name, content in whole.items()})
    if LEARNT_FROM not in tensors:
        (folder / LEARNT_FROM).unlink(missing_ok=True)


def _require_ours(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give a folder")
    path = folder / CONFIG
    if path.exists():
        try:
            ours = parse_json(_content(path, MOST_CONFIG_BYTES)).get("format") == FORMAT
        except (ValueError, AttributeError):
            ours = False
        if not ours:
            raise ValueError(f"{path} is of something else than evglif's weights; choose another folder, or remove it")


def read_folder(folder: Path) -> Checkpoint:
    """Read a folder of weights, on the CPU, with the model in eval mode.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged, is not the one that was written, or holds what doesn't belong together.
    """
    config = read_config(folder)
    tensors = {name: _tensors(folder / name, digest) for name, digest in config.files.items()}
    seen = tensors.get(LEARNT_FROM)
    held = Held(config.spec, tensors[WEIGHTS], config.data, config.metrics, seen, origins=config.origins)
    try:
        return held.checkpoint()
    except NOT_USABLE as error:
        raise ValueError(f"{folder}: these weights cannot be used: {error}") from error


def read_config(folder: Path) -> Config:
    """``config.json`` of a folder of weights.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is of another format or version, or holds what is unknown or out of range.
    """
    path = folder / CONFIG
    content = _content(path, MOST_CONFIG_BYTES)
    try:
        return from_plain(Config, parse_json(content))
    except ValueError as error:
        raise ValueError(f"{path} is not what evglif writes beside weights: {error}") from error


def _tensors(path: Path, expected: str) -> dict[str, Tensor]:
    content = _content(path)
    found = sha256(content).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} has the SHA-256 {found}, {CONFIG} says {brief(expected)}: it was cut short or changed, or the "
            "folder was not written to its end; fetch or write it again"
        )
    try:
        return from_safetensors(content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _content(path: Path, most: int | None = None) -> bytes:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; a folder of weights holds {', '.join(FILES)}")
    size = path.stat().st_size
    if most is not None and size > most:
        raise ValueError(f"{path} has {size:,} bytes; expected {most:,} at most")
    return path.read_bytes()


def to_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, each with memory of its own."""
    from safetensors.torch import save

    content: bytes = save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, {"format": "pt"}
    )
    return content


def from_safetensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        ValueError: it is none, or is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if len(content) < 8 or int.from_bytes(content[:8], "little") > min(MOST_HEADER_BYTES, len(content) - 8):
        raise ValueError(f"it is no safetensors file, or is cut short: {len(content):,} bytes")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"it is no safetensors file, or is damaged ({error})") from error
