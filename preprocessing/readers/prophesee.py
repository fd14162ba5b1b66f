"""What Prophesee's two kinds of file, DAT and RAW, share: the text header, and how it states the sensor.

The header is lines of ``% keyword value``. What follows it starts after ``% end``, where that line stands, else with
the first line of another kind.

Source: docs.prophesee.ai, "RAW File Format" and "DAT File Format".
"""

from __future__ import annotations

import re

from preprocessing.events import RecordingError

_LINE = re.compile(rb"% ([^\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]*)\n")  # text: events that start with "% " are none
_MAX_BYTES = 1 << 16


def header(data: bytes) -> tuple[dict[str, str], int]:
    """The header's values by keyword (none without a header), and the offset of what follows it."""
    fields: dict[str, str] = {}
    end = 0
    while line := _LINE.match(data, end, _MAX_BYTES):
        end = line.end()
        keyword, _, value = line[1].decode("utf-8", "replace").strip().partition(" ")
        if keyword == "end":
            break
        fields[keyword] = value.strip()
    return fields, end


def start_of_words(data: bytes) -> int | None:
    """Where the words of a stream begin, of which these are the first bytes; None as long as its header may go on."""
    _, end = header(data)
    behind = data[end : end + _MAX_BYTES]
    ended = re.search(rb"% end *\n\Z", data[max(end - 64, 0) : end])
    may_go_on = not behind or (behind.startswith(b"%") and b"\n" not in behind and len(behind) < _MAX_BYTES)
    return None if may_go_on and not ended else end


def size(width: str, height: str, source: str) -> tuple[int, int]:
    """The sensor that a header states.

    Raises:
        RecordingError: these are no numbers of pixels.
    """
    if not all(re.fullmatch("0*[1-9][0-9]{0,4}", number) for number in (width, height)):
        raise RecordingError(
            f"{source}: the header gives the sensor as {width!r} by {height!r}; expected two numbers of pixels"
        )
    return int(width), int(height)
