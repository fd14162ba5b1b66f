"""Live events of a camera at this machine, of iniVation or Prophesee, through the library neuromorphic-drivers.

    with open_camera("", (346, 260)) as device:
        for events in camera_packets(device, received):
            …

The library decodes; it gives times in µs and the origin top left, as we have them.

Source: github.com/neuromorphicsystems/neuromorphic-rs, ``python/``: ``open``, ``Device``, and its packets (0.18).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from time import monotonic
from typing import Any, Protocol, Self

from deploy.running.sources import LostError, Received
from preprocessing.events import Events, make_events

PREFIX = "camera:"
"""How a source begins that is a camera; its serial number may follow."""

_POLL_S = 0.1  # so that Ctrl-C is heeded


class Device(Protocol):
    """What of the library's devices is used here."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> object: ...

    def __next__(self) -> tuple[Any, Any]:
        """A status, and a packet: ``polarity_events``, ``[N]`` with t, x, y and on, or None; None in want of any."""

    def name(self) -> Any:
        """Its kind; the text is ``.value``."""

    def properties(self) -> Any:
        """``width`` and ``height`` of the sensor, px."""


def open_camera(serial: str, sensor: tuple[int, int]) -> Device:
    """Open the camera of that serial number, or with an empty one the only or first one that is there.

    Raises:
        ImportError: the library is not installed.
        OSError: there is none, or it is in use; the message has the library's reason and what is there.
        ValueError: its sensor is not the model's.
    """
    try:
        library = import_module("neuromorphic_drivers")
    except ModuleNotFoundError:
        raise ImportError("a camera needs the library neuromorphic-drivers: pip install 'evglif[camera]'") from None
    try:
        device: Device = library.open(serial=serial or None, iterator_timeout=_POLL_S)
    except RuntimeError as error:
        wanted = f"the camera {serial}" if serial else "a camera"
        raise OSError(f"cannot open {wanted} ({error}); {_connected(library)}") from error
    size = device.properties()
    if (size.width, size.height) != sensor:
        with device:
            raise ValueError(
                f"{device.name().value} has a sensor of {size.width}×{size.height}, the model is for "
                f"{sensor[0]}×{sensor[1]}; train it on recordings of this camera"
            )
    return device


def _connected(library: Any) -> str:
    """Which cameras the library sees, in words."""
    try:
        found = library.list_devices()
    except RuntimeError as error:
        return f"cameras cannot be listed ({error}): may this user access USB devices?"
    names = [f"{each.name.value} {each.serial or f'({each.error})'}" for each in found]
    return f"connected: {', '.join(names)}" if names else "none is connected"


def camera_packets(device: Device, received: Received, idle_s: float | None = None) -> Iterator[Events]:
    """Events of an open camera as they come, until none come for ``idle_s`` seconds.

    Args:
        device: which the caller closes.
        received: is told what came; an overflow, where the computer was too slow, is a packet lost.
        idle_s: seconds; None to wait for ever.

    Raises:
        LostError: it was unplugged, or fails.
    """
    last = monotonic()
    while True:
        try:
            _, packet = next(device)
        except RuntimeError as error:
            raise LostError(f"the camera was lost ({error}): is it still plugged in?") from error
        except StopIteration:
            received.ended = "the camera ended"
            return
        found = None if packet is None else packet.polarity_events
        if found is None or not len(found):
            if idle_s is not None and monotonic() - last >= idle_s:
                received.ended = f"no event came for {idle_s:g} s"
                return
            continue
        last = monotonic()
        overflows = packet.polarity_events_overflow_indices
        received.num_lost += 0 if overflows is None else len(overflows)
        received.num_events += len(found)
        yield make_events(found["t"], found["x"], found["y"], found["on"])
