"""A live stream of events to a running answer: one time step of the network for each slice, as soon as it is over.

    stream = Classifier("model.onnx").stream("duration:50ms")
    for packet in packets:
        for update in stream.feed(packet):
            print(update.step, update.probabilities)

After T slices the answer is final: g^t has no more rows, so the membranes go back to rest and a new window begins
with the next slice. Windows can also slide: with a hop of K slices a new one begins after every K, each with membranes
of its own, so that a final answer comes every K slices, at T/K times the work. Packets may be of any size and a little
out of order; the answers do not depend on how the stream was cut into them. Memory stays the same however long it runs:
the bins of one slice, the membranes, and the events of the last ``max_disorder_us``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploy.running.reorder import Order
from deploy.running.session import Floats, ModelSession, softmax
from deploy.running.slices import Slice, Slicer, live_slicing
from preprocessing.events import MAX_DISORDER_US, Events, as_events
from preprocessing.events.filters import parse_filter
from preprocessing.frames.settings import FrameSettings


@dataclass(frozen=True, eq=False)
class Update:
    """What the network says after a slice.

    Attributes:
        window: how many windows of T slices were begun before; of those that slide, the oldest at hand answers.
        step: of its window, 1 … T.
        final: whether it is the last one, or the stream ended with it.
        begin_us: where the stream began, or began anew, on the clock of the next two.
        start_us, stop_us: of the slice, µs of the clock behind the filters, as in ``deploy.running.slices.Slice``.
        num_events: in the slice.
        logits: the mean over the steps of the window so far, ``[K]``.
        probabilities: of the classes, ``[K]``; with smoothing, the mean with the windows before.
    """

    window: int
    step: int
    final: bool
    begin_us: int
    start_us: int
    stop_us: int
    num_events: int
    logits: Floats
    probabilities: Floats


@dataclass(eq=False)
class _Window:
    """A window at hand: what its slices so far have left."""

    number: int
    membranes: Any
    step: int = 0
    total: Floats = field(default_factory=lambda: np.zeros((), np.float32))

    def take(self, session: ModelSession, frame: Floats) -> None:
        """One time step."""
        logits, self.membranes = session.step(frame[None], self.step, self.membranes)
        self.total = self.total + logits[0]
        self.step += 1


class EventStream:
    """Feed it packets of events; it answers after every slice that is over.

    Args:
        session: a step model.
        slicing: as for ``deploy.running.slices.live_slicing``.
        max_disorder_us: how late an event may come, µs.
        hop: slices after which a new window begins, 1 … T; None for T: one window after the other. A silence that is
            as long as a window ends those at hand.
        smoothing: windows whose probabilities are averaged, the one at hand and those that ended before it.

    Attributes:
        steps: T.

    Raises:
        ValueError: for an unrolled model, for slices or filters that need the whole recording, and for a hop or a
            smoothing out of range.
    """

    def __init__(
        self,
        session: ModelSession,
        slicing: str | None = None,
        max_disorder_us: int = MAX_DISORDER_US,
        hop: int | None = None,
        smoothing: int = 1,
    ) -> None:
        if not session.is_step_model:
            raise ValueError(
                f"{session.path} runs all time steps at once; a stream needs a model of one step: export the "
                "checkpoint with --format onnx-step, or events"
            )
        self._session = session
        self._sensor, config = session.frame_config()
        self._settings = FrameSettings.from_config(config)
        self._slicing = live_slicing(slicing, {**config, "slicing": self._settings.slicing})
        self.steps = session.metadata.steps
        self._hop = self.steps if hop is None else hop
        if not 1 <= self._hop <= self.steps:
            raise ValueError(f"a new window begins after 1 to {self.steps} slices, as many as one has; got {hop}")
        if smoothing < 1:
            raise ValueError(f"answers are averaged over one window or more, got {smoothing}")
        self._smoothing = smoothing
        self._order = Order(max_disorder_us)
        self._num_windows = 0
        self._begin()

    @property
    def num_late(self) -> int:
        """Events that came too late and were dropped."""
        return self._order.num_late

    @property
    def num_resets(self) -> int:
        """How often the camera's clock was set back, which begins the stream anew."""
        return self._order.num_resets

    @property
    def num_forward(self) -> int:
        """How often it jumped forward, see ``preprocessing.events.clock``."""
        return self._order.num_forward

    @property
    def num_doubted(self) -> int:
        """Events that were dropped while the camera's clock told no time, see ``deploy.running.reorder``."""
        return self._order.num_doubted

    def feed(self, events: Events) -> list[Update]:
        """Take a packet, events ``[N]`` of ``EVENT_DTYPE``; give the answers after the slices that it ends.

        These are at most 2·T for each event, as where each lies in a window of its own; a clock that is set again and
        again, as none is, is not followed.

        Raises:
            ValueError: an event outside the sensor.
        """
        updates: list[Update] = []
        for ready in self._order.feed(as_events(events)):
            updates += self._restart() if ready is None else self._take(ready)
        return updates

    def begin_anew(self) -> list[Update]:
        """End the stream and begin another, as where the clock was set back; the answers as of ``finish``."""
        return [*self._take(self._order.rest()), *self._restart()]

    def finish(self) -> list[Update]:
        """End the stream: the answers after what was held back, and after the slice that was begun."""
        return [*self._take(self._order.rest()), *self._end()]

    def _begin(self) -> None:
        """The beginning of a stream: filters without a memory, no slice, membranes at rest."""
        self._filters = [parse_filter(text).live(self._sensor) for text in self._settings.filters]
        self._slicer = Slicer(self._settings.rasterizer(self._sensor), self._slicing, self.steps)
        self._last_us = 0
        self._windows: deque[_Window] = deque()
        self._ended: deque[Floats] = deque(maxlen=self._smoothing - 1)
        self._num_slices = 0
        self._begin_us: int | None = None
        self._stop_us = 0

    def _take(self, events: Events) -> Iterator[Update]:
        past_us = self._order.past_us
        if past_us is None:
            return
        last_us = int(events["t"][-1]) if len(events) else None
        for passing in self._filters:
            events, past_us = passing(events), passing.behind(past_us)
            last_us = None if last_us is None else passing.behind(last_us)
        self._last_us = self._last_us if last_us is None else last_us
        for piece in self._slicer.feed(events, past_us):
            yield self._answer(piece)

    def _restart(self) -> list[Update]:
        updates = self._end()
        self._begin()
        return updates

    def _end(self) -> list[Update]:
        pieces = list(self._slicer.finish(self._last_us))
        return [self._answer(piece, ends=piece is pieces[-1]) for piece in pieces]

    def _answer(self, piece: Slice, ends: bool = False) -> Update:
        """One time step of every window at hand; the oldest answers."""
        self._begin_us = piece.start_us if self._begin_us is None else self._begin_us
        if piece.step == 0 and self._slicing.kind == "duration" and piece.start_us != self._stop_us:
            self._windows.clear()  # slices were left out between: a silence
            self._num_slices = 0
        self._stop_us = piece.stop_us
        if self._num_slices % self._hop == 0:
            self._windows.append(_Window(self._num_windows, self._session.at_rest()))
            self._num_windows += 1
        self._num_slices += 1
        for window in self._windows:
            window.take(self._session, piece.frame)
        oldest = self._windows[0]
        return self._told(piece, oldest, ends or oldest.step == self.steps)

    def _told(self, piece: Slice, window: _Window, final: bool) -> Update:
        mean: Floats = window.total / np.float32(window.step)
        probabilities = softmax(mean)
        smooth: Floats = np.mean([*self._ended, probabilities], axis=0, dtype=np.float32)
        if final:
            self._windows.popleft()
            self._ended.append(probabilities)
        assert self._begin_us is not None
        return Update(
            window=window.number,
            step=window.step,
            final=final,
            begin_us=self._begin_us,
            start_us=piece.start_us,
            stop_us=piece.stop_us,
            num_events=piece.num_events,
            logits=mean,
            probabilities=smooth,
        )
