"""The stream of events, the one form in which every reader hands it on, and where it is cut.

Knows no files and no frames; imports ``kernels`` alone.
"""

from preprocessing.events.array import (
    EVENT_DTYPE,
    MAX_DISORDER_US,
    Events,
    Recording,
    RecordingError,
    SensorError,
    SensorFrom,
    address_words,
    as_events,
    check_events,
    lies_outside,
    make_events,
    make_recording,
    sensor_text,
)

__all__ = [
    "EVENT_DTYPE",
    "MAX_DISORDER_US",
    "Events",
    "Recording",
    "RecordingError",
    "SensorError",
    "SensorFrom",
    "address_words",
    "as_events",
    "check_events",
    "lies_outside",
    "make_events",
    "make_recording",
    "sensor_text",
]
