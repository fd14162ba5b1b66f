import json
import re

import numpy as np
import pytest

from deploy.bench import Timing, fastest, main
from deploy.export import export
from deploy.measuring.contenders import EXPORTED, Contender, made_up_frames
from deploy.measuring.starts import imports_alone
from deploy.running.session import softmax
from deploy.runtime import Classifier
from preprocessing.events import make_events
from preprocessing.readers import aedat2
from tests.helpers.onnx_models import step_model


def test_an_exported_model_alone(tmp_path, capsys):
    model = step_model(tmp_path / "step.onnx")
    assert main([str(model), "--batch", "1", "3", "--repeats", "2", "--json", str(tmp_path / "bench.json")]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"1 thread, batch 1 .*\n  onnxruntime, 1 of 3 steps +100\.0%", printed)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [(row["batch"], row["threads"], row["steps"]) for row in written["timings"]] == [(1, 1, 1), (3, 1, 1)]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] and row["ratio"] == 1 for row in written["timings"])
    assert re.search(r"cores, Python 3\.\d.*, onnxruntime \d", written["machine"])


def test_the_other_process_runs_the_same_model_on_the_same_frames(tmp_path):
    model = step_model(tmp_path / "step.onnx")
    contender = Contender(EXPORTED, model, threads=1)
    try:
        logits = contender.logits(5, batch=2)
        assert contender.seconds(batch=2) > 0
    finally:
        contender.close()
    expected = Classifier(model).predict(made_up_frames(5, (3, 2, 4, 4)))
    np.testing.assert_allclose(softmax(logits), expected, atol=1e-6)


def test_against_the_checkpoint(exported, run, capsys):
    checkpoint = ["--checkpoint", str(run / "best.pt"), "--against", "eager", "--repeats", "1", "--batch", "2"]
    assert main([str(exported), *checkpoint]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["eager", "onnxruntime"]
    assert lines[1].endswith("1.00×")


def test_against_weights_of_the_zoo(tmp_path, capsys):
    model, _ = export("zoo:digits-lif", out=tmp_path / "digits.onnx")
    once = ["--against", "eager", "--repeats", "1", "--batch", "1"]
    assert main([str(model), "--checkpoint", "zoo:digits-lif", *once]) == 0
    assert re.search(r"eager +100\.0%", capsys.readouterr().out)
    assert main([str(model), "--checkpoint", "zoo:none", *once]) == 1
    assert "the zoo has no weights 'none'; it has digits-glif" in capsys.readouterr().err


def test_a_fresh_process_from_its_start_to_a_class(tmp_path, capsys):
    model, recording = step_model(tmp_path / "step.onnx"), tmp_path / "sixty.aedat"
    t = np.linspace(0, 59_999, 300).astype(np.int64)
    recording.write_bytes(aedat2.encode(make_events(t, t % 128, t % 127, t % 2 == 0)))
    figures = tmp_path / "bench.json"
    asked = ["--repeats", "1", "--batch", "1", "--json", str(figures)]
    assert main([str(model), "--start", str(recording), *asked]) == 0
    row = r"start to first class, 1 thread .*\n  onnxruntime +\d+\.\d\d +\d+\.\d\d +\d+\n"
    assert re.search(row, capsys.readouterr().out)
    (start,) = json.loads(figures.read_text())["starts"]
    assert (start["name"], start["threads"]) == ("onnxruntime", 1)
    assert start["wall_s"] > 0
    assert start["processor_s"] > 0
    assert start["peak_mb"] > imports_alone().peak_mb / 2 > 1


def test_a_recording_that_is_none_ends_in_a_line(tmp_path, capsys):
    model = step_model(tmp_path / "step.onnx")
    asked = [str(model), "--repeats", "1", "--batch", "1", "--start"]
    assert main([*asked, str(tmp_path / "none.aedat")]) == 1
    assert "no recording at" in capsys.readouterr().err
    (tmp_path / "text.aedat").write_text("hello")
    assert main([*asked, str(tmp_path / "text.aedat")]) == 1
    assert re.search(r"error: onnxruntime: /.*text\.aedat.* of a record", capsys.readouterr().err)


def timing(name, p50_ms, batch=1, steps=16):
    return Timing(name, 1, batch, 1.0, steps, 16, p50_ms, p50_ms, 1.0, 1.0)


def test_the_fastest_is_named():
    assert fastest([timing("eager", 2), timing("onnxruntime", 3)]) == "fastest here: eager"
    by_batch = [timing("eager", 2), timing("events", 3), timing("eager", 9, batch=8), timing("events", 8, batch=8)]
    assert fastest(by_batch) == "fastest here: eager with 1 thread, batch 1; events with 1 thread, batch 8"
    assert fastest([timing("onnxruntime", 3)]) == ""
    assert fastest([timing("eager", 2), timing("onnxruntime", 1, steps=1)]) == ""  # one step of sixteen


def test_files_that_are_missing_or_no_models_are_named(tmp_path, capsys):
    model = step_model(tmp_path / "step.onnx")
    (tmp_path / "text.onnx").write_text("hello")
    for arguments, message in (
        ([tmp_path / "none.onnx"], "no file at"),
        ([model, "--checkpoint", tmp_path / "none.pt"], "none.pt; train one with"),
        ([model, "--checkpoint", "zoo:none"], "the zoo has no weights 'none'; it has digits-glif"),
        ([tmp_path / "text.onnx"], "onnxruntime: ValueError"),
    ):
        assert main([*map(str, arguments), "--repeats", "1"]) == 1
        assert message in capsys.readouterr().err


class NoCompiler:
    """Stands in for a ``Contender``."""

    shape, of_steps = (3, 2, 4, 4), (3, 3)

    def __init__(self, name, *_):
        if name == "torch.compile":
            raise ValueError("torch.compile: no compiler was found")
        self.name = name

    def logits(self, num_samples, _):
        return np.tile(np.float32([[0, 1]]), (num_samples, 1))

    def seconds(self, batch):
        return 0.001 * batch * (2 if self.name == "eager" else 1)

    def close(self):
        pass


def test_what_cannot_run_is_left_out_and_the_others_compared(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("deploy.bench.Contender", NoCompiler)
    for name in ("model.onnx", "best.pt"):
        (tmp_path / name).touch()
    assert main([str(tmp_path / "model.onnx"), "--checkpoint", str(tmp_path / "best.pt"), "--threads", "1", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "left out: torch.compile: no compiler was found\n" * 2
    rows = [line.split() for line in printed.out.splitlines() if "100.0%" in line]
    assert [(row[0], row[-1]) for row in rows] == [
        ("eager", "1.00×"),
        ("torchscript", "0.50×"),
        ("onnxruntime", "0.50×"),
    ] * 4
    assert [float(row[-2]) for row in rows[:3]] == [500, 1000, 1000]


def test_a_checkpoint_of_another_network_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("deploy.bench.Contender", NoCompiler)
    monkeypatch.setattr(NoCompiler, "shape", property(lambda self: (3 + (self.name == "eager"), 2, 4, 4)))
    for name in ("model.onnx", "best.pt"):
        (tmp_path / name).touch()
    assert main([str(tmp_path / "model.onnx"), "--checkpoint", str(tmp_path / "best.pt")]) == 1
    assert "= [4, 2, 4, 4], the exported model [3, 2, 4, 4]; give the checkpoint" in capsys.readouterr().err


def test_answers_that_disagree_fail(tmp_path, capsys, monkeypatch):
    model = step_model(tmp_path / "step.onnx")
    monkeypatch.setattr("deploy.bench.AGREEMENT", 1.1)
    assert main([str(model), "--repeats", "1", "--batch", "1"]) == 1
    assert "onnxruntime disagree on more than" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [["--threads", "0"], ["--batch", "none"], ["--against", "abacus"], ["--batch", "4097"], ["--repeats", "9" * 9]],
)
def test_options_that_cannot_be(option, capsys):
    with pytest.raises(SystemExit):
        main(["model.onnx", *option])
    assert option[0] in capsys.readouterr().err


def test_a_report_goes_into_a_file(tmp_path, capsys):
    model = step_model(tmp_path / "step.onnx")
    assert main([str(model), "--json", str(tmp_path)]) == 1
    assert f"{tmp_path} is a folder; name the file to write" in capsys.readouterr().err


def test_ctrl_c_ends_it_in_one_line(tmp_path, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.bench.print_timings", interrupted)
    assert main([str(step_model(tmp_path / "step.onnx"))]) == 130
    assert capsys.readouterr().err == "interrupted: no figures were written\n"
