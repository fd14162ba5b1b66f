"""Events in MATLAB's MAT-files up to version 7 (``save`` without ``-v7.3``, which is HDF5: see ``hdf5``).

- Four variables t, x, y, p, under these names or others of ``columns.ALIASES``, columns or rows (ASL-DVS); or a
  structure with such fields (``TD`` of N-MNIST's and N-Caltech101's authors, ``td`` of Prophesee).
- One variable ``[N, 4]`` or ``[4, N]``; see ``columns.ORDERS``.

Times are in the unit that their name ends in (``t_ns``), or that the caller says; else whole times are µs, others
seconds. The origin is top left; MATLAB's users often count places from 1.

``mat5`` takes the file apart.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import AS_IS, Reading, Recording, RecordingError, make_recording
from preprocessing.readers import mat5
from preprocessing.readers.columns import Packed, check_room, fields_in, flat, is_column, is_table, order_of, pack
from preprocessing.readers.faults import damaged
from preprocessing.readers.sensors import USUAL, attributed, smallest
from preprocessing.readers.units import name_and_unit, with_doubts

SUFFIXES: tuple[str, ...] = (".mat",)
SIGNATURE = b"MATLAB 5.0 MAT-file"

_OF_DAMAGE = (ValueError, struct.error, zlib.error)
_ADVICE = "save t, x, y, p, with t in µs: save('FILE.mat', 't', 'x', 'y', 'p')"


def recognises(data: bytes) -> bool:
    """Whether it is a MAT-file of version 5, as versions 6 and 7 of MATLAB write it, too."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the events of a MAT-file; without ``sensor`` it is the smallest of ``USUAL`` that holds all.

    Raises:
        RecordingError: no events, none of the layouts, a damaged file, an event outside the
            sensor, or time running backwards.
    """
    if not recognises(data):
        raise RecordingError(f"{source}: starts with {data[:16]!r}, not with {SIGNATURE.decode()!r}; {_ADVICE}")
    with damaged(source, "a MAT-file", _OF_DAMAGE):
        packed, unit = _events(mat5.variables(data), len(data), source, how)
    taken = sensor or smallest(packed.events, USUAL, source, how)
    recording = make_recording(packed.events, taken, "matlab", source, 0, how, packed.num_dropped)
    recording = with_doubts(recording, packed.unit, not (unit or how.time_unit), packed.resolution_us)
    return attributed(recording, None, sensor)


def _events(
    variables: Mapping[str, mat5.Value], num_bytes: int, source: str, how: Reading
) -> tuple[Packed, str | None]:
    """The events of a file of so many bytes, and the unit that their names state."""
    arrays = {name: value for name, value in variables.items() if isinstance(value, np.ndarray)}
    fields = fields_in(arrays)
    if fields:
        unit = name_and_unit(fields["t"])[1]
        columns = {field: flat(arrays[name]) for field, name in fields.items()}
        check_room(len(columns["t"]), num_bytes, source)
        return _of_columns(columns, source, unit or how.time_unit, how), unit
    structures = [value for value in variables.values() if isinstance(value, dict) and fields_in(value)]
    if len(structures) == 1:
        return _events(structures[0], num_bytes, source, how)
    tables = [array for array in arrays.values() if is_table(array.shape)]
    if len(tables) != 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or ", ".join(variables)
        raise RecordingError(f"{source}: holds {found or 'nothing'}; expected t, x, y and p, or one table: {_ADVICE}")
    table = tables[0] if tables[0].shape[1] == 4 else tables[0].T
    check_room(len(table), num_bytes, source)
    columns = dict(zip(order_of(table, source, how), table.T, strict=True))
    return pack([columns], len(table), source, how.time_unit, how), None


def _of_columns(columns: Mapping[str, NDArray[Any]], source: str, unit: str | None, how: Reading) -> Packed:
    shapes = {field: column.shape for field, column in columns.items()}
    if len(set(shapes.values())) > 1 or not is_column(shapes["t"]):
        raise RecordingError(f"{source}: expected four columns of one length, got {shapes}")
    return pack([columns], len(columns["t"]), source, unit, how)
