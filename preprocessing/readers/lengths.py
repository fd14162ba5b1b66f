"""Whether what stands behind a header is whole records."""

from __future__ import annotations

from preprocessing.events import RecordingError


def check_length(num_bytes: int, start: int, record_bytes: int, source: str) -> None:
    """Make sure that there are records from byte ``start`` of a file of ``num_bytes``, and whole ones.

    Raises:
        RecordingError: there are none, or the last one is cut.
    """
    if num_bytes == start:
        raise RecordingError(f"{source}: ends after its header ({start} bytes), it holds no events")
    cut = (num_bytes - start) % record_bytes
    if cut:
        raise RecordingError(
            f"{source}: cut in the middle of a record: {cut} of {record_bytes} bytes at byte "
            f"{num_bytes - cut}, after {(num_bytes - start) // record_bytes} records"
        )
