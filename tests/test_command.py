"""One command, ``evglif``: its names, its help, what it says of a folder, and that it is found from everywhere."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import evglif.__main__ as one
import evglif.sweep
import evglif.train
import preprocessing.build
from evglif import names
from evglif.models import MODELS
from evglif.neurons import NEURONS
from evglif.place import look, next_step
from evglif.recipe import read_recipe
from preprocessing.calling import MODULES, program_words, spoken
from preprocessing.options import Parser
from tests.helpers import ROOT
from tests.test_architecture import loaded_by


@pytest.mark.parametrize("name", MODULES)
def test_every_name_is_a_module_with_a_main_that_takes_arguments(name, capsys):
    with pytest.raises(SystemExit) as ended:
        one.main([name, "--help"])
    assert ended.value.code == 0
    assert "usage: python -m " + MODULES[name].removesuffix(".__main__") in capsys.readouterr().out


@pytest.mark.parametrize("name", MODULES)
def test_help_is_for_readers(name, monkeypatch, capsys):
    """No addresses, types or values of Python's; every example is a line of its own, in the words of the call."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/evglif"])
    monkeypatch.setenv("COLUMNS", "70")
    with pytest.raises(SystemExit):
        one.main([name, "--help"])
    told = capsys.readouterr().out
    assert not re.search(r" at 0x|<(class '|function)|\(type:|null|``|: (SUPPRESS|None)\)", told)
    assert "python -m" not in " ".join(told.split())
    assert told.startswith(f"usage: /somewhere/bin/evglif {name} ")
    first, *others = told[told.rindex("\nexample") + 1 :].splitlines()
    examples = others or [first]
    assert [line for line in examples if f"evglif {name}" not in line and "evglif evaluate zoo:" not in line] == []


def test_prose_of_a_help_fits_the_terminal_and_names_stay_whole(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        one.main(["train", "--help"])
    told, _, _ = capsys.readouterr().out.partition("\nexamples:")
    _usage, *prose = told.splitlines()
    assert max(map(len, prose)) <= 60
    assert "ms-resnet18" in told
    assert "--weight-decay" in told
    assert "(default: 0.01)" in " ".join(told.split())


def test_every_name_says_what_it_does():
    assert list(one.WHAT) == list(MODULES)
    assert one.available() == list(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_help_loads_no_library_of_networks(name):
    quiet = "import contextlib, io, evglif.__main__ as one\n"
    quiet += "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
    quiet += f"    one.main([{name!r}, '--help'])"
    assert loaded_by(f"exec({quiet!r})", "torch", "onnx", "lightning_fabric", "matplotlib", "snntorch") == []


def test_names_that_are_listed_are_those_that_are_there():
    own = {name for name, build in NEURONS.items() if build.__module__ == "evglif.neurons.spec" and "." not in name}
    assert set(names.NEURONS) <= own
    assert set(names.NETWORKS) <= set(MODELS)
    code = "import evglif.names as n, evglif.neurons as m, evglif.models as k; print(tuple(m.NEURONS) == n.NEURONS)"
    code += "; print(tuple(k.MODELS) == n.NETWORKS)"
    said = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True)
    assert said.stdout.split() == ["True", "True"]


def test_a_command_that_nobody_knows_is_one_line_with_the_nearest(capsys):
    assert one.main(["trian"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.rstrip().endswith("did you mean train?")


@pytest.mark.parametrize(
    ("words", "name", "said"),
    [
        (["python", "-m", "preprocessing.build"], "/x/preprocessing/build.py", ("", "python")),
        ([".venv/bin/python", "-m", "evglif.train"], "/x/train.py", ("", ".venv/bin/python")),
        (["python3", "-m", "evglif"], "/x/evglif/__main__.py", ("python3 -m evglif", "python")),
        (["python", "/my venv/bin/evglif"], "/my venv/bin/evglif", ("'/my venv/bin/evglif'", "python")),
        (["python", "-m", "pytest"], "/x/pytest/__main__.py", ("", "python")),
    ],
)
def test_words_are_those_that_the_command_was_called_with(words, name, said):
    assert program_words(words, name) == said


def test_other_modules_are_spoken_of_as_they_are(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/evglif", "build"])
    text = "python -m evglif.train --data a.h5; python -m evglif.training; python -m deploy.infer."
    assert spoken(text) == (
        "/somewhere/bin/evglif train --data a.h5; python -m evglif.training; /somewhere/bin/evglif infer."
    )


def parser():
    made = Parser(prog="python -m preprocessing.inspect")
    made.add_argument("--batch-size", type=int)
    made.add_argument("--slicing")
    made.add_argument("--time_unit")
    made.add_argument("words", nargs="*")
    return made


@pytest.mark.parametrize(
    ("words", "batch_size", "slicing"),
    [
        (["--batch", "3", "--slice", "time"], 3, "time"),
        (["--loader.batch_size=3", "--slicing=time"], 3, "time"),
        (["--batch_size", "3", "--slice=time"], 3, "time"),
    ],
)
def test_one_thing_has_its_names_everywhere(words, batch_size, slicing):
    options = parser().parse_args([*words, "--time-unit", "us", "--", "--batch"])
    assert (options.batch_size, options.slicing, options.time_unit) == (batch_size, slicing, "us")
    assert options.words == ["--batch"]


def test_a_misspelt_option_ends_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--batch-sise", "3"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith("did you mean --batch-size?")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lr", "abc"], "argument --optim.lr: Expected a number. Got value: abc"),
        (["--epochs", "1.5"], "argument --epochs: Expected a whole number. Got value: 1.5"),
        (["--compile", "perhaps"], "argument --compile: Expected a choice, true or false. Got value: perhaps"),
        (["--epohcs", "3"], "did you mean --epochs?"),
    ],
)
def test_a_wrong_value_of_a_recipe_is_one_line_below_the_usage(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        evglif.train.main(["--recipe", "digits", "--data", "a.h5", *words])
    assert ended.value.code == 2
    usage, error = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: python -m evglif.train --data")
    assert error.startswith("python -m evglif.train: error: ")
    assert error.endswith(said)


def test_the_nearest_recipe_is_named():
    with pytest.raises(ValueError, match="did you mean digits"):
        read_recipe("digist")


def test_a_value_of_the_recipe_is_told_where_a_sweep_takes_it(capsys):
    with pytest.raises(SystemExit):
        evglif.sweep.main(["--recipe", "digits", "--data", "a.h5", "--epochs", "1"])
    said = "unrecognized arguments: --epochs 1; values of the recipe go behind --set, as in --set epochs=1"
    assert said in capsys.readouterr().err


def test_short_names_of_a_training_are_the_long_ones(capsys):
    words = ["--recipe", "digits", "--data", "a.h5", "--out", "run"]
    short, _ = evglif.train.parse_arguments([*words, "--batch-size", "8", "--epochs", "3", "--lr", "0.5"])
    long, _ = evglif.train.parse_arguments([*words, "--loader.batch-size=8", "--epochs=3", "--optim.lr=0.5"])
    assert short == long
    assert (short.loader.batch_size, short.epochs, short.optim.lr) == (8, 3, 0.5)
    with pytest.raises(SystemExit):
        evglif.train.parse_arguments([*words, "--optim.weigth_decay", "0.1"])
    assert "did you mean --optim.weight-decay?" in capsys.readouterr().err.replace("_", "-")


def test_a_training_that_begins_with_weights_takes_their_network(run, cache_path, capsys):
    words = ["--data", str(cache_path), "--out", "a", "--init-from", str(run / "best.pt")]
    recipe, _ = evglif.train.parse_arguments([*words, "--neuron", "lif"])
    assert (recipe.model["name"], recipe.model["width"], recipe.model["neuron"]) == ("7b-widenet", 4, "lif")
    assert f"network: the one of {run / 'best.pt'}; --network NAME takes another" in capsys.readouterr().out
    assert "steps" not in recipe.model
    for others in (["--network", "resnet18"], ["--recipe", "digits"], ["--model.width", "8"]):
        recipe, _ = evglif.train.parse_arguments([*words, *others])
        assert recipe.model.get("width") != 4, others


def test_a_printed_configuration_is_whole_and_strict(cache_path, capsys):
    with pytest.raises(SystemExit):
        evglif.train.parse_arguments(["--data", str(cache_path), "--print-config"])
    printed = capsys.readouterr()
    assert "num_classes: 2" in printed.out
    assert "steps: 3" in printed.out
    assert printed.err.startswith("recipe: digits")
    with pytest.raises(ValueError, match=r"7b-widenet has no option widht; .*did you mean width\?"):
        evglif.train.parse_arguments(["--recipe", "digits", "--model.widht", "8", "--print-config"])


def test_a_folder_says_what_the_next_step_is(run, recordings, cache_path, tmp_path):
    assert next_step(look(tmp_path)).startswith("python -m preprocessing.build digits")
    build = f"python -m preprocessing.build folder --root {shlex.quote(str(recordings / 'train'))} --size 32"
    assert next_step(look(recordings / "train")).startswith(build)
    found = look(cache_path.parent)
    assert found.caches == [cache_path]
    assert next_step(found) == f"python -m evglif.train --data {shlex.quote(str(cache_path))}"
    finished = look(run)
    assert next_step(finished) == f"python -m deploy.export {shlex.quote(str(run / 'best.pt'))} --format onnx"


def test_a_run_that_is_not_finished_goes_on(tmp_path):
    folder = tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(b"")
    said = f"python -m evglif.train --recipe {folder / 'recipe.yaml'} --data FILE.h5 --out {folder}"
    assert next_step(look(tmp_path)) == said


PROGRAM = Path(sys.executable).with_name("evglif")


@pytest.fixture(scope="module")
def line(recordings, tmp_path_factory):
    """The whole line from recordings, in a folder with folders called as our packages, by what is printed."""
    folder = tmp_path_factory.mktemp("mine")
    for name in ("preprocessing", "deploy", "evglif"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not this one')")
    said = {}

    def run(words):
        done = subprocess.run(
            words, check=False, cwd=folder, capture_output=True, text=True, shell=isinstance(words, str)
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def following(text):
        return re.search(r"^next:? +(.*)$", text, re.MULTILINE)[1]

    first = [PROGRAM, "build", "folder", "--root", recordings, "--steps", "3", "--size", "16", "--workers", "1"]
    said["build"] = run([*map(str, first), "--out", "mine.h5"])
    said["train"] = run(f"{following(said['build'])} --epochs 1 --model.width 2")
    said["export"] = run(following(said["train"]))
    recording = next(recordings.rglob("*.aedat"))
    said["infer"] = run(following(said["export"]).replace("RECORDING", shlex.quote(str(recording))))
    said["here"] = run([str(PROGRAM)])
    return folder, said


needs_program = pytest.mark.skipif(not PROGRAM.exists(), reason="the package is not installed beside this Python")


@needs_program
def test_every_next_line_runs_as_it_is_printed(line):
    folder, said = line
    (results,) = folder.glob("runs/mine-*/results.json")
    assert json.loads(results.read_text())["recipe"]["epochs"] == 1
    assert re.search(r"^.*\.aedat: (left|right) ", said["infer"], re.MULTILINE)


@needs_program
def test_a_training_says_what_it_chose_and_how_to_go_on(line):
    folder, said = line
    lines = said["train"].splitlines()
    chosen = "recipe: digits, loader.batch_size 8, for 32 training samples of events, 16×16, T = 3, on a processor"
    assert lines[0] == f"{chosen}; --recipe NAME takes another"
    again = re.search(r"out: (runs/\S+); if it is stopped, this goes on: (.*)$", lines[1])
    assert again[2].endswith(f"--out {again[1]}")
    finished = subprocess.run(again[2], check=True, cwd=folder, capture_output=True, text=True, shell=True)
    assert "holds this run, finished after 1 epochs" in finished.stdout
    facts = next(each for each in lines if each.startswith("mine.h5: "))
    assert re.match(
        r"mine\.h5: \d+ training, \d+ validation, 8 test samples; 7b-widenet with glif, [\d,]+ param", facts
    )
    assert lines.index(facts) < lines.index(next(each for each in lines if each.startswith("epoch 1/1")))


@needs_program
def test_alone_it_says_what_lies_here_and_what_comes_next(line):
    _, said = line
    assert one.LINE in said["here"]
    assert "here: 1 file of frames, 1 finished run, 1 exported model" in said["here"]
    assert re.search(r"^next: (\S*evglif) infer runs/mine-\S+/best\.onnx RECORDING$", said["here"], re.MULTILINE)


def test_pictures_need_no_place_for_their_recordings(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert preprocessing.build.main(["images", "--images", "my-pictures"]) == 1
    assert "my-pictures: no such folder or .npz file" in capsys.readouterr().err
