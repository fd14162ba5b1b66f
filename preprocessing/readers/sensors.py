"""Which sensor a recording is of: what the file says, what the caller says, else the smallest that holds all events."""

from __future__ import annotations

import numpy as np

from preprocessing.events import AS_IS, Events, Reading, RecordingError

Sensor = tuple[int, int]
"""(width, height), px."""


def agreed(stated: Sensor | None, asked: Sensor | None, source: str) -> Sensor | None:
    """The sensor that the file tells, else the one that the caller asks for, if any.

    Raises:
        RecordingError: they differ.
    """
    if stated and asked and stated != asked:
        raise RecordingError(
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
