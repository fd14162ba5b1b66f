import io
import json
import os
import re
import socket
import sys
import threading

import numpy as np
import pytest

import deploy.infer
import deploy.runtime
from deploy.infer import classify, main
from deploy.running.session import Session
from deploy.running.sources import AddressDecoder
from preprocessing import read_recording
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from preprocessing.writers import WRITERS, aedat4
from tests.helpers import cameras
from tests.helpers.onnx_models import CONFIG, step_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(step_model(tmp_path_factory.mktemp("models") / "step.onnx"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """60 ms: three slices of 20 ms."""
    generator = np.random.default_rng(0)
    t = np.sort(generator.integers(0, 60_000, 300))
    t[[0, -1]] = 0, 59_999
    events = make_events(
        t, generator.integers(0, 128, 300), generator.integers(0, 128, 300), generator.random(300) < 0.5
    )
    path = tmp_path_factory.mktemp("recordings") / "sixty.aedat"
    path.write_bytes(aedat2.encode(events))
    return path


def answers(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_recordings_are_classified_several_at_a_time_and_bad_ones_named(model, recording, tmp_path, capsys):
    bad = tmp_path / "bad.aedat"
    bad.write_bytes(b"")
    several = [str(recording)] * 5 + [str(bad)] + [str(recording)] * 6
    assert main([model, *several, "--json", "--threads", "1"]) == 1
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert len(lines) == 11
    assert len({line["probability"] for line in lines}) == 1
    assert lines[0]["probabilities"].keys() == {"left", "right"}
    assert printed.err.count("error: ") == 1
    assert "bad.aedat" in printed.err
    assert main([model, str(recording)]) == 0
    assert f"{recording}: {lines[0]['label']}" in capsys.readouterr().out


def test_windows_that_were_averaged_are_told(recording, tmp_path, capsys):
    cut = str(step_model(tmp_path / "cut.onnx", {**CONFIG, "window_us": 20_000, "hop_us": 20_000}))
    assert main([cut, str(recording)]) == 0
    assert capsys.readouterr().out.endswith(" ms  mean of 3 windows\n")
    assert main([cut, str(recording), "--json"]) == 0
    (answer,) = answers(capsys)
    assert answer["windows"] == 3


def test_each_recording_has_its_own_time(model, recording, tmp_path, monkeypatch):
    """Reading takes 1 s, of the second 5 s; running three windows together takes 3 s."""
    clock, slow = [0.0], tmp_path / "slow.aedat"
    slow.write_bytes(recording.read_bytes())
    read, run = deploy.runtime.read_recording, Session.logits

    def read_slowly(path, sensor, how):
        clock[0] += 5 if path == slow else 1
        return read(path, sensor, how)

    def run_slowly(self, frames):
        clock[0] += len(frames)
        return run(self, frames)

    monkeypatch.setattr(deploy.runtime, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(deploy.runtime, "read_recording", read_slowly)
    monkeypatch.setattr(Session, "logits", run_slowly)
    times = [each.milliseconds for each in classify(deploy.runtime.Classifier(model), [recording, slow, recording])]
    assert times == [2000, 6000, 2000]


def test_a_recording_as_a_stream_ends_with_the_answer_for_the_whole(model, recording, capsys):
    assert main([model, str(recording), "--json"]) == 0
    (whole,) = answers(capsys)
    assert main([model, str(recording), "--stream", "--json"]) == 0
    live = answers(capsys)
    assert [(line["step"], line["final"], line["stop_us"]) for line in live] == [
        (1, False, 20_000), (2, False, 40_000), (3, True, 60_000),
    ]  # fmt: skip
    assert live[-1]["probabilities"] == pytest.approx(whole["probabilities"], abs=1e-6)
    assert main([model, str(recording), "--stream", "--slice", "events:100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "step 3/3" in lines[-1]
    assert lines[-1].endswith("100 events  final")


def test_a_stream_can_tell_less_and_from_its_beginning(model, recording, tmp_path, capsys):
    read = read_recording(recording)
    events = read.events.copy()
    events["t"] += 7_000_000
    late = tmp_path / "late.aedat"
    late.write_bytes(aedat2.encode(events))
    assert main([model, str(late), "--stream", "--json", "--final", "--since-start"]) == 0
    (only,) = answers(capsys)
    assert (only["final"], only["begin_us"], only["start_us"], only["stop_us"]) == (True, 7_000_000, 40_000, 60_000)
    assert main([model, str(late), "--stream", "--since-start"]) == 0
    assert capsys.readouterr().out.startswith("0.020 s  window 1 step 1/3")
    assert main([model, str(late), "--stream", "--json", "--every", "1", "--smooth", "2", "--final"]) == 0
    assert [each["stop_us"] for each in answers(capsys)] == [7_060_000]


@pytest.mark.parametrize("option", [["--final"], ["--since-start"], ["--every", "2"], ["--smooth", "2"]])
def test_what_is_for_streams_needs_one(option, model, recording, capsys):
    assert main([model, str(recording), *option]) == 1
    assert capsys.readouterr().err == f"error: {option[0]} is for streams; add --stream\n"


def test_events_on_standard_input(model, recording, capsys, monkeypatch):
    reading, writing = os.pipe()
    os.write(writing, recording.read_bytes())
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
        assert main([model, "--stream", "-", "--json"]) == 0
        printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == "-: 300 events; the input ended\n"


def test_events_over_udp(model, recording, capsys):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = threading.Event()
    sender = threading.Thread(target=send, args=(recording.read_bytes()[-2400:], port, done))
    sender.start()
    try:
        assert main([model, "--stream", f"udp://127.0.0.1:{port}", "--idle", "0.5", "--json"]) == 0
    finally:
        done.set()
        sender.join(timeout=5)
    printed = capsys.readouterr()
    assert [json.loads(line)["step"] for line in printed.out.splitlines()] == [1, 2, 3]
    assert "300 events" in printed.err


def send(records, port, done):
    """The records in six numbered datagrams, as soon as somebody receives them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        while not done.wait(0.02):  # until then, the machine says that nobody is there
            try:
                sender.send(b"\0")
                sender.send(b"\0")
            except ConnectionRefusedError:
                continue
            break
        for number in range(6):
            sender.send(number.to_bytes(4, "big") + records[number * 400 : (number + 1) * 400])


def test_a_file_that_no_longer_grows_ends_the_stream(model, recording, capsys):
    assert main([model, "--stream", str(recording), "--idle", "0.05", "--json"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == f"{recording}: 300 events; it has not grown for 0.05 s\n"


@pytest.mark.parametrize("how", ["cut", "removed"])
def test_a_followed_file_that_is_no_more_what_it_was_is_told(model, recording, tmp_path, capsys, monkeypatch, how):
    """What came before is answered all the same."""
    path = tmp_path / "followed.aedat"
    path.write_bytes(recording.read_bytes())
    does = {"cut": lambda: os.truncate(path, 100), "removed": path.unlink}[how]
    decode = AddressDecoder.decode

    def decode_then(self, records):
        does()
        return decode(self, records)

    monkeypatch.setattr(AddressDecoder, "decode", decode_then)
    assert main([model, "--stream", str(path), "--idle", "5", "--json"]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    said = {
        "cut": r"the file was cut to 100 bytes after \d+ had been read",
        "removed": "the file was removed or replaced",
    }
    assert re.match(rf"error: {path}: {said[how]}", printed.err)


def test_the_end_of_a_recording_is_told(model, recording, capsys):
    assert main([model, "--stream", str(recording)]) == 0
    assert capsys.readouterr().err == f"{recording}: 300 events; the recording ended\n"


def test_ctrl_c_ends_a_stream_with_its_answers(model, recording, capsys, monkeypatch):
    def interrupted(recording):
        yield recording.events[:200]
        raise KeyboardInterrupt

    monkeypatch.setattr(deploy.infer, "_packets_of", interrupted)
    assert main([model, "--stream", str(recording), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["final"]
    assert printed.err.endswith("events; Ctrl-C ended it\n")


def test_ctrl_c_ends_a_classification_in_one_line(model, recording, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "logits", interrupted)
    assert main([model, str(recording)]) == 130
    assert capsys.readouterr().err == "interrupted: what is printed above is whole\n"


@pytest.mark.parametrize("idle", ["nan", "inf", "1e30", "-1", "0", "0.0", "604801", "1e-3", ""])
def test_a_time_to_wait_is_a_number_of_seconds(model, idle, capsys):
    with pytest.raises(SystemExit):
        main([model, "--stream", "-", f"--idle={idle}"])
    assert f"expected seconds above 0 and up to 604800, such as 0.5, got {idle!r}" in capsys.readouterr().err


@pytest.mark.parametrize("threads", ["0", "1025", "99999999999999999999", "-1", "nan", "1e3"])
def test_threads_are_some(model, threads, capsys):
    with pytest.raises(SystemExit):
        main([model, "--stream", "-", f"--threads={threads}"])
    assert f"expected a whole number from 1 to 1,024, got {threads!r}" in capsys.readouterr().err


@pytest.mark.parametrize("source", ["udp://127.0.0.1:8991", "tcp://127.0.0.1:7777", "camera:", "camera:S1", "-"])
def test_live_sources_need_to_be_streamed(model, source, capsys):
    assert main([model, source]) == 1
    assert capsys.readouterr().err == f"error: {source} is a live source; add --stream\n"


def test_streams_that_cannot_be(model, recording, exported, tmp_path, capsys):
    count = str(step_model(tmp_path / "count.onnx", {**CONFIG, "slicing": "count"}))
    for arguments, message in (
        ([str(exported), str(recording)], "--format onnx-step"),
        ([count, str(recording)], "say how long a slice is"),
        ([model, str(recording), "--slice", "soon"], "unknown slicing 'soon'; choose count, time,"),
        ([model, str(recording), "--slice", f"{10**30}s"], "a slice is at most 1,000,000,000,000 µs or events, got"),
        ([model, str(tmp_path / "none.aedat")], "none.aedat"),
        ([model, "udp://127.0.0.1"], "write host and port"),
    ):
        assert main([*arguments, "--stream"]) == 1
        assert message in capsys.readouterr().err


def test_a_provider_that_is_not_there_is_named(model, recording, capsys):
    assert main([model, str(recording), "--provider", "AbacusExecutionProvider"]) == 1
    assert "CPUExecutionProvider here, got AbacusExecutionProvider" in capsys.readouterr().err


def plugged_in(monkeypatch, recording, **how):
    """A camera that sends the recording in three packets."""
    events = read_recording(recording).events
    packets = [cameras.packet(part) for part in np.array_split(events, 3)]
    device = cameras.Device(cameras.Name.INIVATION_DVXPLORER, packets, sensor=(128, 128), **how)
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", cameras.library({"S1": device}))
    return device


@pytest.mark.parametrize("source", ["camera:", "camera:S1"])
def test_events_of_a_camera(model, recording, capsys, monkeypatch, source):
    device = plugged_in(monkeypatch, recording)
    assert main([model, "--stream", source, "--idle", "0.05", "--json"]) == 0
    live = capsys.readouterr()
    assert live.err == f"{source}: 300 events; no event came for 0.05 s\n"
    assert not device.is_open
    assert main([model, "--stream", str(recording), "--json"]) == 0
    read = answers(capsys)
    assert [dict(json.loads(line), source=None) for line in live.out.splitlines()] == [
        dict(line, source=None) for line in read
    ]


def test_a_camera_unplugged_in_the_middle_ends_with_what_was_classified(model, recording, capsys, monkeypatch):
    device = plugged_in(monkeypatch, recording, unplugged=True)
    device.packets.pop()  # the last third of the recording
    assert main([model, "--stream", "camera:", "--json"]) == 1
    printed = capsys.readouterr()
    last = json.loads(printed.out.splitlines()[-1])
    assert last["final"]
    assert printed.err == (
        f"error: camera:: the camera was lost ({cameras.UNPLUGGED}): is it still plugged in?; before that 200 events; "
        "the answers above stand\n"
    )
    assert not device.is_open


def test_a_camera_that_is_not_there(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", cameras.library({}))
    assert main([model, "--stream", "camera:"]) == 1
    assert capsys.readouterr().err == "error: cannot open a camera (no device found); none is connected\n"


@pytest.mark.parametrize("name", ["evt2", "evt3", "aedat4"])
def test_other_formats_on_standard_input(model, recording, capsys, monkeypatch, name):
    events = read_recording(recording).events
    reading, writing = os.pipe()
    os.write(writing, b"".join(WRITERS[name].encode(events, (128, 128))))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(pipe))
        assert main([model, "--stream", "-", "--json"]) == 0
        printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err == "-: 300 events; the input ended\n"


def test_events_over_tcp(model, recording, capsys):
    """As dv-processing sends them."""
    data = aedat4.header((128, 128)) + aedat4.packet(read_recording(recording).events)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.sendall(data)

        sender = threading.Thread(target=serve)
        sender.start()
        source = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        try:
            assert main([model, "--stream", source, "--idle", "10", "--json"]) == 0
        finally:
            sender.join(timeout=10)
    printed = capsys.readouterr()
    assert [json.loads(line)["step"] for line in printed.out.splitlines()] == [1, 2, 3]
    assert printed.err == f"{source}: 300 events; the server closed the connection\n"


def test_a_checkpoint_and_a_folder_are_answered_with_the_export(run, recording, tmp_path, capsys):
    checkpoint = tmp_path / "my best.pt"
    checkpoint.write_bytes((run / "best.pt").read_bytes())
    assert main([str(checkpoint), str(recording)]) == 1
    told = f"if it is a checkpoint: export one with python -m deploy.export '{checkpoint}'\n"
    assert capsys.readouterr().err == f"error: {checkpoint} is no exported model; {told}"
    assert main([str(tmp_path), str(recording)]) == 1
    assert capsys.readouterr().err.startswith(f"error: no model at {tmp_path}, a folder; ")
