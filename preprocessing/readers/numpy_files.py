"""Events in NumPy's files: ``.npy`` and ``.npz``.

- A structured array with fields t, x, y, p, in any order and of any integer types; or an ``.npz`` with one array each,
  and perhaps the sensor as two numbers, ``width`` and ``height``.
- A plain array ``[N, 4]`` or ``[4, N]`` of numbers, columns t x y p, x y t p or x y p t: which one is told by the
  times, that do not decrease, and the polarities. Where more than one order fits, it is refused.

Times are in the unit that the name of their field ends in (``t_ns``), or that the caller says; else whole times are µs,
others seconds; rounded to the nearest µs. Polarities are 0 and 1, or −1 and 1; 1 is ON. The origin is top left. Arrays
of Python objects are never loaded.

Source: numpy.org, "numpy.lib.format".
"""

from __future__ import annotations

import io
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from preprocessing import limits
from preprocessing.events import AS_IS, Reading, Recording, RecordingError, make_recording
from preprocessing.readers.columns import FIELDS, Packed, check_room, fields_in, is_column, is_table, order_of, pack
from preprocessing.readers.faults import damaged
from preprocessing.readers.sensors import USUAL, Sensor, agreed, attributed, smallest
from preprocessing.readers.units import name_and_unit, with_doubts

SUFFIXES: tuple[str, ...] = (".npy", ".npz")
SIGNATURE = b"\x93NUMPY"

_ZIP_SIGNATURE = b"PK\x03\x04"
_BLOCK = 1 << 20  # events
_OF_DAMAGE = (ValueError, OSError, EOFError, RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
_ADVICE = "save it as np.savez(FILE, t=t, x=x, y=y, p=p), t in µs"


class _Array(NamedTuple):
    """An array that is still in its file: where its values start to be read, its type and its shape."""

    file: IO[bytes]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool


def recognises(data: bytes) -> bool:
    """Whether it is an array, or a zip archive that starts with one."""
    if data.startswith(_ZIP_SIGNATURE):
        return data[30 : 30 + int.from_bytes(data[26:28], "little")].endswith(b".npy")
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the events of a NumPy file; where nothing tells the sensor, it is the smallest of ``USUAL`` for them.

    Raises:
        RecordingError: no events, none of the layouts, a damaged file, an event outside the sensor, another sensor
            than the file states, or time running backwards.
    """
    with damaged(source, "a NumPy file", _OF_DAMAGE):
        read = _read_archive if data.startswith(_ZIP_SIGNATURE) else _read_array
        packed, unit, stated = read(data, source, how)
    taken = agreed(stated, sensor, source) or smallest(packed.events, USUAL, source, how)
    recording = make_recording(packed.events, taken, "numpy", source, 0, how, packed.num_dropped)
    recording = with_doubts(recording, packed.unit, not (unit or how.time_unit), packed.resolution_us)
    return attributed(recording, stated, sensor)


class _Read(NamedTuple):
    """The events of a file, and the unit of their times and the sensor, where it states them."""

    packed: Packed
    unit: str | None
    stated: Sensor | None = None


def _read_array(data: bytes, source: str, how: Reading) -> _Read:
    return _unpack(_open(io.BytesIO(data), len(data), source), len(data), source, how)


def _read_archive(data: bytes, source: str, how: Reading) -> _Read:
    """The events of an ``.npz``: of its four arrays, or of its only one."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        names = fields_in(members)
        if names is None and len(members) != 1:
            raise RecordingError(f"{source}: holds the arrays {', '.join(members)}; expected t, x, y and p")
        arrays = {}
        for name in names.values() if names else members:
            info = members[name]
            if problem := limits.member_problem(info):
                raise RecordingError(f"{source}: {name} {problem}")
            arrays[name] = _open(archive.open(info), info.file_size, f"{source}: {name}")
        if names is None:
            return _unpack(arrays.popitem()[1], len(data), source, how)
        unit = name_and_unit(names["t"])[1]
        columns = {field: arrays[name] for field, name in names.items()}
        packed = _pack_columns(columns, len(data), source, unit or how.time_unit, how)
        return _Read(packed, unit, _stated_sensor(archive, members, source))


def _stated_sensor(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], source: str) -> Sensor | None:
    """The sensor that an ``.npz`` states, if it does.

    Raises:
        RecordingError: one of the two is no number of pixels.
    """
    if not {"width", "height"} <= members.keys():
        return None
    sides = []
    for name in ("width", "height"):
        info = members[name]
        if problem := limits.member_problem(info):
            raise RecordingError(f"{source}: {name} {problem}")
        array = _open(archive.open(info), info.file_size, f"{source}: {name}")
        number = array.dtype.kind in "iu" and prod(array.shape) == 1
        side = int(np.frombuffer(array.file.read(array.dtype.itemsize), array.dtype)[0]) if number else 0
        if not 0 < side <= 1 << 16:
            raise RecordingError(f"{source}: {name} is {array.dtype} {array.shape}; expected a number of pixels")
        sides.append(side)
    return sides[0], sides[1]


def _open(file: IO[bytes], num_bytes: int, source: str) -> _Array:
    """Read the header of an array, and make sure that the bytes which it announces are there."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise RecordingError(f"{source}: version {version} of the npy format; expected 1.0 or 2.0: {_ADVICE}")
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise RecordingError(f"{source}: holds Python objects, which are not loaded: {_ADVICE}")
    announced, there = dtype.itemsize, num_bytes - file.tell()
    for length in shape:
        announced *= length
    if announced != there or min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise RecordingError(f"{source}: announces {shape} of {dtype}, {announced} bytes, but holds {there}")
    return _Array(file, dtype, shape, fortran)


def _unpack(array: _Array, num_bytes: int, source: str, how: Reading) -> _Read:
    """The events of one array, structured or plain."""
    fields = fields_in(array.dtype.names or ())
    if fields and len(array.shape) == 1:
        blocks = ({field: block[name] for field, name in fields.items()} for block in _blocks(array))
        unit = name_and_unit(fields["t"])[1]
        check_room(array.shape[0], num_bytes, source)
        return _Read(pack(blocks, array.shape[0], source, unit or how.time_unit, how), unit)
    if array.dtype.kind in "iuf" and is_table(array.shape):
        check_room(prod(array.shape) // 4, num_bytes, source)
        values = np.frombuffer(array.file.read(), array.dtype).reshape(array.shape, order="F" if array.fortran else "C")
        values = values if array.shape[1] == 4 else values.T
        order = order_of(values, source, how)
        starts = range(0, len(values), _BLOCK)
        blocks = (dict(zip(order, values[start : start + _BLOCK].T, strict=True)) for start in starts)
        return _Read(pack(blocks, len(values), source, how.time_unit, how), None)
    raise RecordingError(
        f"{source}: an array {array.shape} of {array.dtype}; expected fields t, x, y, p, or [N, 4] numbers: {_ADVICE}"
    )


def _pack_columns(columns: dict[str, _Array], num_bytes: int, source: str, unit: str | None, how: Reading) -> Packed:
    shapes = {field: array.shape for field, array in columns.items()}
    if len({prod(shape) for shape in shapes.values()}) > 1 or not all(map(is_column, shapes.values())):
        raise RecordingError(f"{source}: expected four columns of one length, got {shapes}")
    check_room(prod(shapes["t"]), num_bytes, source)
    columns = {field: array._replace(shape=(prod(array.shape),)) for field, array in columns.items()}
    blocks = zip(*(_blocks(columns[field]) for field in FIELDS), strict=True)
    named = (dict(zip(FIELDS, block, strict=True)) for block in blocks)
    return pack(named, prod(shapes["t"]), source, unit, how)


def _blocks(array: _Array) -> Iterator[NDArray[Any]]:
    """The values of a one-dimensional array, a block at a time."""
    for start in range(0, array.shape[0], _BLOCK):
        length = min(_BLOCK, array.shape[0] - start)
        yield np.frombuffer(array.file.read(length * array.dtype.itemsize), array.dtype, length)
