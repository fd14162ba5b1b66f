"""One rule for a file and for a stream: the same events, bad ones among them, give the same answers."""

import json

import numpy as np
import pytest

from deploy.infer import main
from deploy.running.reorder import Order
from deploy.runtime import Classifier
from preprocessing.events import RecordingError, RecordingWarning, make_events
from tests.helpers.onnx_models import CONFIG, STEPS, logits_of, step_model

SECOND = 1_000_000
WINDOW_US = 60_000
STEADY = np.append(np.arange(4999) * 12, WINDOW_US - 1)  # 5000 events in the three slices of a window


def events_at(t, seed=0):
    rng = np.random.default_rng(seed)
    return make_events(t, *rng.integers(0, 128, (2, len(t))), rng.random(len(t)) < 0.5)


def save(path, events):
    np.savez(path, **{name: events[name] for name in "txyp"})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Its training data were cut into windows of 60 ms."""
    config = {**CONFIG, "window_us": WINDOW_US, "hop_us": WINDOW_US}
    return step_model(tmp_path_factory.mktemp("models") / "step.onnx", config)


def streamed(model, events):
    stream = Classifier(model).stream()
    updates = [*stream.feed(events), *stream.finish()]
    return stream, [update.logits for update in updates if update.step == STEPS]


def of_windows(model, path):
    """The logits of each window of a file."""
    return [logits_of(frames)[-1] for frames in Classifier(model).frames(path)]


def test_late_events_are_dropped_and_counted_alike(model, tmp_path):
    events = events_at(np.concatenate([STEADY, WINDOW_US + STEADY]))
    late = [4000, 7000, 7001]
    events["t"][late] -= 30_000
    events["t"][[500, 6000]] -= 9000  # these are put in order

    stream, live = streamed(model, events)
    classifier = Classifier(model)
    with pytest.warns(RecordingWarning, match="r.npz: 3 of 10,000 events are bad and were dropped"):
        read = classifier.read(save(tmp_path / "r.npz", events))

    assert (stream.num_late, stream.num_resets) == (read.num_dropped, len(read.resets)) == (3, 0)
    with pytest.warns(RecordingWarning):
        np.testing.assert_allclose(live, of_windows(model, tmp_path / "r.npz"), atol=1e-6)


def test_a_clock_set_back_begins_a_window_alike(model, tmp_path):
    events = events_at(np.concatenate([100 * SECOND + STEADY, 5 * SECOND + STEADY]))

    stream, live = streamed(model, events)
    with pytest.warns(RecordingWarning, match="its clock was set back, at event 5000"):
        of_file = of_windows(model, save(tmp_path / "r.npz", events))

    assert (stream.num_late, stream.num_resets) == (0, 1)
    assert len(of_file) == 2
    np.testing.assert_allclose(live, of_file, atol=1e-6)


def test_a_clock_that_jumps_forward_is_counted_alike(model, tmp_path):
    stale = np.zeros(40, np.int64)
    events = events_at(np.concatenate([stale, 600 * SECOND + STEADY]))  # 600 s is a multiple of the window

    stream, live = streamed(model, events)
    with pytest.warns(RecordingWarning, match="its clock jumps forward, by 600 s, at event 40"):
        of_file = of_windows(model, save(tmp_path / "r.npz", events))

    assert stream.num_forward == 1
    assert len(of_file) == 1
    np.testing.assert_allclose(live[1:], of_file, atol=1e-6)  # live, the stale events have a window of their own


def test_jumps_of_a_stream_do_not_depend_on_its_packets():
    t = np.concatenate([STEADY, 100 * SECOND + STEADY, 130 * SECOND + STEADY, 5000 * SECOND + STEADY])
    for num_packets in (1, 7, 500):
        order = Order()
        for packet in np.array_split(events_at(t), num_packets):
            list(order.feed(packet))
        assert order.num_forward == 2  # 30 s are a silence


def test_recordings_are_read_as_those_of_the_training_data(tmp_path):
    events = events_at(STEADY * 1000)  # ns
    events["x"][7] = 128
    path = save(tmp_path / "r.npz", events)
    said = step_model(tmp_path / "said.onnx", {**CONFIG, "time_unit": "ns", "drop_bad": 0.01})

    with pytest.warns(RecordingWarning, match="1 of 5,000 events are bad"):
        assert Classifier(said).read(path).duration_us == STEADY[-1]
    with pytest.raises(RecordingError, match="lies outside"):
        Classifier(said, drop_bad=0).read(path)
    with pytest.warns(RecordingWarning):
        assert Classifier(said, time_unit="us").read(path).duration_us == STEADY[-1] * 1000


def test_a_recording_as_a_stream_begins_anew_where_its_clock_was_set_back(model, tmp_path, capsys):
    half = STEADY[: len(STEADY) // 2]
    events = events_at(np.concatenate([100 * SECOND + half, 5 * SECOND + STEADY]))
    stream = Classifier(model).stream()
    live = [*stream.feed(events), *stream.finish()]

    assert main([str(model), str(save(tmp_path / "r.npz", events)), "--stream", "--json"]) == 0
    of_file = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(line["window"], line["step"], line["final"]) for line in of_file] == [
        (update.window, update.step, update.final) for update in live
    ]
    assert [(update.window, update.step) for update in live] == [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    for line, update in zip(of_file, live, strict=True):
        np.testing.assert_allclose([*line["probabilities"].values()], update.probabilities, atol=1e-6)


def test_what_is_doubtful_is_told_beside_the_answers(model, tmp_path, capsys):
    events = events_at(np.concatenate([STEADY, [WINDOW_US + 50]]))
    events["y"][9] = 128
    path = str(save(tmp_path / "r.npz", events))

    assert main([str(model), path, "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err == f"warning: {path}: 1 of 5,001 events are bad and were dropped\n"
    assert json.loads(printed.out)["recording"] == path
    assert main([str(model), path, "--drop-bad", "0"]) == 1
    assert "lies outside the 128×128 sensor" in capsys.readouterr().err
