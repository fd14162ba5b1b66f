"""What a format can hold, and the one way to refuse what it cannot: by name, before anything is written."""

from __future__ import annotations

from preprocessing.events import Events, check_events

Sensor = tuple[int, int]
"""(width, height), px."""


class BoundsError(ValueError):
    """Events that a format cannot hold; the message names the format, what it holds, and the next step."""


def check(events: Events, sensor: Sensor, title: str, most: Sensor, times_us: tuple[int, int]) -> None:
    """Make sure that a format holds the events of a recording as they are.

    Args:
        events: ``[N]``, in order.
        sensor: of the recording.
        title: of the format.
        most: the largest sensor that its addresses reach.
        times_us: the earliest time that it holds, and the first that it no longer does, µs.

    Raises:
        BoundsError: it does not.
        ValueError: no events, one outside the sensor, or times that decrease.
    """
    check_events(events, sensor, f"cannot write {title}")
    if sensor[0] > most[0] or sensor[1] > most[1]:
        raise BoundsError(
            f"{title} holds sensors of up to {most[0]}×{most[1]} px, this one has {sensor[0]}×{sensor[1]}: choose "
            "another format (--format)"
        )
    check_times(events, title, *times_us)


def check_times(events: Events, title: str, earliest: int, end: int) -> None:
    """The same of the times alone."""
    first, last = int(events["t"][0]), int(events["t"][-1])
    if first < earliest or last >= end:
        fits = last - first < end - earliest
        step = "take the first event as time 0 (--from-zero), or choose another format" if fits else "choose another"
        raise BoundsError(
            f"{title} holds times from {_power(earliest)} µs to below {_power(end)} µs, these run from {first} to "
            f"{last}: {step}"
        )


def _power(number: int) -> str:
    """A power of two as one, any other number as it is."""
    return f"2^{number.bit_length() - 1}" if number > 1 and number & (number - 1) == 0 else str(number)
