"""Where the words of commands go out: nothing that changes how a terminal shows the rest passes, whoever wrote it.

What a file or a server is called, or says, can hold anything: codes that move the cursor, set the title or colour what
follows, marks that turn the order of letters around. An ``Outlet`` shows them by their codes. Line breaks, of which our
texts have some of their own, are left to ``terminal.shown`` and ``terminal.paragraph``.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from preprocessing.terminal import ENCODING_ERRORS, IN_NO_BAR, NEVER, by_codes


class OutputError(BaseException):
    """Standard output takes no more; no ``Exception``, so that nothing on the way takes it for an error of a file."""

    def __init__(self, reason: OSError | ValueError) -> None:
        super().__init__(getattr(reason, "strerror", None) or str(reason))
        self.is_pipe = isinstance(reason, BrokenPipeError)


class Outlet:
    """A stream of text that shows by their codes the signs that would change how a terminal shows the rest.

    Args:
        stream: where the text goes.
        needed: raise ``OutputError`` when the stream takes no more, which is else ignored.
        never: signs that are not let through.
    """

    def __init__(self, stream: TextIO, needed: bool, never: re.Pattern[str] = NEVER) -> None:
        self.stream = stream
        self._needed = needed
        self._never = never

    def write(self, text: str) -> int:
        """Write a text; how long it is."""
        with self._told():
            self.stream.write(by_codes(self._never, text))
        return len(text)

    def flush(self) -> None:
        """Hand over what is kept back."""
        with self._told():
            self.stream.flush()

    def with_bars(self) -> Outlet:
        """The same for bars."""
        return Outlet(self.stream, self._needed, IN_NO_BAR)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # a closed stream is a ValueError
            if self._needed:
                raise OutputError(error) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Closed(io.StringIO):
    """Standard output or error where the command was started without it."""

    def write(self, _text: str) -> int:
        raise OSError(errno.EBADF, "it is closed")


def for_bars(stream: TextIO) -> TextIO:
    """The same stream for a bar, which may begin its line anew."""
    return cast(TextIO, stream.with_bars()) if isinstance(stream, Outlet) else stream


@contextmanager
def any_text() -> Iterator[None]:
    """Have standard output and error take every text inside of the ``with`` block, whatever their encoding.

    What an encoding has is printed as it is. A class called "Löwe" is printed as L\\xf6we where there is no ö. An error
    that ends the block leaves them so: what Python then says of it is shown in the same way.
    """
    _hold_numbers()
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):  # a notebook's has no encoding
            stream.reconfigure(errors=ENCODING_ERRORS)
    # print() takes None for standard output, also where it was told to use the error stream
    out, err = (_Closed() if stream is None else stream for stream in before)
    sys.stdout, sys.stderr = cast(TextIO, Outlet(out, needed=True)), cast(TextIO, Outlet(err, needed=False))
    try:
        yield
    except Exception:
        raise
    except BaseException:
        sys.stdout, sys.stderr = before
        raise
    sys.stdout, sys.stderr = before


def _hold_numbers() -> None:
    """Keep the numbers of standard streams that are closed from being those of the next files that are opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
