"""The stream of events, the one form in which every reader hands it on, and where it is cut.

Knows no files and no frames; imports ``kernels`` alone.
"""

from preprocessing.events.array import (
    EVENT_DTYPE,
    Events,
    Recording,
    SensorFrom,
    address_words,
    as_events,
    check_events,
    joined,
    lies_outside,
    make_events,
    make_recording,
    sensor_text,
)
from preprocessing.events.clock import MAX_DISORDER_US
from preprocessing.events.reading import AS_IS, Reading, RecordingError, RecordingWarning, SensorError

__all__ = [
    "AS_IS",
    "EVENT_DTYPE",
    "MAX_DISORDER_US",
    "Events",
    "Reading",
    "Recording",
    "RecordingError",
    "RecordingWarning",
    "SensorError",
    "SensorFrom",
    "address_words",
    "as_events",
    "check_events",
    "joined",
    "lies_outside",
    "make_events",
    "make_recording",
    "sensor_text",
]
