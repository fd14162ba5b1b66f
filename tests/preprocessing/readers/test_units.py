import io
import re

import h5py
import numpy as np
import pytest

from preprocessing.events import Reading, RecordingError
from preprocessing.readers import decode_recording
from preprocessing.readers.units import microseconds, name_and_unit, unit_named

US = np.arange(0, 1_000_000, 50)  # 20,000 events in 1 s
PLACE = np.arange(len(US)) % 128


def npz(t, name="t"):
    file = io.BytesIO()
    np.savez(file, **{name: t, "x": PLACE[: len(t)], "y": PLACE[: len(t)], "p": PLACE[: len(t)] % 2})
    return file.getvalue()


def hdf5(t, name="t", attributes=None, of_group=None, **more):
    file = io.BytesIO()
    with h5py.File(file, "w") as written:
        group = written.create_group("events")
        for column, values in {name: t, "x": PLACE, "y": PLACE, "p": PLACE % 2}.items():
            group[column] = values
        group[name].attrs.update(attributes or {})
        group.attrs.update(of_group or {})
        for each, value in more.items():
            written[each] = value
    return file.getvalue()


def text(t, title):
    head = f"{title},x,y,p\n" if title else ""
    return (head + "".join(f"{time},{x},{x},0\n" for time, x in zip(t, PLACE, strict=False))).encode()


def read(data, name, **how):
    return decode_recording(data, name, (128, 128), Reading(**how))


@pytest.mark.parametrize(
    ("data", "name", "unit"),
    [
        (npz(US * 1000), "r.npz", "ns"),
        (npz(US * 1000 + 499), "r.npz", "ns"),
        (npz(US / 1e3), "r.npz", "ms"),
        (npz(US / 1e3 * 1e3), "r.npz", "us"),
        (npz(US * 1000, "t_ns"), "r.npz", None),
        (npz(US / 1e3, "timestamp_ms"), "r.npz", None),
        (npz(US * 1.0, "timestamp_us"), "r.npz", None),
        (npz(US / 1e6, "ts"), "r.npz", None),
        (hdf5(US * 1000, attributes={"unit": "ns"}), "r.h5", None),
        (hdf5(US / 1e3, attributes={"units": b"milliseconds"}), "r.h5", None),
        (hdf5(US * 1000, of_group={"time_unit": "nanoseconds"}), "r.h5", None),
        (hdf5(US * 1.0, name="t_us"), "r.h5", None),
        (hdf5(US * 1000), "r.h5", "ns"),
        (hdf5(US * 1000 - 5_000_000, attributes={"unit": "ns"}, t_offset=5_000_000), "r.h5", None),
        (text(US * 1000, "t_ns"), "r.csv", None),
        (text(US * 1000, "time (nanoseconds)"), "r.csv", None),
        (text(US * 1000, ""), "r.txt", "ns"),
        (text(US / 1e3, ""), "r.txt", "ms"),
        (text(US * 1.0, ""), "r.txt", "us"),
        (text(US * 1000, "t_ns"), "r.csv", "us"),  # the file says it, and is right
    ],
)
def test_a_unit_is_that_of_the_file_or_of_the_caller(data, name, unit):
    recording = read(data, name, time_unit=unit)

    assert recording.events["t"].tolist() == US.tolist()
    assert recording.warnings == ()


def test_structured_fields_may_name_the_unit():
    array = np.zeros(3, [("x", "u2"), ("y", "u2"), ("t_ms", "i8"), ("p", "?")])
    array["t_ms"] = 1, 2, 30
    file = io.BytesIO()
    np.save(file, array)

    assert read(file.getvalue(), "r.npy").events["t"].tolist() == [1000, 2000, 30_000]


def test_a_plain_name_goes_before_one_with_a_unit():
    file = io.BytesIO()
    np.savez(file, t=US, t_s=US / 1e6, x=PLACE, y=PLACE, p=PLACE % 2)

    assert read(file.getvalue(), "r.npz").events["t"].tolist() == US.tolist()


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (US // 1000, r"taken for us, so that it lasts 0\.000999 s with 2e\+07 events/s: no camera does; if they are in "
                     r"ms, say so: --time-unit ms"),
        (US / 1e3, r"taken for s, so that it lasts 999\.95 s with 20 events/s: .* in ms, say so: --time-unit ms"),
        (US * 1000, r"taken for us, so that it lasts 999\.95 s with 20 events/s: .* in ns, say so: --time-unit ns"),
        ((1.6e9 + US / 1e6).astype(np.float32), r"floats of 32 bits, which lie 128 s apart at that size; save them as"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("write", "name"), [(npz, "r.npz"), (hdf5, "r.h5")])
def test_spans_and_rates_that_no_camera_gives_are_warned_of(write, name, t, message):
    (warning,) = read(write(t), name).warnings

    assert re.search(message, warning), warning


def test_a_unit_that_was_said_is_believed():
    assert read(npz(US // 1000), "r.npz", time_unit="us").warnings == ()
    assert read(npz(US // 1000, "t_us"), "r.npz").warnings == ()


def test_floats_of_32_bits_that_are_fine_enough_are_not_warned_of():
    assert read(npz((US / 1e6).astype(np.float32)), "r.npz").warnings == ()


def test_seconds_that_were_us_are_refused_with_what_to_say():
    with pytest.raises(RecordingError, match="if they are µs, write them as integers or say --time-unit us"):
        read(npz(US + 0.5), "r.npz")


def test_a_unit_that_is_none_is_refused():
    with pytest.raises(RecordingError, match="unit of /events/t is 'ticks'; expected one of s, ms, us, ns"):
        read(hdf5(US, attributes={"unit": "ticks"}), "r.h5")


@pytest.mark.parametrize(
    ("values", "unit", "expected", "wrong"),
    [
        (np.array([1, -1, 2**62]), "s", [1_000_000, -1_000_000, 0], [False, False, True]),
        (np.array([-1500, -1501, 499, 500, 2**63 - 1]), "ns", [-1, -2, 0, 1, (2**63 - 1 + 500) // 1000], None),
        (np.array([2**64 - 1], np.uint64), "us", [0], [True]),
        (np.array([2**64 - 1], np.uint64), "ns", [18_446_744_073_709_552], None),
        (np.array([7], np.uint8), "ms", [7000], [False]),
        (np.array([np.nan, 1.5, 1e300]), "ms", [0, 1500, 0], [True, False, True]),
    ],
)
def test_values_that_leave_64_bits_are_told(values, unit, expected, wrong):
    t, bad = microseconds(values, unit)

    assert (t.tolist(), bad if bad is None else bad.tolist()) == (expected, wrong)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("t", ("t", None)),
        ("T_NS", ("t", "ns")),
        ("timestamp[us]", ("timestamp", "us")),
        ("time (µs)", ("time", "us")),
        ("t_offset", ("t_offset", None)),
        ("ts_seconds", ("ts", "s")),
    ],
)
def test_names_end_in_units(name, expected):
    assert name_and_unit(name) == expected


def test_units_have_many_names():
    assert [unit_named(text) for text in ("Microseconds", "msec", "S", "h")] == ["us", "ms", "s", None]
