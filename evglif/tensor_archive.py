"""The archives that ``torch.save`` writes, read as nothing but plain values and tensors, and in no more memory.

``torch.load(weights_only=True)`` runs no code of a file, but believes what it announces: an archive of 3 MB may unpack
to gigabytes, a tensor of a few bytes may ask for any size, and a call of ``bytearray`` for any memory. Here a pickle
may only put together plain values and name tensors; a tensor has no more values than the file holds for it.

Source: torch, ``torch/serialization.py``, "Serialization format"; Python, "pickle: Restricting Globals".
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from preprocessing.plain import check_extent, fitting

_STEPS = {
    *("PROTO", "STOP", "MARK", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "BINPERSID", "GLOBAL", "REDUCE"),
    *("BUILD", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
}
"""The instructions of pickle that ``torch.save`` writes for plain values and tensors."""

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_archive(path: Path) -> Any:
    """What ``torch.save`` wrote to a file, on the CPU.

    Raises:
        ValueError: it holds anything but plain values and tensors, or more than its bytes.
        Exception: whatever damaged archives and pickles end in.
    """
    with zipfile.ZipFile(path) as archive:
        records = _records(archive, path.stat().st_size)
        names = [name for name in records if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("it has no data.pkl")
        reader = _Reader(archive, records, names[0].removesuffix("data.pkl"))
        return reader.read()


def _records(archive: zipfile.ZipFile, num_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The files of the archive, which lie in it as they are."""
    found = archive.infolist()
    records = {info.filename: info for info in found}
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in found):
        raise ValueError("it is packed or encrypted, as torch.save doesn't write it")
    total = sum(info.file_size for info in found)
    if total > num_bytes or len(records) < len(found):
        raise ValueError(f"it announces {total:,} bytes of {num_bytes:,}, or a name twice")
    return records


class _Kind(NamedTuple):
    """Stands for the class of a storage in a pickle."""

    dtype: torch.dtype


class _Storage:
    """Values of a file that tensors are views of."""

    __slots__ = ("values",)

    def __init__(self, values: Tensor) -> None:
        self.values = values


class _Held:
    """A tensor, hidden from the instructions of a pickle: torch's own may be told to become another."""

    __slots__ = ("tensor",)

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: object) -> None:
        shape, steps = (fitting("a tensor's shape", each, tuple[int, ...]) for each in (size, stride))
        values: Tensor = storage.values
        if prod(shape) > max(1, values.numel()):
            raise ValueError(f"a tensor of shape {shape} has {values.numel()} values in the file")
        self.tensor = values.as_strided(shape, steps, fitting("a tensor's place", offset, int))


_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _Held,
    **{("torch", name): _Kind(dtype) for name, dtype in _STORAGES.items()},
}


class _Reader:
    def __init__(self, archive: zipfile.ZipFile, records: dict[str, zipfile.ZipInfo], folder: str) -> None:
        self.archive = archive
        self.records = records
        self.folder = folder
        self.storages: dict[str, _Storage] = {}

    def read(self) -> Any:
        if self.archive.read(f"{self.folder}byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        pickled = self.archive.read(f"{self.folder}data.pkl")
        _check_steps(pickled)
        content = _Unpickler(io.BytesIO(pickled), self._storage).load()
        check_extent(content, 8 * len(pickled) + 1000)
        return _unhidden(content)

    def _storage(self, kind: _Kind, key: str, num_values: int) -> _Storage:
        if key not in self.storages:
            data = self.archive.read(self.records[f"{self.folder}data/{key}"])
            if len(data) != num_values * kind.dtype.itemsize:
                raise ValueError(f"a tensor of {num_values} values has {len(data)} bytes")
            values = torch.frombuffer(bytearray(data), dtype=kind.dtype) if data else torch.empty(0, dtype=kind.dtype)
            self.storages[key] = _Storage(values)
        return self.storages[key]


def _check_steps(pickled: bytes) -> None:
    """Make sure of every instruction, and that none remembers a value under a number that pickle makes room up to."""
    for step, argument, place in pickletools.genops(pickled):
        far = "PUT" in step.name and isinstance(argument, int) and argument > len(pickled)
        if step.name not in _STEPS or far:
            raise ValueError(f"it has the instruction {step.name} at byte {place}, as torch.save doesn't write it")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, storage: Any) -> None:
        super().__init__(file)
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, num_values = pid
        if what != "storage" or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError("it asks for something else than values of a tensor")
        found: _Storage = self.storage(kind, fitting("a key", key, str), fitting("a length", num_values, int))
        return found


def _unhidden(value: Any) -> Any:
    if isinstance(value, _Held):
        return value.tensor
    if isinstance(value, dict):
        return {key: _unhidden(each) for key, each in value.items()}
    return type(value)(map(_unhidden, value)) if type(value) in (list, tuple) else value
