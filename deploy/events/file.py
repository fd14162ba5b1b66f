"""The file of an event-driven model: one file in the layout of safetensors, without anything that could be run.

    uint64                  length of the header, little-endian
    header                  JSON: tensor → dtype, shape, data_offsets; "__metadata__": texts
    data                    the tensors, one after another, little-endian

The texts are the model's description, as in an ONNX file, the plan (``plan``), and the version of this layout.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.events.plan import Plan
from deploy.events.shapes import Shape, shapes
from deploy.running.metadata import KEY, ModelMetadata

SUFFIX = ".events"
VERSION = 1
PLAN, VERSION_KEY, TEXTS = "events", "events_version", "__metadata__"
DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "I8": np.dtype("i1")}
_MOST_HEADER = 100_000_000
_EXPORT = "export one with python -m deploy.export --format events"


@dataclass(frozen=True, eq=False)
class Model:
    """A network as its file holds it.

    Attributes:
        plan: what it does.
        tensors: that the plan names.
        shapes: of all values.
        metadata: its description.
    """

    plan: Plan
    tensors: Mapping[str, NDArray[Any]]
    shapes: Mapping[str, Shape]
    metadata: ModelMetadata


def model_of(plan: Plan, tensors: Mapping[str, NDArray[Any]], metadata: ModelMetadata) -> Model:
    """A model whose parts fit.

    Raises:
        ValueError: saying what does not; see ``plan.shapes``.
    """
    width, height = metadata.size
    found = shapes(plan, tensors, (len(metadata.channels), height, width), metadata.steps)
    if found["logits"].channels != len(metadata.classes):
        raise ValueError(
            f"the plan has {found['logits'].channels} logits, its description {len(metadata.classes)} classes"
        )
    return Model(plan, tensors, found, metadata)


def is_events_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of these, by its first bytes or, where they are damaged, by its suffix."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(9)
    except OSError:
        start = b""
    return start[8:] == b"{" or Path(path).suffix == SUFFIX


def write(path: Path, model: Model) -> None:
    """Write a model."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {
        TEXTS: {
            VERSION_KEY: str(VERSION),
            PLAN: json.dumps(model.plan.to_dict()),
            KEY: model.metadata.to_json(),
        }
    }
    end = 0
    for name, tensor in model.tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in model.tensors.values():
            file.write(np.ascontiguousarray(tensor).data)


def read(path: str | os.PathLike[str]) -> Model:
    """Read a model and check all of it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is cut short, damaged or of another version; the file and what is wrong are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no model at {path}; {_EXPORT}")
    header, data = _parts(path)
    texts = header.pop(TEXTS, None)
    if not isinstance(texts, dict) or not all(isinstance(texts.get(key), str) for key in (VERSION_KEY, PLAN, KEY)):
        raise ValueError(f"{path} holds no plan and description by evglif; {_EXPORT}")
    if texts[VERSION_KEY] != str(VERSION):
        raise ValueError(
            f"{path} has version {texts[VERSION_KEY]} of this format, this package reads {VERSION}; "
            "export the checkpoint anew"
        )
    metadata = ModelMetadata.from_json(texts[KEY], str(path))
    try:
        return model_of(Plan.from_dict(json.loads(texts[PLAN])), _tensors(header, data), metadata)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}; {_EXPORT}") from error


def _parts(path: Path) -> tuple[dict[str, Any], memoryview]:
    """Header and data, of a file that is whole."""
    content = memoryview(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(_MOST_HEADER, len(content) - 8):
        raise ValueError(f"{path} is cut short or no model: its header of {length} bytes does not end; {_EXPORT}")
    try:
        header = json.loads(bytes(content[8 : 8 + length]))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged or no model: its header is no JSON ({error}); {_EXPORT}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path} is damaged or no model: its header is no table; {_EXPORT}")
    return header, content[8 + length :]


def _tensors(header: Mapping[str, Any], data: memoryview) -> dict[str, NDArray[Any]]:
    """All tensors, which lie one after another and fill the data."""
    tensors, end = {}, 0
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name!r} is not described")
        dtype, shape, offsets = DTYPES.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
        whole = all(isinstance(each, list) and all(type(size) is int for size in each) for each in (shape, offsets))
        if dtype is None or not whole or min(shape, default=1) < 0:
            raise ValueError(f"tensor {name!r} is of an unknown kind: {str(entry)[:80]}")
        start, end = end, end + prod(shape) * dtype.itemsize
        if offsets != [start, end]:
            raise ValueError(
                f"tensor {name!r} lies at {offsets}, not at {[start, end]} as its shape and the others say"
            )
        if end > len(data):
            raise ValueError(f"the file is cut short: tensor {name!r} ends at byte {end} of {len(data)}")
        tensors[name] = np.frombuffer(data[start:end], dtype).reshape(shape)
    if end != len(data):
        raise ValueError(f"the file holds {len(data) - end} bytes more than its tensors")
    return tensors
