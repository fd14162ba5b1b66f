"""Events as text, one per line: ``t x y p`` as the RPG and its simulators write it, and tables of other programs (CSV).

The four numbers of a line stand between blanks, tabs, commas or semicolons, in the order t, x, y, p unless a line above
them names the columns. Then there may be others, which are not read (an index that pandas writes, labels). A line
``width height`` may stand there too, and lines that begin with ``#`` or ``%``. Numbers may be written as NumPy's
``savetxt`` does (``1.25e+06``), and polarities as True and False.

A time is in the unit that the name of its column ends in (``t[us]``, ``t_s``, ``time (ns)``). Without one, times are
µs where they are whole numbers, else seconds. They are rounded to µs from their digits, halves away from zero.
Polarities are 0 and 1, or −1 (or 255) and 1; 1 is ON. The origin is top left.

Source: E. Mueggler et al., "The event-camera dataset and simulator", IJRR 36(2), 2017, section 5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np

from preprocessing.events import EVENT_DTYPE, Events, Recording, RecordingError, make_recording
from preprocessing.readers.columns import FIELDS, check_seconds, field_of
from preprocessing.readers.sensors import USUAL, agreed, attributed, smallest

SUFFIXES: tuple[str, ...] = (".txt", ".csv")

_DECIMALS = {"s": 6, "sec": 6, "ms": 3, "us": 0, "µs": 0, "usec": 0, "ns": 0}  # down to µs; ns are divided behind
_TITLE = re.compile(r"(?P<name>[a-z]+)\s*(?:[\[(]\s*(?P<unit>\w*)\s*[\])]|_(?P<tail>\w+))?")
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


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None) -> Recording:
    """Decode lines of text; where neither they nor ``sensor`` tell, it is the smallest of ``USUAL`` that holds all.

    Raises:
        RecordingError: no events, a line that is none (named with its number and text), an event outside the sensor,
            or time running backwards.
    """
    layout = _read_layout(data, source)
    events = _parse(data, layout, source)
    if layout.unit == "ns":
        events["t"] = (events["t"] + 500) // 1000
    taken = agreed(layout.sensor, sensor, source) or smallest(events, USUAL, source)
    return attributed(make_recording(events, taken, "text", source), layout.sensor, sensor)


def _parse(data: bytes, layout: _Layout, source: str) -> Events:
    from preprocessing.kernels import text

    if not data.endswith(b"\n"):
        data += b"\n"
    if layout.unit:
        num_events, problem, line, events = _parsed(data, layout, _DECIMALS[layout.unit])
    else:
        num_events, problem, line, events = _parsed(data, layout, _DECIMALS["us"], whole=True)
        if problem == text.FRACTION:
            num_events, problem, line, events = _parsed(data, layout, _DECIMALS["s"])
            check_seconds(events[:num_events], source)
    if problem:
        raise RecordingError(f"{_line(data, line, source)}, after {num_events} events: {_wrong(problem, layout)}")
    return events[:num_events]


def _parsed(data: bytes, layout: _Layout, decimals: int, whole: bool = False) -> tuple[int, int, int, Events]:
    """What ``kernels.text.parse`` says, and the events."""
    from preprocessing.kernels.text import MAY_HOLD_BLANKS, NOT_WANTED, parse

    room = min(data.count(b"\n", layout.start), (len(data) - layout.start) // _BYTES_PER_EVENT)
    events = np.empty(room, EVENT_DTYPE)
    other = MAY_HOLD_BLANKS if layout.words else NOT_WANTED
    order = np.array([FIELDS.index(field) if field else other for field in layout.order], np.int8)
    columns = (events[field] for field in FIELDS)
    num_events, problem, line = parse(np.frombuffer(data, np.uint8), layout.start, order, decimals, whole, *columns)
    return int(num_events), int(problem), int(line), events


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
    while layout.start < len(data):
        end = data.find(b"\n", layout.start) + 1 or len(data)
        written = data[layout.start : min(end, layout.start + 1000)].decode("utf-8", "replace").rstrip()
        line = written.strip()
        text = line.lstrip("#% ")
        named = _named(written.lstrip("#% "))
        size = re.fullmatch(r"([1-9]\d{0,4})[\s,;]+([1-9]\d{0,4})", line)
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
            break
        layout = replace(layout, start=end)
    return layout


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
    if unit and unit not in _DECIMALS:
        return None
    return _Layout(0, tuple(fields), separated is not None and separated[0] != "\t", unit)
