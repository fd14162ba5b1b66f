"""Ctrl-C between batches, not inside of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def between_batches() -> Iterator[Callable[[], None]]:
    """Hold back Ctrl-C until the function that this gives is called, which then raises ``KeyboardInterrupt``.

    An exception that is raised inside of a batch may have to pass through compiled code that cannot let it through,
    and ends the program there. A second Ctrl-C is not held back. Outside of the main thread, where signals do not
    arrive, and where Ctrl-C has been given another meaning, all is left as it is.
    """
    former = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or former is not signal.default_int_handler:
        yield lambda: None
        return
    asked = threading.Event()

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            signal.default_int_handler(number, frame)
        asked.set()

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, ask)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, former)
