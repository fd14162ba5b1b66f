"""Live events cut into slices, each done as soon as its end has passed: by duration, or by number of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.running.consistency import LONGEST_US
from preprocessing.events import Events
from preprocessing.events.slicing import Slicing, check_in_time
from preprocessing.frames.rasterize import Rasterizer


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice of a stream.

    Attributes:
        step: which of the T steps of its window, 0 … T − 1.
        start_us: where it begins, µs of the stream's clock; cut by events, the time of its first one.
        stop_us: where it ends; cut by events, the time of its last one.
        num_events: in it.
        frame: ``[2, H, W]``.
    """

    step: int
    start_us: int
    stop_us: int
    num_events: int
    frame: NDArray[np.float32]


def live_slicing(asked: str | None, config: Mapping[str, Any]) -> Slicing:
    """How to cut a live stream: as asked, or as the model was trained, where its slices have one length.

    Args:
        asked: as ``Slicing.parse`` reads it; None for the model's own.
        config: build configuration of the training data.

    Raises:
        ValueError: an unknown slicing, one of slices beyond eleven days, or one that shares a whole recording out
            among its slices.
    """
    slicing = Slicing.parse(asked or str(config["slicing"]))
    if slicing.each > LONGEST_US:
        raise ValueError(f"a slice is at most {LONGEST_US:,} µs or events, got {asked or config['slicing']!r}")
    if slicing.each:
        return slicing
    in_time = config.get("value") == "voxel"
    example, why = _example(config)
    raise ValueError(
        f"slices by {slicing.kind} share out a whole recording, which a live stream never is; say how long a slice "
        f"is, about as in the training data{why}: --slicing {example}{'' if in_time else ', or --slicing events:2000'}"
    )


def slicing_option(config: Mapping[str, Any]) -> str:
    """What to pass with ``--stream`` for a model of such training data; empty where its slices have one length."""
    return "" if Slicing.parse(str(config["slicing"])).each else f" --slicing {_example(config)[0]}"


def _example(config: Mapping[str, Any]) -> tuple[str, str]:
    """About the length of a slice in training data that share out recordings, and how it comes about."""
    window_us, num = config.get("window_us"), max(config["steps"] - (config.get("value") == "voxel"), 1)
    return (f"{window_us // num}us", f" ({window_us} µs in {num})") if window_us else ("50ms", "")


class Slicer:
    """Adds events to the bins of the slice at hand as they come; its memory does not grow with their number.

    The first slice begins with the first event. T slices are a window. A window in which nothing happens is left
    out, so that a long silence costs nothing; the others have all their slices, empty ones too. Of a voxel grid, what
    the events of a slice add to the next one is kept for it, as long as it is of the same window and the stream lasts.

    Args:
        rasterizer: makes the frames; its slicing and steps do not matter.
        slicing: "duration" or "events".
        steps: T.

    Raises:
        ValueError: a number of events for a voxel grid, whose slices are cut by time.
    """

    def __init__(self, rasterizer: Rasterizer, slicing: Slicing, steps: int) -> None:
        if rasterizer.value == "voxel":
            check_in_time(str(slicing))
        width, height = rasterizer.size
        self._rasterizer = rasterizer
        self._weights = np.zeros((2, 2, height, width), np.uint64)  # of the slice at hand and the next one
        self._slicing = slicing
        self._steps = steps
        self._start: int | None = None
        self._index = 0
        self._begin_slice()

    def _begin_slice(self) -> None:
        """Go on to the next slice; the first one of a window is given nothing by the one before."""
        self._weights[0] = self._weights[1] if self._index % self._steps else 0
        self._weights[1] = 0
        self._num_events = self._first = self._last = 0

    def feed(self, events: Events, past_us: int) -> Iterator[Slice]:
        """Take the next events ``[N]``, in order; give the slices that are done, those that end by ``past_us`` too."""
        if self._slicing.kind == "events":
            yield from self._by_events(events)
        else:
            yield from self._by_duration(events, past_us)

    def finish(self, last_us: int) -> Iterator[Slice]:
        """The slices that end by ``last_us``, the stream's last microsecond, and the one begun, if it has events."""
        if self._slicing.kind == "duration":
            yield from self._pass(last_us + 1)
        if self._num_events:
            yield self._done()

    def _by_events(self, events: Events) -> Iterator[Slice]:
        while len(events):
            missing = self._slicing.each - self._num_events
            self._add(events[:missing])
            events = events[missing:]
            if self._num_events == self._slicing.each:
                yield self._done()

    def _by_duration(self, events: Events, past_us: int) -> Iterator[Slice]:
        while len(events):
            yield from self._pass(int(events["t"][0]))
            self._skip_silence(int(events["t"][0]))
            yield from self._pass(int(events["t"][0]), silent=True)
            inside = int(np.searchsorted(events["t"], self._edge(self._index + 1)))
            self._add(events[:inside])
            events = events[inside:]
        yield from self._pass(past_us)

    def _edge(self, index: int) -> int:
        assert self._start is not None
        return self._start + index * self._slicing.each

    def _pass(self, time_us: int, silent: bool = False) -> Iterator[Slice]:
        """The slices that end by a time, as long as their window has begun; ``silent``: or begins before that time."""
        while self._start is not None and self._edge(self._index + 1) <= time_us:
            if self._index % self._steps == 0 and not self._num_events and not silent:
                return
            yield self._done()

    def _skip_silence(self, time_us: int) -> None:
        """Go to the window of the next event."""
        if self._start is None:
            self._start = time_us
        if self._index % self._steps == 0 and not self._num_events:
            window_us = self._steps * self._slicing.each
            self._index += (time_us - self._edge(self._index)) // window_us * self._steps

    def _add(self, events: Events) -> None:
        if len(events):
            start = self._edge(self._index) if self._slicing.kind == "duration" else 0
            self._weights += self._rasterizer.weights_of_slice(events, start, self._slicing.each)
            self._first = self._first if self._num_events else int(events["t"][0])
            self._last = int(events["t"][-1])
            self._num_events += len(events)

    def _done(self) -> Slice:
        by_events = self._slicing.kind == "events"
        edges = (self._first, self._last) if by_events else (self._edge(self._index), self._edge(self._index + 1))
        frame = self._rasterizer.frames_of(self._weights[:1])[0]
        done = Slice(self._index % self._steps, *edges, self._num_events, frame)
        self._index += 1
        self._begin_slice()
        return done
