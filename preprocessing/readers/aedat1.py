"""AEDAT-1.0, the oldest format of jAER: AEDAT-2.0 of a DVS128 with addresses of 16 bits; the header may be missing.

A record is an unsigned 16-bit address and a 32-bit time, big-endian; see ``aedat2`` for what they hold.

Sources: jAER's ``AEFileInputStream``; docs.inivation.com, "AEDAT 1.0".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preprocessing.events import AS_IS, EVENT_DTYPE, Events, Reading, Recording, RecordingError, make_recording
from preprocessing.readers import aedat, aedat2
from preprocessing.readers.lengths import check_length
from preprocessing.readers.sensors import agreed, attributed

SIGNATURES = (aedat.SIGNATURE + b"1.", b"# This is a raw AE data file")
"""The first line of the files that have one; jAER once wrote only the second."""

SUFFIXES: tuple[str, ...] = (".aedat",)

_HEADERLESS = "it has no header: only its suffix and a length that six divides say that it is AEDAT-1.0 of a DVS128"
_RECORD = np.dtype([("address", ">u2"), ("time", ">u4")])


def recognises(data: bytes) -> bool:
    """Whether the file says that it is AEDAT-1.0; those without a header are told by their suffix."""
    return data.startswith(SIGNATURES)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the bytes of an AEDAT-1.0 file; external events are dropped and counted.

    Raises:
        RecordingError: no events, a cut record, or time running backwards (other than the wrap of the clock at
            2³² µs).
    """
    try:
        return _decode(data, source, sensor, how)
    except RecordingError as error:
        if recognises(data):
            raise
        raise RecordingError(
            f"{error} (read as AEDAT-1.0, as it doesn't start with '{aedat.SIGNATURE.decode()}')"
        ) from None


def _decode(data: bytes, source: str, sensor: tuple[int, int] | None, how: Reading) -> Recording:
    camera = aedat.DVS128
    agreed(camera.sensor, sensor, source)
    start = aedat.end_of_header(data)
    check_length(len(data), start, _RECORD.itemsize, source)
    events, num_special = _decode_records(data, start)
    if len(events) == 0:
        raise RecordingError(f"{source}: holds no events, only {num_special} external ones")
    headerless = () if recognises(data) else (_HEADERLESS,)
    recording = make_recording(events, camera.sensor, "aedat1", source, num_special, how)
    odd = (*recording.warnings, *headerless, *aedat2.doubt_external(len(events), num_special))
    recording = replace(recording, warnings=odd)
    return attributed(recording, None, sensor) if headerless else recording


def _decode_records(data: bytes, start: int) -> tuple[Events, int]:
    """The events from byte ``start`` on, and the number of external events between them."""
    from preprocessing.kernels.decode import dvs128

    records = np.frombuffer(data, _RECORD, offset=start)
    is_event = records["address"] <= 0x7FFF
    wide = np.empty((int(is_event.sum()), 2), ">u4")  # the records of AEDAT-2.0
    wide[:, 0], wide[:, 1] = records["address"][is_event], records["time"][is_event]
    events = np.empty(len(wide), EVENT_DTYPE)
    dvs128(wide.view("<u4").ravel(), events["t"], events["x"], events["y"], events["p"])
    return events, len(records) - len(events)
