import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from preprocessing.build import build
from preprocessing.datasets.recordings.folder import Folder
from preprocessing.events import make_events
from preprocessing.inspect import main
from preprocessing.readers import aedat2, read_recording


@pytest.fixture
def path(recordings):
    return recordings / "train" / "left" / "0.aedat"


@pytest.fixture
def bad(tmp_path):
    file = tmp_path / "page.raw"
    file.write_bytes(b"<!DOCTYPE html><title>404</title>")
    return file


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


def lines(text):
    """First words of the lines → the rest of them."""
    return {line[2:].partition("  ")[0]: line[2:].partition("  ")[2].strip() for line in text.splitlines()[1:]}


def test_everything_about_a_recording(path, capsys):
    code, text = run(capsys, path)

    told = lines(text)
    assert code == 0
    assert text.splitlines()[0] == str(path)
    assert (told["format"], told["sensor"], told["events"]) == ("aedat2", "128×128, as the file says", "600")
    assert told["rate"].startswith("6.0")
    assert told["frames"].startswith("16 × 2 × 48 × 48 by bilinear, ")
    assert "would use all" not in told["frames"]


def test_a_guess_is_shown_as_one_until_the_sensor_is_stated(path, tmp_path, capsys):
    events = read_recording(path).events
    np.savez(tmp_path / "r.npz", **{name: events[name] for name in "txyp"})
    guessed = "GUESSED from its events: the smallest usual one that holds all; state it with --sensor WxH"

    _, text = run(capsys, tmp_path / "r.npz")
    assert lines(text)["sensor"] == f"128×128, {guessed}"
    _, text = run(capsys, tmp_path / "r.npz", path)
    assert [line.split()[2] for line in text.splitlines()[1:]] == ["128×128?", "128×128"]
    _, text = run(capsys, tmp_path / "r.npz", "--sensor", "346x260")
    assert lines(text)["sensor"] == "346×260, as asked for"


def test_what_looks_like_no_camera_is_warned_of(tmp_path, capsys):
    n = np.arange(2000)
    np.savez(tmp_path / "r.npz", t=500 * n, x=1 + n % 34, y=1 + n // 34 % 34, p=n * 0)

    code, text = run(capsys, tmp_path / "r.npz")

    assert code == 0
    assert [line.partition(": ")[2] for line in text.splitlines() if line.startswith("WARNING")] == [
        "x and y run from 1 to the 34 and 34 px of a usual sensor: they may be counted from 1; write them from 0",
        "this looks like no camera's recording: all of its 2,000 events are OFF",
    ]


def test_large_reductions_are_warned_of(path, capsys):
    _, text = run(capsys, path, "--size", "8")
    assert lines(text)["frames"].endswith("--resize area would use all")

    _, text = run(capsys, path, "--size", "8", "--resize", "area")
    assert lines(text)["frames"] == "16 × 2 × 8 × 8 by area, 100.0% of the events feed them"


def test_filters_are_applied_in_order(path, capsys):
    _, text = run(capsys, path, "--filter", "crop:-50ms", "--filter", "noise:1ms", "--json")

    [facts] = json.loads(text)
    (first, num_cropped), (second, num_left) = facts["filtered"]
    assert (first, second) == ("crop:-50ms", "noise:1ms")
    assert 600 > num_cropped > num_left


def test_several_are_a_line_each_and_what_is_unreadable_says_why(path, bad, cache_path, capsys):
    code, text = run(capsys, path, bad, cache_path)

    head, recording, unreadable, cache = text.splitlines()
    assert code == 1
    assert head.split()[:4] == ["format", "sensor", "events", "span"]
    assert recording.split()[:4] == [str(path), "aedat2", "128×128", "600"]
    assert unreadable.startswith(f"{bad}  ")
    assert "UNREADABLE: " in unreadable
    assert cache.endswith("frame cache: 40 samples of 2 classes")


def test_what_cannot_be_read_is_told_by_its_first_bytes(bad, capsys):
    code, text = run(capsys, bad)

    assert code == 1
    assert lines(text)["the file"] == "is a web page, as a failed download leaves it (starts with b'<!DOCTYPE html><')"


def test_missing_and_unknown_files_are_unreadable(tmp_path, capsys):
    (tmp_path / "notes.md").write_bytes(b"hello")

    code, text = run(capsys, tmp_path / "none.aedat", tmp_path / "notes.md", "--json")

    missing, unknown = json.loads(text)
    assert code == 1
    assert missing["kind"] == unknown["kind"] == "unreadable"
    assert missing["error"].startswith("no such file")
    assert "no reader for '.md'" in unknown["error"]
    assert (missing["signature"], unknown["signature"]) == ("", "starts with b'hello'")


def test_everything_about_a_cache(cache_path, capsys):
    code, text = run(capsys, cache_path)

    told = lines(text)
    assert code == 0
    assert told["frames"] == "3 × 2 × 16 × 16, value = stored × 0.25"
    assert told["steps"] == "equal numbers of events each"
    assert told["bins"] == "count, from 128×128 by bilinear"
    assert told["recordings"].startswith("40 of ")
    assert told["events"].startswith("600 to 600, median 600")
    assert text.splitlines()[-3].split() == ["left", "16", "4"]


def test_all_that_a_build_left_out_is_listed(tmp_path, capsys):
    events = make_events(np.arange(50), *np.zeros((2, 50), int), np.ones(50, bool))
    (tmp_path / "data" / "box").mkdir(parents=True)
    for i in range(12):
        (tmp_path / "data" / "box" / f"{i}.aedat").write_bytes(b"")
    for i in range(12, 16):
        (tmp_path / "data" / "box" / f"{i}.aedat").write_bytes(aedat2.encode(events))
    build(Folder(tmp_path / "data", test_fraction=0.5), tmp_path / "cache.h5", workers=1)

    _, text = run(capsys, tmp_path / "cache.h5")

    assert lines(text)["left out"] == "12"
    assert all(f"box/{i}.aedat: the file is empty" in text for i in range(12))


def test_a_sample_of_a_cache(cache_path, tmp_path, capsys):
    code, text = run(capsys, cache_path, "--sample", 17, "--picture", tmp_path / "sample.png")

    told = lines(text)
    assert code == 0
    assert text.splitlines()[0] == f"{cache_path}, sample 17"
    assert (told["class"], told["split"], told["events"]) in [("left", "train", "600"), ("right", "train", "600")]
    assert imread(tmp_path / "sample.png").shape[1] > 1000


def test_a_picture_shows_on_blue_and_off_orange(path, tmp_path, capsys):
    code, _ = run(capsys, path, "--picture", tmp_path / "out.png", "--slicing", "time", "--filter", "crop:-50ms")

    image = (imread(tmp_path / "out.png")[..., :3] * 255).round().astype(int)
    assert code == 0
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (image == colour).all(axis=-1).sum() > 100


@pytest.mark.parametrize("kind", ["picture", "gif"])
def test_where_a_picture_is_is_said(path, kind, tmp_path, capsys):
    out = tmp_path / f"out.{'png' if kind == 'picture' else 'gif'}"
    assert main([str(path), f"--{kind}", str(out), "--steps", "2"]) == 0
    assert capsys.readouterr().out.endswith(f"drawn: {out}\n")
    assert main([str(path), f"--{kind}", str(out), "--steps", "2", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)[0]["num_events"] == 600
    assert printed.err.endswith(f"drawn: {out}\n")


def test_a_picture_that_fails_in_an_unknown_way_is_an_error_after_the_facts(path, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise RuntimeError("no font")

    monkeypatch.setattr("preprocessing.inspection.plots.draw_recording", fail)
    assert main([str(path), "--picture", str(tmp_path / "out.png")]) == 1
    printed = capsys.readouterr()
    assert lines(printed.out)["events"] == "600"
    assert printed.err == f"error: {tmp_path / 'out.png'} could not be drawn: no font\n"


def test_a_picture_of_a_cache_has_a_row_for_each_class(cache_path, tmp_path, capsys):
    code, _ = run(capsys, cache_path, "--picture", tmp_path / "out.png")

    assert code == 0
    assert imread(tmp_path / "out.png").shape[1] > 1000


def test_an_animation_has_an_image_for_each_step(path, tmp_path, capsys):
    code, _ = run(capsys, path, "--gif", tmp_path / "out.gif", "--steps", 5)

    with Image.open(tmp_path / "out.gif") as image:
        assert (code, image.n_frames) == (0, 5)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--sample", "1"], "--sample is for frame caches"),
        (["--filter", "blur:1ms"], "no filter is named 'blur'"),
        (["--slicing", "weekly"], "unknown slicing 'weekly'"),
        (["--sensor", "128,128"], "64x48"),
        (["again.aedat", "--picture", "out.png"], "--picture takes one PATH, got 2"),
    ],
)
def test_wrong_usage(path, options, why, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(path), *options])
    assert caught.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"), [(["--gif", "out.gif"], "--gif is for recordings"), (["--sample", "40"], "from 0 to 39")]
)
def test_wrong_usage_with_a_cache(cache_path, options, why, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(cache_path), *options])
    assert caught.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--picture", "{}/out.doc"], "Format 'doc' is not supported"),
        (["--picture", "{}/none/out.png"], "No such file or directory"),
        (["--picture", "{}/out.png", "--filter", "crop:1s-"], "no event passes crop:1s-; nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(path, options, why, tmp_path, capsys):
    code = main([str(path), *(option.format(tmp_path) for option in options)])

    assert code == 1
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_every_real_recording_can_be_inspected(shared_data, capsys):
    files = sorted((shared_data / "formats").iterdir())

    code, text = run(capsys, *files)

    assert code == 0, text
    assert len(text.splitlines()) == 1 + len(files)


def test_matplotlib_is_left_alone_without_a_picture(path):
    code = (
        f"import sys; from preprocessing.inspect import main; main([{str(path)!r}]); print('matplotlib' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.splitlines()[-1] == "False"


def doubtful(path, t, sensor=(4, 3), **more):
    """Events at odd times, of which nothing but the times is odd."""
    n = np.arange(len(t))
    np.savez(path, t=t, **{"x": 7 * n % sensor[0], "y": 5 * n // 3 % sensor[1], "p": n % 2, **more})
    return path


def test_jumps_of_the_clock_are_told_and_do_not_count_as_time(tmp_path, capsys):
    steady = np.arange(0, 1_000_000, 500)
    path = doubtful(tmp_path / "jump.npz", np.concatenate([np.zeros(40, int), 3_000_000_000 + steady]))

    _, text = run(capsys, path, "--sensor", "4x3")
    told = lines(text)
    assert told["span"] == "999.5 ms"
    assert told["rate"].startswith("2.04 k events/s")
    assert told["clock"] == "set back 0 times, jumped forward 1 times"
    assert text.splitlines()[-1].startswith("WARNING: its clock jumps forward, by 3000 s, at event 40")

    _, text = run(capsys, path, path, "--sensor", "4x3")
    assert sum(line.startswith(f"WARNING: {path}: its clock jumps forward") for line in text.splitlines()) == 2


def test_units_and_bad_events_are_told_and_can_be_said(tmp_path, capsys):
    t = np.arange(0, 1_000_000_000, 500_000)  # ns
    path = doubtful(tmp_path / "ns.npz", t, (100, 80))
    x = 7 * np.arange(len(t)) % 100
    x[5] = 190
    doubtful(tmp_path / "bad.npz", t, (100, 80), x=x)

    _, text = run(capsys, path, "--sensor", "100x80", "--json")
    (warning,) = json.loads(text)[0]["warnings"]
    assert warning.startswith("times are taken for us, so that it lasts 999.5 s with 2 events/s")
    _, text = run(capsys, path, "--sensor", "100x80", "--time-unit", "ns", "--json")
    assert (json.loads(text)[0]["warnings"], json.loads(text)[0]["duration_us"]) == ([], 999_500)

    _, text = run(capsys, tmp_path / "bad.npz", "--sensor", "100x80", "--time-unit", "ns")
    assert lines(text)["dropped"] == "1 bad events: outside the sensor, late, or damaged"
    code, text = run(capsys, tmp_path / "bad.npz", "--sensor", "100x80", "--drop-bad", "0")
    assert code == 1
    assert "event 5 at (190, 8) lies outside the 100×80 sensor" in text
