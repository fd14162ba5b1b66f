"""A user's own neuron, network, filter and reader in the commands: ``--import FILE.py``."""

import re
import subprocess
import sys

import numpy as np
import pytest

import deploy.export
import deploy.profile
import evglif.evaluate
import evglif.train
import preprocessing.build
from evglif.checkpoint import read_checkpoint
from evglif.neurons import NEURONS, register_neuron
from evglif.neurons.spec import neuron_origin
from preprocessing.cache import FrameCache
from preprocessing.own_code import run_code
from tests.helpers import ROOT
from tests.helpers.own_neuron import printed

SMALL = ["--recipe", "digits", "--model.width", "2", "--epochs", "1", "--batch-size", "8"]


@pytest.fixture(scope="module")
def trained(cache_path, tmp_path_factory):
    """A run with the neuron of the docstring, and the file that it was in."""
    folder = tmp_path_factory.mktemp("own")
    code = folder / "my_neuron.py"
    code.write_text(printed())
    words = ["--import", str(code), "--neuron", "adaptive-decay", "--data", str(cache_path), *SMALL]
    assert evglif.train.main([*words, "--out", str(folder / "run"), "--quiet"]) == 0
    return folder / "run", code


def elsewhere(*words):
    """A command in a process that has not run the code."""
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)], check=False, cwd=ROOT, capture_output=True, text=True
    )


def test_the_neuron_of_the_docstring_is_trained_as_it_is_printed(trained):
    run, code = trained
    checkpoint = read_checkpoint(run / "last.pt")
    assert checkpoint.model.spec.neuron.name == "adaptive-decay"
    assert {type(module).__name__ for module in checkpoint.model.modules()} >= {"AdaptiveDecay"}
    (what,) = checkpoint.code
    assert what == "neuron adaptive-decay"
    assert checkpoint.code[what].path == str(code)
    assert len(checkpoint.code[what].sha256) == 64


def test_it_is_evaluated_exported_and_profiled(trained, cache_path, capsys):
    run, code = trained
    own = ["--import", str(code), "--data", str(cache_path)]
    assert evglif.evaluate.main([str(run / "last.pt"), *own, "--threads", "1"]) == 0
    assert deploy.export.main([str(run / "last.pt"), *own, "--threads", "1", "--out", str(run / "m.onnx")]) == 0
    assert deploy.profile.main([str(run / "last.pt"), *own, "--threads", "1", "--samples", "4"]) == 0
    assert "same class on 100" in re.sub(r"\s+", " ", capsys.readouterr().out)


def test_without_its_code_a_checkpoint_says_what_is_missing_and_runs_nothing(trained, cache_path):
    run, code = trained
    code.write_text(code.read_text() + f"\nopen({str(run / 'was run')!r}, 'w')\n")
    ended = elsewhere("evglif.evaluate", run / "last.pt", "--data", cache_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    where = re.escape(str(code))
    said = rf"error: .*last\.pt: this checkpoint cannot be used: it needs the neuron adaptive-decay of {where}"
    assert re.match(rf"{said} \(SHA-256 \w{{12}}…\), .* look at it, then add --import {where}\n", ended.stderr)
    assert not (run / "was run").exists()


def test_code_that_has_changed_since_is_told(trained, cache_path, tmp_path):
    run, code = trained
    changed = tmp_path / "my_neuron.py"
    changed.write_text("# a neuron of mine\n" + code.read_text())
    ended = elsewhere("evglif.evaluate", run / "last.pt", "--data", cache_path, "--import", changed)
    assert ended.returncode == 0, ended.stderr
    assert f"the neuron adaptive-decay is from {changed} (SHA-256" in ended.stderr
    assert "when the checkpoint was written" in ended.stderr


@pytest.mark.parametrize("name", ["my_neuron.py", "package.my_neuron"])
def test_a_class_of_a_module_is_answered_with_what_to_type(name):
    said = re.escape(f"--import {name}:Mine: type --import {name}; what it holds, Mine too, is registered by itself")
    with pytest.raises(ValueError, match=said):
        run_code(f"{name}:Mine")


NETWORK = """
from dataclasses import dataclass

from torch import nn

from evglif.layers import Flatten
from evglif.models import Network, NetworkSpec, register_network


@dataclass(frozen=True)
class TinySpec(NetworkSpec):
    name: str = "tiny"
    width: int = 4


class Tiny(Network):
    def __init__(self, spec):
        super().__init__(spec)
        self.features = nn.Sequential(self.stem(spec.width, "bn"), Flatten())
        self.head = nn.Linear(spec.width * spec.size[0] * spec.size[1], spec.num_classes)


register_network("tiny", TinySpec, Tiny)
"""

FILTER = """
from dataclasses import dataclass
from preprocessing.events.filters import register_filter

@register_filter
@dataclass(frozen=True)
class OnlyOn:
    form = "only-on"

    @classmethod
    def parse(cls, argument):
        return cls()

    def __call__(self, events, sensor):
        return events[events["p"] == 1]
"""

READER = """
import numpy as np
from preprocessing.events import AS_IS, make_events, make_recording
from preprocessing.readers import register_reader

class Mine:
    SUFFIXES = (".mine",)

    def recognises(self, data):
        return data.startswith(b"MINE")

    def decode(self, data, source, sensor=None, how=AS_IS):
        t, x, y = np.frombuffer(data[4:], "<u4").reshape(3, -1).astype(np.int64)
        return make_recording(make_events(t, x, y, np.ones(len(t), bool)), sensor or (128, 128), "mine", source)

register_reader(Mine())
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_filter_of_ones_own_is_built_with(recordings, tmp_path, workers):
    (tmp_path / "my_filter.py").write_text(FILTER)
    words = ["folder", "--root", recordings, "--out", tmp_path / "a.h5", "--steps", "2", "--size", "16"]
    own = ["--filter", "only-on", "--import", tmp_path / "my_filter.py", "--workers", workers]  # in this order
    assert preprocessing.build.main([*map(str, [*words, *own])]) == 0
    with FrameCache(tmp_path / "a.h5") as cache:
        frames = cache[0]
    assert frames[:, 0].sum() == 0
    assert frames[:, 1].sum() > 0


def test_a_format_of_ones_own_is_read_by_its_signature_or_suffix(tmp_path):
    (tmp_path / "my_reader.py").write_text(READER)
    content = b"MINE" + np.arange(30, dtype="<u4").tobytes()
    for name in ("left/a.mine", "left/b.mine", "right/a.mine", "right/b.mine"):
        (tmp_path / "recordings" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "recordings" / name).write_bytes(content)
    words = ["folder", "--root", tmp_path / "recordings", "--out", tmp_path / "a.h5", "--steps", "2", "--size", "16"]
    own = ["--import", tmp_path / "my_reader.py", "--workers", "1"]
    assert preprocessing.build.main([*map(str, [*words, *own])]) == 0
    with FrameCache(tmp_path / "a.h5") as cache:
        assert (len(cache), list(cache.num_events)) == (4, [10] * 4)


def test_a_network_of_ones_own_is_trained_and_known_by_its_file(cache_path, tmp_path):
    (tmp_path / "my_network.py").write_text(NETWORK)
    words = ["--import", tmp_path / "my_network.py", "--network", "tiny", "--model.width", "2", "--epochs", "1"]
    where = ["--data", cache_path, "--out", tmp_path / "run", "--quiet", "--batch-size", "8"]
    assert evglif.train.main([*map(str, [*words, *where])]) == 0
    assert list(read_checkpoint(tmp_path / "run" / "last.pt").code) == ["network tiny"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise RuntimeError('no')", r"--import .*code\.py: line 1: RuntimeError: no"),
        ("\nimport nosuchthing", r"line 2: ModuleNotFoundError: No module named 'nosuchthing'"),
        ("def f(:", r"SyntaxError"),
    ],
)
def test_code_that_fails_is_one_line_with_its_line(tmp_path, text, said):
    (tmp_path / "code.py").write_text(text)
    with pytest.raises(ValueError, match=said):
        run_code(str(tmp_path / "code.py"))


def test_code_that_is_not_there_is_named(tmp_path, capsys):
    assert evglif.train.main(["--import", "no_neuron.py", "--data", "a.h5"]) == 1
    assert "error: --import no_neuron.py: there is no such file in" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"is no Python file; give one that ends in \.py"):
        run_code(str(tmp_path / "notes.txt"))
    for name, missing in (("no_such_thing", "no_such_thing"), ("no.such.thing", "no"), ("json.such", "json.such")):
        with pytest.raises(FileNotFoundError, match=rf"--import {name}: Python finds no module {missing}, neither"):
            run_code(name)


def test_a_file_is_run_once(tmp_path):
    (tmp_path / "once.py").write_text("VALUE = []")
    first = run_code(str(tmp_path / "once.py"))
    assert run_code(str(tmp_path / "once.py")) is first


def test_a_neuron_of_the_package_is_not_replaced():
    with pytest.raises(ValueError, match="the neuron 'glif' is there already"):
        register_neuron("glif", lambda channels: channels)
    assert neuron_origin("glif") is None


def test_a_neuron_that_wants_more_than_a_network_gives_is_refused():
    with pytest.raises(ValueError, match="wants tau, and a network gives spec, channels, steps; give it a default"):
        register_neuron("mine", lambda channels, tau: (channels, tau))
    assert "mine" not in NEURONS
