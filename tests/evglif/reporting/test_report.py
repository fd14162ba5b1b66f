"""The page of a run says what its files say, and nothing that is only a name runs in it."""

import csv
import html
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from evglif import report
from evglif.checkpoint import save_checkpoint
from evglif.reporting import read_run, render
from evglif.reporting.words import protocol
from preprocessing import own_code
from preprocessing.cache import FrameCache
from tests.evglif.reporting.conftest import HOSTILE
from tests.helpers import ROOT
from tests.helpers.checkpoints import lively


def plain(page):
    """What a page says, without what it is made of."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).replace("\xa0", " ").split())


def test_training_writes_the_page_of_its_run(run):
    results = json.loads((run / "results.json").read_text())
    said = plain((run / "report.html").read_text())
    test = results["best"]["test"]
    low, high = test["accuracy_interval_95"]
    assert f"Of 8 test samples the network classifies {100 * test['accuracy']:.1f} % right" in said
    assert f"with the weights of epoch {results['best']['epoch']} of 10" in said
    assert f"The 95 % interval runs from {100 * low:.1f} % to {100 * high:.1f} %" in said
    assert "Chance is 50.0 %" in said
    assert f"The last epoch, 10, reaches {100 * results['last']['test']['accuracy']:.1f} %" in said
    assert "A sample of each class" in said


def test_the_page_holds_samples_charts_and_commands(run):
    page = (run / "report.html").read_text()
    for alone in re.findall(r'<img class="strip" src="([^"]*)"', page):
        assert alone.startswith("data:image/png;base64,")
    captions = [
        "Loss by epoch",
        "Accuracy by epoch",
        "Learning rate",
        "Confusion:",
        "Accuracy of a decision",
        "Calibration:",
    ]
    captions += ["Spikes per neuron and step", "Spikes per neuron at each", "Gate from linear"]
    for caption in captions:
        assert f"<figcaption>{caption}" in page
    assert len(re.findall("<svg", page)) >= len(captions)
    assert "features.0.neuron" in page


def test_what_lies_beside_the_checkpoint_is_told(copied, cache_path):
    assert "No export stands beside the checkpoint yet" in plain((copied / "report.html").read_text())
    parity = {"model": "best.onnx", "samples": "test split", "num_samples": 8, "agreement": 0.875}
    parity |= {"agreement_interval_95": [0.5, 0.9], "max_difference": 0.25, "flipped": {"a": 0.001, "b": 0.002}}
    (copied / "best.onnx.parity.json").write_text(json.dumps(parity | {"later": "field"}))
    energy = {"num_samples": 8, "macs": 2e6, "accumulates": 1e6, "n_accumulates": 3e6, "neuron_multiplications": 5e3}
    energy |= {"microjoules": 12.5, "relu_twin": {"once": {"microjoules": 50.0}}, "convention": "By convention."}
    (copied / "best.profile.json").write_text(json.dumps(energy))
    report.report(copied, copied / "report.html", cache_path)
    said = plain((copied / "report.html").read_text())
    assert re.search(r"best\.onnx 87\.5 % 50\.0 % to 90\.0 % 8 2\.5e-01 – – 0\.200 %", said)
    assert "2 M multiply-accumulates, 3 M accumulates and 5 k multiplications" in said
    assert "12.5 µJ; the ReLU twin, run once, 50 µJ" in said


def test_the_same_run_gives_the_same_page(copied, cache_path):
    report.report(copied, copied / "one.html", cache_path)
    report.report(copied, copied / "two.html", cache_path)
    one, two = ((copied / name).read_text().replace(name, "") for name in ("one.html", "two.html"))
    assert one == two


def test_a_page_without_data_says_so(copied, capsys):
    results = json.loads((copied / "results.json").read_text())
    (copied / "results.json").write_text(json.dumps({**results, "data": "gone.h5"}))
    assert report.main([str(copied)]) == 0
    assert "gone.h5 is not there any more; without --data the page shows no samples" in capsys.readouterr().err
    said = plain((copied / "report.html").read_text())
    assert "The data were not at hand" in said
    assert "Of 8 test samples" in said


def test_names_are_letters_and_no_code(hostile):
    page = render(read_run(hostile), hostile / "report.html")
    assert "<script" not in page
    assert "<img src=http" not in page
    assert html.escape(HOSTILE[0]) in page


def test_the_page_names_nothing_elsewhere(run):
    page = (run / "report.html").read_text()
    page = re.sub(r' xmlns(:xlink)?="http://www\.w3\.org/[^"]*"', "", page)
    assert not re.findall(r"https?:", page)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert all(each.startswith(("data:", "#")) for each in re.findall(r'(?:src|href)="([^"]*)"', page))


def test_chance_that_is_not_exceeded_is_said(run):
    record = read_run(run)
    test = record.test("best")
    poor = type(test)(**{**vars(test), "accuracy": 0.5, "accuracy_interval_95": (0.2, 0.8)})
    assert "The interval DOES NOT CLEARLY EXCEED IT." in " ".join(protocol(record, poor))
    known = type(test)(**{**vars(test), "num_learnt_from": 3, "accuracy_on_new_samples": 0.25})
    assert "THIS IS NO TEST ACCURACY: the network has learnt from 3 of these samples" in " ".join(
        protocol(record, known)
    )


def test_the_worst_are_the_mistakes_made_with_most_confidence(cache_path):
    from evglif.evaluation.figures import Evaluation, Predictions
    from evglif.reporting.samples import worst

    with FrameCache(cache_path) as cache:
        indices = cache.indices("test")
        labels = cache.labels[indices].astype(np.int64)
        confidence = np.linspace(0.5, 0.9, len(labels)).astype(np.float32)
        predicted = np.where(np.arange(len(labels)) % 2, labels, 1 - labels)
        found = list(worst(Evaluation(2, Predictions(indices, labels, predicted, confidence), 0.1, (1.0,)), cache))
        wrong = [cache.source(int(index)) for index in indices[::2]][::-1]
        assert [each.source for each in found] == wrong
        assert not any(each.right for each in found)
        none = Evaluation(2, Predictions(indices, labels, labels, confidence), 0.1, (1.0,))
        assert next(worst(none, cache)).source == cache.source(int(indices[0]))


def test_errors_say_the_next_step(tmp_path, copied, capsys):
    assert report.main([str(tmp_path / "none")]) == 1
    assert "no results.json in" in capsys.readouterr().err
    (copied / "best.onnx.parity.json").write_text('{"model": 3}')
    before = (copied / "report.html").read_bytes()
    assert report.main([str(copied)]) == 1
    assert "best.onnx.parity.json cannot be used: " in capsys.readouterr().err
    assert (copied / "report.html").read_bytes() == before


def test_other_data_are_refused(run, tmp_path, recordings, capsys):
    from preprocessing.build import build
    from preprocessing.datasets.recordings.folder import Folder

    other = tmp_path / "other.h5"
    build(Folder(recordings), other, steps=2, size=(16, 16), workers=1)
    assert report.main([str(run), "--data", str(other), "--out", str(tmp_path / "page.html")]) == 1
    assert "holds other data than" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_time_constants_are_drawn_where_they_are_logged(copied):
    with (copied / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (copied / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "features.0.neuron.tau"])
        writer.writeheader()
        writer.writerows({**row, "features.0.neuron.tau": 2 + place} for place, row in enumerate(rows))
    assert "Membrane time constant τ of every layer by epoch" in render(read_run(copied), copied / "report.html")


def test_the_commands_of_the_page_are_in_the_words_that_were_typed(copied, tmp_path, monkeypatch):
    (tmp_path / "own code.py").write_text("")
    monkeypatch.setattr(own_code, "_IMPORTED", [])
    own_code.run_code(str(tmp_path / "own code.py"))
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/evglif", "report"])
    page = html.unescape(render(read_run(copied), copied / "report.html"))
    commands = [shlex.split(line) for line in re.findall("<pre>(/somewhere/bin/evglif .*?)</pre>", page)]
    assert [words[1] for words in commands] == ["evaluate", "profile", "export", "report", "infer"]
    assert [words[-2:] for words in commands[:4]] == [["--import", str(tmp_path / "own code.py")]] * 4
    assert "<pre>python -m" not in page


@pytest.mark.exhaustive
def test_the_commands_of_the_page_run_as_they_are_printed(copied):
    report.report(copied, copied / "report.html")
    commands = [
        html.unescape(line) for line in re.findall("<pre>(python -m .*?)</pre>", (copied / "report.html").read_text())
    ]
    assert len(commands) == 5
    for line in commands[:4]:
        done = subprocess.run(
            [sys.executable, *shlex.split(line)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (line, done.stderr)


def test_networks_without_spikes_and_data_have_a_page(tmp_path, run):
    folder = tmp_path / "relu"
    shutil.copytree(run, folder)
    model = lively("7b-widenet", "relu", num_classes=2)
    held = read_run(run).checkpoint
    for name in ("best.pt", "last.pt"):
        save_checkpoint(folder / name, model, None, held.metrics)
    page = render(read_run(folder), folder / "report.html")
    assert "Learnt values" not in page
