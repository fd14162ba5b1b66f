"""Whose fault it is that a library cannot read a file: the file's, or ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from preprocessing.events import RecordingError


@contextmanager
def damaged(source: str, kind: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn what reading a file raises into our error.

    Args:
        source: the file.
        kind: what it is read as, e.g. "HDF5".
        errors: what the library raises where a file is damaged; all others are mistakes of a program.

    Raises:
        RecordingError: instead of any exception.
    """
    try:
        yield
    except (RecordingError, ImportError):
        raise
    except errors as error:
        raise RecordingError(f"{source}: cannot be read as {kind}, it may be damaged ({error})") from error
    except Exception as error:
        raise RecordingError(
            f"{source}: evglif failed to read this as {kind}; the file may be in order, and evglif not: please report "
            f"it ({type(error).__name__}: {error})"
        ) from error
