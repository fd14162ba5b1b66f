"""What came of recordings, apart from the frames: what a cache says about its samples, and about what is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from preprocessing.cache.schema import COUNTS, SENSOR_FROM


class LeftOut(NamedTuple):
    """Something that a build does without, and why."""

    source: str
    reason: str


class Doubt(NamedTuple):
    """What is doubtful about a recording that is used."""

    source: str
    text: str


class Row(NamedTuple):
    """What a cache says about one sample; see ``preprocessing.cache``."""

    label: int
    split: str
    source: str
    num_events: int
    duration_us: int


@dataclass(frozen=True)
class Outcome:
    """What came of one recording, or of several in their order.

    Attributes:
        name: the recording whose sensor this is.
        rows: its samples, in the order of their frames.
        left_out: what could not be used.
        sensor: (width, height) in px; None where nothing could be read.
        scale: what one unit of the stored frames is worth.
        sums: of training images, as in ``preprocessing.cache``; of others nothing.
        num_saturated: bins clipped at 65535.
        num_special: records that are no events of the sensor.
        num_backward: places where times were put in order.
        num_filtered: events that the filters have dropped.
        num_unused: events behind the last slice.
        num_dropped: bad events: outside the sensor, late, or damaged.
        num_resets: how often a clock was set back.
        num_forward: how often a clock jumped forward.
        sensor_from: who says the sensor: its "file", or whoever "asked" for it, or nobody: a "guess".
        warnings: what is doubtful about recordings that are used.
    """

    name: str
    rows: tuple[Row, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    sensor: tuple[int, int] | None = None
    scale: float = 1.0
    sums: tuple[tuple[int, ...], ...] = ()
    num_saturated: int = 0
    num_special: int = 0
    num_backward: int = 0
    num_filtered: int = 0
    num_unused: int = 0
    num_dropped: int = 0
    num_resets: int = 0
    num_forward: int = 0
    sensor_from: str = "file"
    warnings: tuple[Doubt, ...] = ()


def joined(outcomes: Iterable[Outcome]) -> Outcome:
    """Outcomes, one after the other, as one; the sensor is that of the first of those that know it best."""
    parts = tuple(outcomes)
    with_sensor = (part for part in parts if part.sensor)
    first = min(with_sensor, key=lambda part: SENSOR_FROM.index(part.sensor_from), default=Outcome(""))
    return Outcome(
        first.name,
        tuple(row for part in parts for row in part.rows),
        tuple(problem for part in parts for problem in part.left_out),
        first.sensor,
        first.scale,
        tuple(
            tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*(p.sums for p in parts if p.sums), strict=True)
        ),
        **{count: sum(getattr(part, count) for part in parts) for count in COUNTS},
        sensor_from=first.sensor_from,
        warnings=tuple(doubt for part in parts for doubt in part.warnings),
    )


def same_sensor(first: Outcome | None, this: Outcome) -> Outcome | None:
    """The first of two outcomes that has a sensor.

    Raises:
        ValueError: they are of different sensors.
    """
    if first is None or first.sensor is None:
        return this
    if this.sensor is not None and this.sensor != first.sensor:
        names = f"{first.name} ({_size(first)}) and {this.name} ({_size(this)})"
        raise ValueError(f"recordings of different sensors: {names}; where they are the same, state it with --sensor")
    return first


def _size(outcome: Outcome) -> str:
    guessed = ", guessed from its events" if outcome.sensor_from == "guess" else ""
    return "{}×{}".format(*outcome.sensor or (0, 0)) + guessed
