"""Which sensor a recording is of: what the file says, what the caller says, else the smallest that holds all events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from preprocessing.events import AS_IS, Events, Reading, Recording, RecordingError, SensorError

Sensor = tuple[int, int]
"""(width, height), px."""

USUAL: tuple[Sensor, ...] = ((34, 34), (128, 128), (240, 180), (304, 240), (346, 260), (640, 480), (1280, 720))
"""Sensors of N-MNIST, the DVS128, DAVIS240, ATIS, DAVIS346, VGA and HD cameras, the smallest first."""


def agreed(stated: Sensor | None, asked: Sensor | None, source: str) -> Sensor | None:
    """The sensor that the file tells, else the one that the caller asks for, if any.

    Raises:
        SensorError: they differ.
    """
    if stated and asked and stated != asked:
        raise SensorError(
            f"{source}: is of a {stated[0]}×{stated[1]} sensor, but {asked[0]}×{asked[1]} was asked for; leave it out"
        )
    return stated or asked


def smallest(events: Events, sensors: tuple[Sensor, ...], source: str, how: Reading = AS_IS) -> Sensor:
    """The first of ``sensors`` that holds all events; if none does, all but those that ``how`` lets be bad.

    Raises:
        RecordingError: none does.
    """
    right, bottom = int(events["x"].max(initial=0)), int(events["y"].max(initial=0))
    for sensor in sensors:
        if right < sensor[0] and bottom < sensor[1]:
            return sensor
    for sensor in sensors:
        outside = np.count_nonzero((events["x"] >= sensor[0]) | (events["y"] >= sensor[1]))
        if outside <= how.most_bad(len(events)):
            return sensor
    raise RecordingError(
        f"{source}: the file doesn't give the size of the sensor, and events reach ({right}, {bottom}), beyond "
        f"{sensors[-1][0]}×{sensors[-1][1]}; state it (--sensor WIDTHxHEIGHT)"
    )


def attributed(recording: Recording, stated: Sensor | None, asked: Sensor | None) -> Recording:
    """A recording that tells who said its sensor: the file, the caller, or else nobody."""
    if stated or asked:
        return replace(recording, sensor_from="file" if stated else "asked")
    return replace(recording, sensor_from="guess", warnings=(*recording.warnings, *_counted_from_one(recording.events)))


def _counted_from_one(events: Events) -> tuple[str, ...]:
    """Whether places end just beyond a usual sensor and none is 0, as where a program counts pixels from 1."""
    x, y = events["x"], events["y"]
    width, height = int(x.max()), int(y.max())
    if (width, height) not in USUAL or x.min() == 0 or y.min() == 0:
        return ()
    return (
        f"x and y run from 1 to the {width} and {height} px of a usual sensor: they may be counted from 1; write them "
        "from 0",
    )
