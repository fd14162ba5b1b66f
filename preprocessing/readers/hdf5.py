"""Events in HDF5, in the layouts of the public data sets.

- Four datasets t, x, y, p in the group ``events`` (DSEC, RVT) or in the root. DSEC's ``t_offset`` is added to the
  times; its ``ms_to_idx`` is not needed.
- The same under the names ts, xs, ys, ps, times in seconds as floats (e2vid, event_cnn_minimal).
- One dataset ``events`` or ``CD/events`` of records with these fields.
- The same packed with Prophesee's ECF (``CD/events`` of Metavision), see ``ecf``.
- One table ``events`` ``[N, 4]`` of numbers, as v2e writes it, or MVSEC ``davis/left/events``; see ``columns.ORDERS``.
- The same anywhere else in the file, if it is there once, or once for a camera on the left; so MATLAB's version 7.3,
  which is HDF5 and turns columns and tables.

Times are in the unit that their name ends in (``t_ns``), that an attribute of theirs (``unit``, ``units``) or of what
they are in (``time_unit``) states, or that the caller says; else whole times are µs, others seconds; rounded to the
nearest µs. Polarities are 0 and 1, or −1 and 1; 1 is ON. The
origin is top left. The sensor is ``width`` and ``height`` or ``sensor_resolution``, attributes or datasets of the root
or of the group, or Metavision's ``geometry``.

Sources: dsec.ifi.uzh.ch, "Data format"; github.com/uzh-rpg/RVT, ``H5Reader``; github.com/TimoStoff/event_cnn_minimal,
``event_packagers.py``; github.com/SensorsINI/v2e, ``emulator.py``; daniilidis-group.github.io/mvsec, "Data format".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from preprocessing import apart
from preprocessing.events import AS_IS, Reading, Recording, RecordingError, make_recording
from preprocessing.readers import ecf
from preprocessing.readers.columns import Packed, check_room, fields_in, flat, is_column, is_table, order_of, pack
from preprocessing.readers.faults import damaged
from preprocessing.readers.sensors import USUAL, Sensor, agreed, attributed, smallest
from preprocessing.readers.units import US, name_and_unit, unit_named, with_doubts

if TYPE_CHECKING:
    import h5py

SUFFIXES: tuple[str, ...] = (".h5", ".hdf5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
MATLAB = b"MATLAB 7.3 MAT-file"
"""The start of the 512 bytes that MATLAB puts before HDF5."""


_PLACES = ("events", "CD/events", "/")
_BLOCK = 1 << 20  # events
_TABLES = ("events", "event", "evs", "td")  # names of tables of events elsewhere
_OF_DAMAGE = (OSError, KeyError, RuntimeError, ValueError, EOFError, OverflowError, apart.StoppedError)
_IN_HDF5PLUGIN = {32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32015: "Zstandard", 32026: "Blosc2"}
_WITHOUT_PLUGIN = "install its plug-in where HDF5 looks for such (HDF5_PLUGIN_PATH), or write the file without it"
_FRAME_CACHE = "evglif frame cache"  # the attribute that ``preprocessing.cache`` gives its files


def recognises(data: bytes) -> bool:
    """Whether the file is HDF5; ``decode`` looks for events in it."""
    return data.startswith(SIGNATURE) or (data.startswith(MATLAB) and data[512:].startswith(SIGNATURE))


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """Decode the events of an HDF5 file; where nothing tells the sensor, it is the smallest of ``USUAL`` for them.

    Raises:
        RecordingError: no events, none of the layouts, a compression whose plug-in is not installed, a damaged file,
            an event outside the sensor, another sensor than the file states, or time running backwards.
    """
    with damaged(source, "HDF5", _OF_DAMAGE):
        bounds = apart.Bounds.of(len(data))
        found = apart.call(read_file, len(data), sensor, source, how, data=data, bounds=bounds)
    return _recording(found, sensor, source, how)


def decode_file(path: Path, source: str, sensor: tuple[int, int] | None = None, how: Reading = AS_IS) -> Recording:
    """The same of a file where it lies, which errors call ``source``."""
    with damaged(source, "HDF5", _OF_DAMAGE):
        num_bytes = path.stat().st_size
        bounds = apart.Bounds.of(num_bytes)
        found = apart.call(read_file, os.fspath(path.absolute()), num_bytes, sensor, source, how, bounds=bounds)
    return _recording(found, sensor, source, how)


class Read(NamedTuple):
    """What a file holds: its events, the unit of their times and the sensor if it states them, and what is doubtful."""

    packed: Packed
    unit: str | None
    stated: Sensor | None
    warnings: tuple[str, ...]


def read_file(place: str | IO[bytes], num_bytes: int, sensor: Sensor | None, source: str, how: Reading) -> Read:
    """Read a file of so many bytes, by its path or open.

    A process apart does so, as HDF5 goes in circles in some that are damaged.

    Raises:
        RecordingError: as ``decode``; and whatever HDF5 raises.
    """
    import h5py

    unlocked = {"locking": False} if isinstance(place, str) else {}  # some network file systems know no locks
    try:
        with h5py.File(place, "r", **unlocked) as file:
            found = _find(file, source)
            packed, unit, stated = _read(file, found, num_bytes, sensor, source, how)
    except TypeError as error:
        if "data type" in str(error):  # of so many bytes as NumPy has no number of
            raise ValueError(str(error)) from error
        raise
    return Read(packed, unit, stated, found.warnings)


def _recording(read: Read, sensor: Sensor | None, source: str, how: Reading) -> Recording:
    packed = read.packed
    taken = agreed(read.stated, sensor, source) or smallest(packed.events, USUAL, source, how)
    recording = make_recording(packed.events, taken, "hdf5", source, 0, how, packed.num_dropped)
    recording = with_doubts(recording, packed.unit, not (read.unit or how.time_unit), packed.resolution_us)
    return attributed(replace(recording, warnings=(*recording.warnings, *read.warnings)), read.stated, sensor)


class _Found(NamedTuple):
    """Where the events are, and the names that t, x, y and p have in it; none in a table of four columns."""

    node: Any
    fields: dict[str, str]
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, h5py.Dataset]:
        """The data sets that hold them; a single one is called by an empty name."""
        if _is_dataset(self.node):
            return {"": self.node}
        return {name: self.node[name] for name in self.fields.values()}


def _read(
    file: h5py.File, found: _Found, num_bytes: int, asked: Sensor | None, source: str, how: Reading
) -> tuple[Packed, str | None, Sensor | None]:
    """The events, and the unit of the times and the sensor that the file states."""
    node, columns = found.node, found.columns
    for column in columns.values():
        if column.is_virtual or column.external or column.file.filename != file.filename:
            raise RecordingError(f"{source}: {column.name} lies in other files; copy it into one: h5repack IN OUT")
        _check_stored(column, num_bytes, f"{source}: {column.name}", in_table=not found.fields)
    sizes = {name: column.size // (1 if found.fields else 4) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"{source}: the columns of {node.name} differ in length: {sizes}")
    num_events = min(sizes.values())
    check_room(num_events, num_bytes, source, sum(map(_unpacked_bytes, columns.values())))
    unit = _stated_unit(node, found.fields.get("t", ""), file, source)
    blocks = _blocks(columns, found.fields, num_events, source, how)
    packed = pack(blocks, num_events, source, unit or how.time_unit, how)
    for place in (node.parent, file):
        if _is_dataset(place.get("t_offset")):
            packed.events["t"] += int(place["t_offset"][()] * US[packed.unit])
            break
    return packed, unit, _stated_sensor((node, node.parent, file), asked)


def _stated_unit(node: Any, time: str, file: h5py.File, source: str) -> str | None:
    """The unit of the times that their name or an attribute states.

    Raises:
        RecordingError: it is none that can be read.
    """
    attributes = [(place, name) for place in (node, node.parent, file) for name in ("time_unit", "time_units")]
    if not _is_dataset(node):
        attributes = [(node[time], name) for name in ("unit", "units")] + attributes
    for place, name in attributes:
        if name in place.attrs:
            text = _text(place.attrs[name])
            if unit_named(text) is None:
                raise RecordingError(f"{source}: {name} of {place.name} is {text!r}; expected one of {', '.join(US)}")
            return unit_named(text)
    return name_and_unit(time)[1]


def _is_dataset(node: Any) -> bool:
    import h5py

    return isinstance(node, h5py.Dataset)


def _is_group(node: Any) -> bool:
    import h5py

    return isinstance(node, h5py.Group)


def _find(file: h5py.File, source: str) -> _Found:
    """The dataset or group that holds the events: where data sets usually have it, else the only one in the file."""
    if file.attrs.get("format") == _FRAME_CACHE:
        raise RecordingError(f"{source}: this is a frame cache, built from recordings; expected a recording")
    for place in _PLACES:
        if found := _as_events(file.get(place), anywhere=False):
            return found
    found_ones = _everywhere(file)
    names = [_text(found.node.name) for found in found_ones]
    left = [name for name in names if "left" in name.lower()]
    if len(found_ones) > 1 and len(left) == 1:
        others = ", ".join(name for name in names if name != left[0])
        doubt = f"events are read from {left[0]} alone, not from {others}"
        return found_ones[names.index(left[0])]._replace(warnings=(doubt,))
    if len(found_ones) == 1:
        return found_ones[0]
    if found_ones:
        raise RecordingError(f"{source}: holds events at {', '.join(names)}; copy one of them into a file of its own")
    groups = {place: node for place in ("/", "events") if _is_group(node := file.get(place))}
    inside = [f"{place}: {', '.join(map(_text, node))}" for place, node in groups.items()]
    raise RecordingError(f"{source}: holds no events that can be read ({'; '.join(inside)}); expected t, x, y and p")


def _as_events(node: Any, anywhere: bool) -> _Found | None:
    """How a dataset or group holds events, if it does; a table without names only at a place that says so."""
    if _is_group(node):
        fields = fields_in([_text(name) for name in node if _is_dataset(node.get(name))])
    elif not _is_dataset(node):
        return None
    elif node.dtype.names:
        fields = fields_in(node.dtype.names)
    else:
        named = not anywhere or _text(node.name).rpartition("/")[2].lower() in _TABLES
        return _Found(node, {}) if named and is_table(node.shape) and node.dtype.kind in "iuf" else None
    return _Found(node, fields) if fields else None


def _everywhere(file: h5py.File) -> list[_Found]:
    """All that holds events."""
    found: list[_Found] = []

    def look(_: str, node: Any) -> None:
        if one := _as_events(node, anywhere=True):
            found.append(one)

    file.visititems(look)
    return found


def _blocks(
    columns: Mapping[str, h5py.Dataset], fields: Mapping[str, str], num_events: int, source: str, how: Reading
) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns, a block at a time; a block is no smaller than a chunk, which HDF5 unpacks as a whole."""
    if "" in columns and ecf.can_unpack(columns[""], _filters(columns[""])):
        yield from ecf.blocks(columns[""], f"{source}: {columns[''].name}")
        return
    size = max(_BLOCK, *(max(column.chunks) for column in columns.values() if column.chunks), 1)
    order = ""
    for start in range(0, num_events, size):
        parts = {name: _part(column, start, start + size) for name, column in columns.items()}
        if not fields:
            table = parts[""]
            order = order or order_of(table, source, how)
            yield dict(zip(order, table.T, strict=True))
            continue
        block = parts.get("", parts)
        yield {field: block[name] for field, name in fields.items()}


def _part(column: h5py.Dataset, start: int, stop: int) -> NDArray[Any]:
    """Some events of a column as ``[n]``, of a table as ``[n, 4]``."""
    upright = column.ndim == 1 or column.shape[1] in (1, 4)
    part: NDArray[Any] = column[start:stop] if upright else column[:, start:stop].T
    return flat(part) if 1 in column.shape else part


def _check_stored(column: h5py.Dataset, num_bytes: int, what: str, in_table: bool) -> None:
    """Make sure that a column is in the file, before room is made for what it announces."""
    if not (is_table if in_table else is_column)(column.shape):
        raise RecordingError(f"{what} has the shape {column.shape}; expected one dimension, or a table [N, 4]")
    _check_filters(column, what)
    announced = column.size * column.dtype.itemsize
    if column.chunks:
        stored = column.id.get_num_chunks() * prod(column.chunks) * column.dtype.itemsize
    else:
        stored = min(column.id.get_storage_size(), num_bytes - (column.id.get_offset() or 0))
    if stored < announced:
        raise RecordingError(f"{what} announces {announced} bytes, but {stored} are in the file; it is cut or damaged")


def _unpacked_bytes(column: h5py.Dataset) -> int:
    """What a column takes when it is read; of its chunks one is unpacked as a whole, however few values are used."""
    chunk = prod(column.chunks) if column.chunks else 0
    return int(max(column.size, chunk) * column.dtype.itemsize)


def _check_filters(column: h5py.Dataset, what: str) -> None:
    """Make sure that the column can be unpacked; hdf5plugin, where it is installed, makes its filters known."""
    import h5py

    numbers = _filters(column)
    if ecf.can_unpack(column, numbers):
        return
    if not all(map(h5py.h5z.filter_avail, numbers)):
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401
    for number in numbers:
        if not h5py.h5z.filter_avail(number):
            known = _IN_HDF5PLUGIN.get(number)
            advice = "pip install 'evglif[hdf5]'" if known else _WITHOUT_PLUGIN
            name = known or ("Prophesee's ECF and more" if number == ecf.FILTER else "an HDF5 filter")
            raise RecordingError(f"{what} is packed with {name} ({number}): {advice}")


def _filters(column: h5py.Dataset) -> list[int]:
    """Numbers of the filters that pack a data set."""
    properties = column.id.get_create_plist()
    return [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]


def _stated_sensor(places: Iterable[Any], asked: Sensor | None) -> Sensor | None:
    """The sensor that the first of ``places`` to do so states.

    Programs disagree about the order of ``sensor_resolution``: the larger number is the width, unless the caller says
    that it is not.
    """
    for place in places:
        said = {
            **place.attrs,
            **({} if _is_dataset(place) else {n: place[n][()] for n in ("width", "height") if n in place}),
        }
        if {"width", "height"} <= said.keys():
            return int(said["width"]), int(said["height"])
        geometry = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", _text(said.get("geometry")))  # of Metavision
        if geometry:
            return int(geometry[1]), int(geometry[2])
        if "sensor_resolution" in said:
            height, width = sorted(int(number) for number in said["sensor_resolution"][:2])
            return asked if asked == (height, width) else (width, height)
    return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
