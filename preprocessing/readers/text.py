"""Events as text, one per line: ``t x y p`` as the RPG and its simulators write it, and tables of other programs (CSV).

The four numbers of a line stand between blanks, tabs, commas or semicolons, in the order t, x, y, p unless a line above
them names the columns. Then there may be others, which are not read (an index that pandas writes, labels). A line
``width height`` may stand there too, and lines that begin with ``#`` or ``%``, of which ``# sensor: 346x260`` states
the same. Numbers may be written as NumPy's ``savetxt`` does (``1.25e+06``), and polarities as True and False.

A time is in the unit that the name of its column ends in (``t[us]``, ``t_s``, ``time (ns)``), or that the caller says.
Without one, times are µs where they are whole numbers, else seconds. They are rounded to µs from their digits, halves
away from zero. Polarities are 0 and 1, or −1 (or 255) and 1; 1 is ON. The origin is top left.

Source: E. Mueggler et al., "The event-camera dataset and simulator", IJRR 36(2), 2017, section 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from preprocessing.events import AS_IS, EVENT_DTYPE, Events, Reading, Recording, RecordingError, make_recording
from preprocessing.readers.columns import FIELDS, check_seconds, field_of
from preprocessing.readers.sensors import USUAL, agreed, attributed, smallest
from preprocessing.readers.units import unit_named, with_doubts

SUFFIXES: tuple[str, ...] = (".txt", ".csv")

_DECIMALS = {"s": 6, "ms": 3, "us": 0, "ns": 0}  # down to µs; ns are divided behind
_TITLE = re.compile(r"(?P<name>[a-z]+)\s*(?:[\[(]\s*(?P<unit>\w*)\s*[\])]|_(?P<tail>\w+))?")
_SIZE = re.compile(r"([1-9]\d{0,4})[\s,;]+([1-9]\d{0,4})")
_SENSOR = re.compile(r"# *sensor: *([1-9]\d{0,4})x([1-9]\d{0,4})")
_BLANKS = re.compile(rb"[ \t\r\n]*")
_MOST_LINES = 10_000  # above the events
_BYTES_PER_EVENT = 8  # at least: four digits, three separators and the end of the line


@dataclass(frozen=True)
class _Layout:
    """What the lines above the events say: where these start, the place of each column, its unit, and the sensor.

    ``order`` has None for columns that are not read; these may hold blanks where ``words`` is True.
    """

    start: int
    order: tuple[str | None, ...] = FIELDS
    words: bool = False
    unit: str | None = None
    sensor: tuple[int, int] | None = None


def recognises(data: bytes) -> bool:  # noqa: ARG001
    """False: text has no signature."""
    return False


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode lines of text; where neither they nor ``sensor`` tell, it is the smallest of ``USUAL`` that holds all.

    Raises:
        RecordingError: no events, a line that is none (named with its number and text), an event outside the sensor,
            or time running backwards.
    """
    layout = _read_layout(data, source)
    said = layout.unit or how.time_unit
    events, num_bad, unit = _parse(data, layout, said, source, how)
    if unit == "ns":
        events["t"] = (events["t"] + 500) // 1000
    if unit == "s" and not said:
        check_seconds(events, source)
    taken = agreed(layout.sensor, sensor, source) or smallest(events, USUAL, source, how)
    recording = with_doubts(make_recording(events, taken, "text", source, 0, how, num_bad), unit, not said)
    return attributed(recording, layout.sensor, sensor)


def _parse(data: bytes, layout: _Layout, said: str | None, source: str, how: Reading) -> tuple[Events, int, str]:
    """The events, the number of lines that are none, which are dropped, and the unit of the times."""
    if not data.endswith(b"\n"):
        data += b"\n"
    if not said:
        events, num_bad, are_whole = _parsed(data, layout, _DECIMALS["us"], source, how, whole=True)
        if are_whole:
            return events, num_bad, "us"
    unit = said or "s"
    events, num_bad, _ = _parsed(data, layout, _DECIMALS[unit], source, how)
    return events, num_bad, unit


def _parsed(
    data: bytes, layout: _Layout, decimals: int, source: str, how: Reading, whole: bool = False
) -> tuple[Events, int, bool]:
    """The events, the number of lines that are none, and True; False where ``whole`` times come to a fraction."""
    from preprocessing.kernels import text

    other = text.MAY_HOLD_BLANKS if layout.words else text.NOT_WANTED
    order = np.array([FIELDS.index(field) if field else other for field in layout.order], np.int8)
    room = min(data.count(b"\n", layout.start), (len(data) - layout.start) // _BYTES_PER_EVENT)
    events, at = np.empty(room, EVENT_DTYPE), layout.start
    num_events, first_problem, num_bad = 0, "", 0
    while True:
        columns = (events[field][num_events:] for field in FIELDS)
        num_more, problem, line = text.parse(np.frombuffer(data, np.uint8), at, order, decimals, whole, *columns)
        num_events += int(num_more)
        if problem == text.FRACTION:
            return events[:num_events], num_bad, False
        if not problem:
            break
        first_problem = first_problem or (
            f"{_line(data, int(line), source)}, after {num_events} events: {_wrong(problem, layout)}"
        )
        num_bad += 1
        how.allow(num_bad, room, first_problem)
        at = data.index(b"\n", int(line)) + 1
    how.allow(num_bad, num_events + num_bad, first_problem)
    return events[:num_events], num_bad, True


def _line(data: bytes, at: int, source: str) -> str:
    """The line at a byte, for a message."""
    number = data.count(b"\n", 0, at) + 1
    text = data[at : at + 80].split(b"\n")[0].rstrip().decode("utf-8", "backslashreplace")
    return f"{source}: line {number} {text!r}"


def _wrong(problem: int, layout: _Layout) -> str:
    from preprocessing.kernels import text

    order = " ".join(field or "…" for field in layout.order)
    return {
        text.NO_NUMBER: f"expected numbers, {order}, of which only a time may be a fraction",
        text.TOO_LARGE: "a number has too many digits; times end at 10^18 µs",
        text.BAD_PLACE: "x and y are 0 to 65535",
        text.BAD_POLARITY: f"polarities are 0 and 1, or -1 and 1, all in one file; columns were taken as {order}, "
        "name them in a first line if they are others, e.g. 'x,y,p,t'",
        text.MORE: f"nothing is expected behind {order}; a first line may name more columns, e.g. 't,x,y,p,label'",
    }[problem]


def _read_layout(data: bytes, source: str) -> _Layout:
    """Go through the lines above the events."""
    layout = _Layout(3 if data.startswith(b"\xef\xbb\xbf") else 0)
    for _ in range(_MOST_LINES):
        layout = replace(layout, start=_behind_blank_lines(data, layout.start))
        if layout.start == len(data):
            return layout
        end = data.find(b"\n", layout.start) + 1 or len(data)
        written = data[layout.start : min(end, layout.start + 1000)].decode("utf-8", "replace").rstrip()
        line = written.strip()
        text = line.lstrip("#% ")
        named = _named(written.lstrip("#% "))
        size = _SIZE.fullmatch(line) or _SENSOR.fullmatch(line)
        if named:
            layout = replace(layout, order=named.order, words=named.words, unit=named.unit)
        elif size:
            layout = replace(layout, sensor=(int(size[1]), int(size[2])))
        elif text == line and (text[:1].isalpha() or text[:1] in ("'", '"', ",", ";")):
            raise RecordingError(
                f"{_line(data, layout.start, source)} doesn't name the columns t, x, y and p, each once; expected them "
                "in any order, e.g. 't[us],x,y,p'"
            )
        elif text and text == line:
            return layout
        layout = replace(layout, start=end)
    raise RecordingError(f"{_line(data, layout.start, source)}: {_MOST_LINES:,} lines came before it, none an event")


def _behind_blank_lines(data: bytes, start: int) -> int:
    """Where the first line from a byte on begins that holds more than blanks."""
    text = _BLANKS.match(data, start)
    behind = text.end() if text else start
    return behind if behind == len(data) else max(start, data.rfind(b"\n", start, behind) + 1)


def _named(text: str) -> _Layout | None:
    """Order of the columns and unit of the time, if a line names the columns."""
    separated = re.search(r"[,;\t]", text)
    words = re.split(r"[,;\t]", text) if separated else re.split(r"\s+(?![\[(])", text)
    titles = [_TITLE.fullmatch(word.strip(" \"'").lower()) for word in words]
    fields = [field_of(title["name"]) if title else None for title in titles]
    if sorted(field for field in fields if field) != sorted(FIELDS):
        return None
    time = titles[fields.index("t")]
    unit = time and (time["unit"] or time["tail"])
    if unit and not unit_named(unit):
        return None
    in_words = separated is not None and separated[0] != "\t"
    return _Layout(0, tuple(fields), in_words, unit_named(unit) if unit else None)
