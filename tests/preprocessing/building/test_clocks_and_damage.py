"""Recordings whose clock was set, and recordings with a few bad events: what a build makes of them, and says."""

from pathlib import Path

import numpy as np
import pytest

from preprocessing.build import build, main
from preprocessing.building.pipeline import _check
from preprocessing.building.samples import RecordingTask
from preprocessing.cache import FrameCache
from preprocessing.datasets.base import Listing, Source, Trial
from preprocessing.datasets.recordings.folder import Folder
from preprocessing.events import RecordingError, make_events
from preprocessing.frames.rasterize import rasterize
from preprocessing.frames.settings import FrameSettings
from preprocessing.readers import aedat2

SECOND = 1_000_000
STEADY = np.arange(0, SECOND, 250)  # 4000 events in 1 s
SMALL = {"steps": 4, "size": (12, 8), "workers": 1}


def events_at(t, seed=0):
    rng = np.random.default_rng(seed)
    return make_events(t, *rng.integers(0, 128, (2, len(t))), rng.random(len(t)) < 0.5)


def npz(path, events):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: events[name] for name in "txyp"})


def aedat(path, events):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(aedat2.encode(events))


@pytest.fixture
def root(tmp_path):
    """Two good recordings of a class; tests add one that is not."""
    for number in (1, 2):
        aedat(tmp_path / "root" / "box" / f"{number}.aedat", events_at(STEADY, number))
    return tmp_path / "root"


def built(root, **options):
    out = root.parent / "frames.h5"
    folder = {name: options.pop(name) for name in ("window",) if name in options}
    text = str(build(Folder(root, sensor="128x128", **folder), out, **SMALL, **options))
    return FrameCache(out), text


def frames_of(cache, name):
    return cache[cache.sources.index(name)]


@pytest.mark.parametrize("write", [aedat, npz])
def test_a_clock_that_jumps_forward_does_not_put_a_recording_in_one_step(root, write):
    t = np.concatenate([np.zeros(40, np.int64), 3000 * SECOND + STEADY])
    write(root / "box" / f"jump.{write.__name__}", events_at(t))

    cache, text = built(root, slicing="time")

    name = f"box/jump.{write.__name__}"
    follows_on = events_at(np.concatenate([np.zeros(40, np.int64), 1 + STEADY]))
    np.testing.assert_allclose(
        frames_of(cache, name), rasterize(follows_on, steps=4, size=(12, 8), slicing="time"), atol=1e-6
    )
    at = cache.sources.index(name)
    assert (cache.num_events[at], cache.duration_us[at]) == (4040, STEADY[-1] + 1)
    assert (cache.num_forward, cache.num_resets, cache.num_dropped) == (1, 0, 0)
    assert cache.warnings == (
        (
            name,
            "its clock jumps forward, by 3000 s, at event 40: the stretches are used as if they followed on each other",
        ),
    )
    assert f"WARNING: {name}: its clock jumps forward, by 3000 s" in text
    assert "forward   1 places where a clock jumped forward" in text


def test_windows_begin_anew_where_the_clock_was_set(root):
    t = np.concatenate([np.zeros(40, np.int64), 2147 * SECOND + STEADY])
    aedat(root / "box" / "jump.aedat", events_at(t))

    cache, _ = built(root, window="300ms")

    assert [name for name in cache.sources if "jump" in name] == [
        "box/jump.aedat@2147000000us", "box/jump.aedat@2147300000us", "box/jump.aedat@2147600000us",
    ]  # fmt: skip
    assert cache.left_out == ()
    assert cache.num_forward == 1


def test_a_pause_in_which_nothing_moves_is_left_as_it_is(root):
    t = np.concatenate([STEADY, 21 * SECOND + STEADY])
    aedat(root / "box" / "pause.aedat", events_at(t))

    cache, _ = built(root, slicing="time")

    frames = frames_of(cache, "box/pause.aedat")
    assert (cache.num_forward, cache.warnings) == (0, ())
    assert [bool(frame.any()) for frame in frames] == [True, False, False, True]
    assert cache.duration_us.max() == 21 * SECOND + STEADY[-1]


def test_filters_begin_anew_where_the_clock_was_set(root):
    t = np.concatenate([np.zeros(40, np.int64), 3000 * SECOND + STEADY])
    aedat(root / "box" / "jump.aedat", events_at(t))

    cache, _ = built(root, filters=["crop:500ms-"])

    assert cache.num_events.tolist() == [2000, 2000, 2000]
    assert cache.num_filtered == 2000 + 2000 + 2040


def test_a_clock_set_back_does_not_cost_the_recording(root):
    npz(root / "box" / "back.npz", events_at(np.concatenate([100 * SECOND + STEADY, STEADY])))

    cache, text = built(root, slicing="time")

    follows_on = events_at(np.concatenate([STEADY, STEADY[-1] + 1 + STEADY]))
    np.testing.assert_allclose(
        frames_of(cache, "box/back.npz"), rasterize(follows_on, steps=4, size=(12, 8), slicing="time"), atol=1e-6
    )
    assert (cache.num_resets, cache.num_dropped, cache.left_out) == (1, 0, ())
    assert "set back  1 places where a clock was set back" in text
    assert "WARNING: box/back.npz: its clock was set back, at event 4000" in text


def test_bad_events_are_dropped_up_to_a_share(root):
    events = events_at(STEADY)
    events["x"][77] = 128  # one column too far
    events["t"][2000] -= 99_000
    npz(root / "box" / "bad.npz", events)

    cache, text = built(root, drop_bad=0.0005)
    good = np.delete(events, [77, 2000])
    np.testing.assert_allclose(frames_of(cache, "box/bad.npz"), rasterize(good, steps=4, size=(12, 8)), atol=1e-6)
    assert (cache.num_dropped, cache.left_out, cache.config["drop_bad"]) == (2, (), 0.0005)
    assert "dropped   2 bad events: outside the sensor, late, or damaged" in text

    cache, _ = built(root, drop_bad=0.0004)
    assert cache.num_dropped == 0
    ((name, reason),) = cache.left_out
    assert name == "box/bad.npz"
    assert reason.startswith("time runs backwards at event ")
    assert "2 of 4,000 events are bad, no more than 0.04 % may be (--drop-bad)" in reason


def test_strict_stops_at_any_bad_event(root):
    events = events_at(STEADY)
    events["x"][77] = 128
    npz(root / "box" / "bad.npz", events)

    with pytest.raises(RecordingError, match=r"event 77 at \(128, \d+\) lies outside the 128×128 sensor \(strict\)$"):
        built(root, strict=True)
    cache, _ = built(root)
    assert cache.num_dropped == 1
    with pytest.raises(RecordingError, match="lies outside"):  # what is there is not taken for an answer
        built(root, strict=True)


def test_a_strict_build_of_clean_recordings_answers_any_share(root):
    built(root, strict=True)

    assert "is up to date" in built(root)[1]


def test_the_unit_of_times_is_said_on_the_command_line(root, capsys):
    events = events_at(STEADY * 1000)
    npz(root / "box" / "ns.npz", events)
    out = root.parent / "frames.h5"
    command = ["folder", "--root", str(root), "--out", str(out), "--sensor", "128x128", "--workers", "1"]

    assert main(command) == 0
    said = "WARNING: box/ns.npz: times are taken for us, so that it lasts 999.75 s"
    assert said in capsys.readouterr().out
    assert main([*command, "--time-unit", "ns", "--drop-bad", "0.2%"]) == 0
    assert said not in capsys.readouterr().out
    cache = FrameCache(out)
    assert set(cache.duration_us.tolist()) == {STEADY[-1]}
    assert (cache.config["time_unit"], cache.config["drop_bad"]) == ("ns", 0.002)


@pytest.mark.parametrize("share", ["100%", "-1%", "half", "1"])
def test_a_share_that_is_none_is_refused(root, share, capsys):
    with pytest.raises(SystemExit):
        main(["folder", "--root", str(root), f"--drop-bad={share}"])
    assert "expected a share below 100%, such as 0.1% or 0.001" in capsys.readouterr().err


def trials_of(tmp_path, events, *trials):
    npz(tmp_path / "r.npz", events)
    source = Source(tmp_path / "r.npz", None, 0, "train", "r.npz", tuple(Trial(*trial) for trial in trials))
    return RecordingTask(source, FrameSettings(steps=2), (128, 128), None)


def test_labelled_parts_keep_the_clocks_own_times(tmp_path):
    events = events_at(np.concatenate([np.zeros(40, np.int64), 3000 * SECOND + STEADY]))
    task = trials_of(tmp_path, events, (1, 3000 * SECOND, 3000 * SECOND + 500_000), (0, SECOND, 2 * SECOND))

    made = task.samples()

    assert [(sample.label, sample.num_events) for sample in made.samples] == [(1, 2000)]
    assert made.left_out == (("r.npz@1000000us", "no events in this part"),)


def test_labelled_parts_of_a_clock_set_back_are_refused(tmp_path):
    events = events_at(np.concatenate([100 * SECOND + STEADY, STEADY]))

    with pytest.raises(RecordingError, match="set back at event 4000, so that the times of its labels can mean two"):
        trials_of(tmp_path, events, (1, 0, SECOND)).samples()


def test_pauses_can_be_cut_short(root):
    t = np.concatenate([STEADY, 21 * SECOND + STEADY])
    aedat(root / "box" / "pause.aedat", events_at(t))

    cache, _ = built(root, slicing="time", filters=["gap:250us"])

    follows_on = events_at(np.concatenate([STEADY, SECOND + STEADY]))
    expected = rasterize(follows_on, steps=4, size=(12, 8), slicing="time")
    np.testing.assert_allclose(frames_of(cache, "box/pause.aedat"), expected, atol=1e-6)
    assert cache.num_filtered == 0


def test_times_that_tell_samples_are_not_moved():
    listing = Listing(("a",), (Source(Path("r"), None, 0, "train", "r", (Trial(0, 0, 1),)),))

    with pytest.raises(ValueError, match="folder tells its samples by times of the recordings, which the filter gap"):
        _check(Folder(Path("root")), FrameSettings(filters=("gap:1s",)), listing, strict=False)


def test_empty_windows_in_a_row_are_one_line(root):
    aedat(root / "box" / "pause.aedat", events_at(np.concatenate([STEADY, 21 * SECOND + STEADY])))

    cache, _ = built(root, window="1ms")

    assert cache.left_out == (("box/pause.aedat@1000000us", "no events in this part and in the 19,999 behind it"),)


def test_a_recording_that_is_too_short_says_what_is_doubtful_about_it(root):
    npz(root / "box" / "ms.npz", events_at(STEADY // 1000))

    cache, _ = built(root, window="100ms")

    ((name, reason),) = cache.left_out
    assert name == "box/ms.npz"
    assert reason.startswith(
        "999 µs long, shorter than the window of 100000 µs; times are taken for us, so that it lasts"
    )
    assert reason.endswith("say so: --time-unit ms")
