"""Events as four columns: HDF5 in DSEC's layout, NumPy's npz, and CSV; how they are read is in the readers of these.

All three state the sensor, as ``width`` and ``height`` or, in CSV, in a comment.

Sources: dsec.ifi.uzh.ch, "Data format"; numpy.org, "numpy.savez".
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from preprocessing.events import EVENT_DTYPE, Events
from preprocessing.writers import bounds
from preprocessing.writers.bounds import Sensor

MOST = (1 << 16, 1 << 16)
"""The largest sensor that x and y of 16 bits reach."""

_BLOCK = 1 << 18  # events
_PIECE = 1 << 22  # bytes
_INT64 = 1 << 62


class Hdf5:
    """HDF5 as DSEC has it: ``events/t`` of 32 bits behind ``t_offset``, ``events/x``, ``y``, ``p``, ``ms_to_idx``.

    ``ms_to_idx[ms]`` is the first event that is no earlier than ``ms`` after ``t_offset``. DSEC packs with Blosc;
    here nothing is packed, so that every HDF5 reads it.
    """

    NAME, TITLE, SUFFIXES = "hdf5", "HDF5 in DSEC's layout", (".h5", ".hdf5")

    @staticmethod
    def check(events: Events, sensor: Sensor) -> None:
        """See ``Writer.check``: any 64 bits of time, 32 from the first to the last event."""
        bounds.check(events, sensor, Hdf5.TITLE, MOST, (-_INT64, _INT64))
        span_us = int(events["t"][-1]) - int(events["t"][0])
        if span_us >= 1 << 32:
            raise bounds.BoundsError(
                f"{Hdf5.TITLE} holds recordings that last less than 2^32 µs, this one lasts {span_us}: choose npz"
            )

    @staticmethod
    def encode(events: Events, sensor: Sensor) -> Iterator[memoryview]:
        """See ``Writer.encode``; HDF5 is put together in memory, as it cannot end a file in order on a full disk."""
        import h5py

        offset = int(events["t"][0])
        t = (events["t"] - offset).astype(np.uint32)
        whole = io.BytesIO()
        with h5py.File(whole, "w") as file:
            file["t_offset"] = np.int64(offset)
            file["ms_to_idx"] = np.searchsorted(t, 1000 * np.arange(int(t[-1]) // 1000 + 1)).astype(np.uint64)
            file.attrs["width"], file.attrs["height"] = sensor
            columns = {"t": t, "x": events["x"], "y": events["y"], "p": events["p"].astype(np.uint8)}
            for name, column in columns.items():
                file[f"events/{name}"] = column
            file["events/t"].attrs["unit"] = "us"
        yield from _pieces(whole)


class Npz:
    """NumPy's npz: the arrays t (µs, int64), x, y (uint16) and p (bool), and the numbers width and height."""

    NAME, TITLE, SUFFIXES = "npz", "npz", (".npz",)

    @staticmethod
    def check(events: Events, sensor: Sensor) -> None:
        """See ``Writer.check``: whatever an event can be."""
        bounds.check(events, sensor, Npz.TITLE, MOST, (-_INT64, _INT64))

    @staticmethod
    def encode(events: Events, sensor: Sensor) -> Iterator[memoryview]:
        """See ``Writer.encode``."""
        whole = io.BytesIO()
        columns: dict[str, NDArray[np.generic]] = {field: events[field] for field in EVENT_DTYPE.names or ()}
        width, height = map(np.uint16, sensor)
        np.savez(whole, allow_pickle=False, **columns, width=width, height=height)
        yield from _pieces(whole)


class Csv:
    """CSV: a comment with the sensor, a line with the names of the columns, and a line ``t,x,y,p`` for each event."""

    NAME, TITLE, SUFFIXES = "csv", "CSV", (".csv",)

    @staticmethod
    def check(events: Events, sensor: Sensor) -> None:
        """See ``Writer.check``: times of up to 18 digits."""
        bounds.check(events, sensor, Csv.TITLE, MOST, (1 - 10**18, 10**18))

    @staticmethod
    def encode(events: Events, sensor: Sensor) -> Iterator[bytes]:
        """See ``Writer.encode``."""
        from preprocessing.kernels.encode import LONGEST_LINE, csv

        yield f"# sensor: {sensor[0]}x{sensor[1]}\nt_us,x,y,p\n".encode()
        text = np.empty(LONGEST_LINE * min(len(events), _BLOCK), np.uint8)
        for start in range(0, len(events), _BLOCK):
            part = events[start : start + _BLOCK]
            yield text[: csv(part["t"], part["x"], part["y"], part["p"], text)].tobytes()


def _pieces(whole: io.BytesIO) -> Iterator[memoryview]:
    buffer = whole.getbuffer()
    for start in range(0, len(buffer), _PIECE):
        yield buffer[start : start + _PIECE]
