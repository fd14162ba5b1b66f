"""Events in HDF5, in the layouts of the public data sets.

- Four datasets t, x, y, p in the group ``events`` (DSEC, RVT) or in the root. DSEC's ``t_offset`` is added to the
  times; its ``ms_to_idx`` is not needed.
- The same under the names ts, xs, ys, ps, times in seconds as floats (e2vid, event_cnn_minimal).
- One dataset ``events`` or ``CD/events`` of records with these fields.

Integer times are µs, float times seconds, rounded to the nearest µs. Polarities are 0 and 1, or −1 and 1; 1 is ON. The
origin is top left. The sensor is ``width`` and ``height`` or ``sensor_resolution``, attributes or datasets of the root
or of the group.

Sources: dsec.ifi.uzh.ch, "Data format"; github.com/uzh-rpg/RVT, ``H5Reader``; github.com/TimoStoff/event_cnn_minimal,
``event_packagers.py``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from preprocessing.events import Events, Recording, RecordingError, make_recording
from preprocessing.readers.columns import fields_in, pack
from preprocessing.readers.sensors import USUAL, Sensor, agreed, attributed, smallest

if TYPE_CHECKING:
    import h5py

SUFFIXES: tuple[str, ...] = (".h5", ".hdf5")
SIGNATURE = b"\x89HDF\r\n\x1a\n"

_PLACES = ("events", "CD/events", "/")
_BLOCK = 1 << 20  # events
_IN_HDF5PLUGIN = {32001: "Blosc", 32004: "LZ4", 32008: "Bitshuffle", 32015: "Zstandard", 32026: "Blosc2"}
_FRAME_CACHE = "evglif frame cache"  # the attribute that ``preprocessing.cache`` gives its files


def recognises(data: bytes) -> bool:
    """Whether the file is HDF5; ``decode`` looks for events in it."""
    return data.startswith(SIGNATURE)


def decode(data: bytes, source: str, sensor: tuple[int, int] | None = None) -> Recording:
    """Decode the events of an HDF5 file; where nothing tells the sensor, it is the smallest of ``USUAL`` for them.

    Raises:
        RecordingError: no events, none of the layouts, a compression whose plug-in is not installed, a damaged file,
            an event outside the sensor, another sensor than the file states, or time running backwards.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            events, stated = _read(file, len(data), sensor, source)
    except RecordingError:
        raise
    except Exception as error:  # HDF5 complains of damage in many ways
        raise RecordingError(f"{source}: cannot be read as HDF5, it may be damaged ({error})") from error
    taken = agreed(stated, sensor, source) or smallest(events, USUAL, source)
    return attributed(make_recording(events, taken, "hdf5", source), stated, sensor)


def _read(file: h5py.File, num_bytes: int, asked: Sensor | None, source: str) -> tuple[Events, Sensor | None]:
    """The events, and the sensor that the file states."""
    if file.attrs.get("format") == _FRAME_CACHE:
        raise RecordingError(f"{source}: this is a frame cache, built from recordings; expected a recording")
    node, fields = _find(file, source)
    columns = {"": node} if _is_dataset(node) else {name: node[name] for name in fields.values()}
    for column in columns.values():
        _check_stored(column, num_bytes, f"{source}: {column.name}")
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"{source}: the columns of {node.name} differ in length: {sizes}")
    num_events = min(sizes.values())
    events = pack(_blocks(columns, fields, num_events), num_events, source)
    for place in (node.parent, file):
        if _is_dataset(place.get("t_offset")):
            events["t"] += int(place["t_offset"][()])
            break
    return events, _stated_sensor((node, node.parent, file), asked)


def _is_dataset(node: Any) -> bool:
    import h5py

    return isinstance(node, h5py.Dataset)


def _find(file: h5py.File, source: str) -> tuple[Any, dict[str, str]]:
    """The dataset or group that holds the events, and the names that t, x, y and p have in it."""
    for place in _PLACES:
        node = file.get(place)
        names = node.dtype.names or () if _is_dataset(node) else [n for n in node or () if _is_dataset(node.get(n))]
        if fields := fields_in(names):
            return node, fields
    inside = [f"{place}: {', '.join(file[place])}" for place in ("/", "events") if file.get(place, getclass=True)]
    raise RecordingError(f"{source}: holds no events that can be read ({'; '.join(inside)}); expected t, x, y and p")


def _blocks(
    columns: Mapping[str, h5py.Dataset], fields: Mapping[str, str], num_events: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """The columns, a block at a time; a block is no smaller than a chunk, which HDF5 unpacks as a whole."""
    size = max(_BLOCK, *(column.chunks[0] for column in columns.values() if column.chunks), 1)
    for start in range(0, num_events, size):
        parts = {name: column[start : start + size] for name, column in columns.items()}
        block = parts.get("", parts)
        yield {field: block[name] for field, name in fields.items()}


def _check_stored(column: h5py.Dataset, num_bytes: int, what: str) -> None:
    """Make sure that a column is in the file, before room is made for what it announces."""
    if column.ndim != 1:
        raise RecordingError(f"{what} has the shape {column.shape}; expected one dimension")
    _check_filters(column, what)
    if column.is_virtual or column.external:
        raise RecordingError(f"{what} lies in other files; copy it into one: h5repack IN OUT")
    announced = column.size * column.dtype.itemsize
    if column.chunks:
        stored = column.id.get_num_chunks() * column.chunks[0] * column.dtype.itemsize
    else:
        stored = min(column.id.get_storage_size(), num_bytes - (column.id.get_offset() or 0))
    if stored < announced:
        raise RecordingError(f"{what} announces {announced} bytes, but {stored} are in the file; it is cut or damaged")


def _check_filters(column: h5py.Dataset, what: str) -> None:
    """Make sure that the column can be unpacked; hdf5plugin, where it is installed, makes its filters known."""
    import h5py

    properties = column.id.get_create_plist()
    numbers = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if not all(map(h5py.h5z.filter_avail, numbers)):
        with suppress(ImportError):
            import hdf5plugin  # noqa: F401
    for number in numbers:
        if not h5py.h5z.filter_avail(number):
            known = _IN_HDF5PLUGIN.get(number)
            advice = "pip install 'evglif[hdf5]'" if known else "write it without, e.g. h5repack -f GZIP=4 IN OUT"
            raise RecordingError(f"{what} is packed with {known or 'an HDF5 filter'} ({number}): {advice}")


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
        if "sensor_resolution" in said:
            height, width = sorted(int(number) for number in said["sensor_resolution"][:2])
            return asked if asked == (height, width) else (width, height)
    return None
