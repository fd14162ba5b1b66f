"""Events in MATLAB's MAT-files up to version 7 (``save`` without ``-v7.3``, which is HDF5: see ``hdf5``).

- Four variables t, x, y, p, under these names or others of ``columns.ALIASES``, columns or rows (ASL-DVS); or a
  structure with such fields (``TD`` of N-MNIST's and N-Caltech101's authors, ``td`` of Prophesee).
- One variable ``[N, 4]`` or ``[4, N]``; see ``columns.ORDERS``.

Whole times are µs, others seconds. The origin is top left; MATLAB's users often count places from 1.

The library scipy takes the file apart; objects and functions in it are never run.

Source: mathworks.com, "MAT-File Format", version 5.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import Events, Recording, RecordingError, make_recording
from preprocessing.readers.columns import fields_in, flat, is_column, is_table, order_of, pack
from preprocessing.readers.faults import damaged
from preprocessing.readers.sensors import USUAL, attributed, smallest

SUFFIXES: tuple[str, ...] = (".mat",)
SIGNATURE = b"MATLAB 5.0 MAT-file"

_OF_DAMAGE = (ValueError, OSError, EOFError, KeyError, zlib.error, NotImplementedError, OverflowError)
_MAX_INFLATION = 1032  # of deflate
_ADVICE = "save t, x, y, p, with t in µs: save('FILE.mat', 't', 'x', 'y', 'p')"


def recognises(data: bytes) -> bool:
    """Whether it is a MAT-file of version 5, as versions 6 and 7 of MATLAB write it, too."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None) -> Recording:
    """Decode the events of a MAT-file; without ``sensor`` it is the smallest of ``USUAL`` that holds all.

    Raises:
        RecordingError: scipy is not installed, no events, none of the layouts, a damaged file, an event outside the
            sensor, or time running backwards.
    """
    if not recognises(data):
        raise RecordingError(f"{source}: starts with {data[:16]!r}, not with {SIGNATURE.decode()!r}; {_ADVICE}")
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise RecordingError(f"{source}: MAT-files are read by the library scipy: pip install scipy") from error
    with damaged(source, "a MAT-file", _OF_DAMAGE):
        for name, shape, kind in whosmat(io.BytesIO(data)):
            if np.prod(shape, dtype=float) > len(data) * _MAX_INFLATION:
                raise RecordingError(f"{source}: {name} announces {shape} of {kind}, more than can be in the file")
        contents = loadmat(io.BytesIO(data), appendmat=False)
        events = _events({name: value for name, value in contents.items() if not name.startswith("__")}, source)
    return attributed(make_recording(events, sensor or smallest(events, USUAL, source), "matlab", source), None, sensor)


def _events(variables: dict[str, NDArray[Any]], source: str) -> Events:
    fields = fields_in(variables)
    if fields:
        columns = {field: flat(variables[name]) for field, name in fields.items()}
        shapes = {field: column.shape for field, column in columns.items()}
        if len(set(shapes.values())) > 1 or not is_column(shapes["t"]):
            raise RecordingError(f"{source}: expected four columns of one length, got {shapes}")
        return pack([columns], len(columns["t"]), source)
    structures = [value for value in variables.values() if value.dtype.names and value.size == 1]
    if len(structures) == 1 and fields_in(structures[0].dtype.names or ()):
        structure = structures[0].ravel()[0]
        return _events({name: structure[name] for name in structures[0].dtype.names or ()}, source)
    tables = [value for value in variables.values() if is_table(value.shape) and value.dtype.kind in "iuf"]
    if len(tables) != 1:
        found = ", ".join(f"{name} {value.shape}" for name, value in variables.items())
        raise RecordingError(f"{source}: holds {found or 'nothing'}; expected t, x, y and p, or one table: {_ADVICE}")
    table = tables[0] if tables[0].shape[1] == 4 else tables[0].T
    return pack([dict(zip(order_of(table, source), table.T, strict=True))], len(table), source)
