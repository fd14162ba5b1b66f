"""Live events put in order: the rule of ``preprocessing.events.array.make_recording`` for a stream without an end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from preprocessing.events import EVENT_DTYPE, MAX_DISORDER_US, Events

CLOCK_RESET_US = 1_000_000
"""An event that lies so far behind another says that the camera's clock was set back, µs."""


class Order:
    """Holds events back until none can come before them any more.

    Events up to ``max_disorder_us`` late are moved to their place, equal times keep their order. Later ones are
    dropped and counted; those more than ``CLOCK_RESET_US`` late begin a new stream. However a stream is cut into
    packets, the same events come out in the same order.

    Args:
        max_disorder_us: as above; 0 for a camera whose times never decrease, which then waits for nothing.

    Attributes:
        num_late: events that were dropped.
        num_resets: how often the clock was set back.

    Raises:
        ValueError: a disorder below 0, or beyond which the clock counts as set back.
    """

    def __init__(self, max_disorder_us: int = MAX_DISORDER_US) -> None:
        if not 0 <= max_disorder_us <= CLOCK_RESET_US:
            raise ValueError(f"events can be 0 to {CLOCK_RESET_US} µs late, got a disorder of {max_disorder_us} µs")
        self.max_disorder_us = max_disorder_us
        self.num_late = self.num_resets = 0
        self._held = np.empty(0, EVENT_DTYPE)
        self._latest: int | None = None

    @property
    def past_us(self) -> int | None:
        """The time before which nothing can come any more, µs; None before the first event."""
        return None if self._latest is None else self._latest - self.max_disorder_us

    def feed(self, events: Events) -> Iterator[Events | None]:
        """Take events ``[N]`` of any order and give those that are ready, in order; None where a new stream begins."""
        while len(events):
            times = events["t"] if self._latest is None else np.append(self._latest, events["t"])
            latest = np.maximum.accumulate(times)[len(times) - len(events) :]
            behind = latest - events["t"]
            reset = behind > CLOCK_RESET_US
            stop = int(reset.argmax()) if reset.any() else len(events)
            if stop:
                in_time = behind[:stop] <= self.max_disorder_us
                self.num_late += stop - int(in_time.sum())
                self._latest = int(latest[stop - 1])
                yield self._ready(events[:stop][in_time])
            events = events[stop:]
            if len(events):
                yield from (self.rest(), None)
                self.num_resets += 1
                self._latest = None

    def rest(self) -> Events:
        """All that is held back."""
        held, self._held = self._held, self._held[:0]
        return held

    def _ready(self, events: Events) -> Events:
        held = np.concatenate([self._held, events])
        if (np.diff(held["t"]) < 0).any():
            held = held[np.argsort(held["t"], kind="stable")]
        ready = 0 if self.past_us is None else int(np.searchsorted(held["t"], self.past_us))
        self._held = held[ready:].copy()  # not a view, which would keep what is done in memory
        return held[:ready]
