"""The weights that come with the package are those that were published, and still reach what their cards say."""

import shutil
from hashlib import sha256

import pytest
import yaml

from evglif import from_pretrained
from evglif.evaluate import evaluate_checkpoint
from evglif.pretrained import read_weights
from evglif.pretrained.folder import FILES, WEIGHTS, read_config
from evglif.zoo import SUMS, __main__, zoo_folder, zoo_names
from preprocessing.build import build
from preprocessing.cache import FrameCache
from preprocessing.datasets.recordings.nmnist import NMNIST
from preprocessing.datasets.simulated.digits import Digits

NAMES = ["digits-glif", "digits-lif", "nmnist-glif", "nmnist-lif"]
LICENCES = {"digits": "cc-by-4.0", "nmnist": "cc-by-sa-4.0"}


def test_there_are_these_and_they_are_small():
    assert zoo_names() == NAMES
    files = [path for name in NAMES for path in zoo_folder(name).iterdir()]
    assert len(files) == len(NAMES) * len(FILES)
    assert sum(path.stat().st_size for path in files) <= 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card_that_names_licence_figures_and_itself(name):
    text = (zoo_folder(name) / "README.md").read_text()
    data, _, neuron = name.partition("-")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == LICENCES[data]
    best = read_config(zoo_folder(name)).accuracies[0]
    assert best.name.startswith("test accuracy, epoch of best validation")
    assert f"| {best.name} | {best.value:.2%}" in text
    assert f'from_pretrained("zoo:{name}")' in text
    assert "µJ" in text
    assert from_pretrained(f"zoo:{name}").spec.neuron.name == neuron


def judged(name, cache):
    return evaluate_checkpoint(read_weights(f"zoo:{name}"), cache, "test", device="cpu")


@pytest.fixture(scope="module")
def nmnist(shared_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("nmnist") / "nmnist.h5"
    build(NMNIST(shared_data / "nmnist_small"), out, steps=8, size=(17, 17), resize="area", workers=1)
    with FrameCache(out) as cache:
        yield cache


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory):
    root = tmp_path_factory.mktemp("digits")
    build(Digits(root / "digits"), root / "few.h5", steps=4, size=(16, 16), resize="area", workers=1, limit=100)
    with FrameCache(root / "few.h5") as cache:
        yield cache


@pytest.mark.parametrize("neuron", ["glif", "lif"])
def test_nmnist_reaches_its_figure(nmnist, neuron):
    evaluation = judged(f"nmnist-{neuron}", nmnist)
    published = read_config(zoo_folder(f"nmnist-{neuron}")).accuracies[0]
    assert evaluation.num_samples == published.num_samples
    assert evaluation.num_familiar == 0
    assert abs(evaluation.accuracy - published.value) <= 0.02  # another processor may round a spike away


@pytest.mark.parametrize("neuron", ["glif", "lif"])
def test_digits_reach_their_figure_on_a_part_of_the_test_samples(few_digits, neuron):
    """The first hundred recordings, of which about twenty are of the test split; a network of chance gets two right."""
    evaluation = judged(f"digits-{neuron}", few_digits)
    assert evaluation.num_familiar == 0
    assert evaluation.num_samples >= 15
    assert evaluation.accuracy >= 0.75


@pytest.mark.exhaustive
def test_digits_reach_their_figures(tmp_path):
    build(Digits(tmp_path / "digits"), tmp_path / "all.h5", steps=4, size=(16, 16), resize="area")
    with FrameCache(tmp_path / "all.h5") as cache:
        for neuron in ("glif", "lif"):
            published = read_config(zoo_folder(f"digits-{neuron}")).accuracies[0]
            evaluation = judged(f"digits-{neuron}", cache)
            assert (evaluation.num_samples, evaluation.num_familiar) == (published.num_samples, 0)
            assert abs(evaluation.accuracy - published.value) <= 0.01


def test_the_sums_are_those_of_the_files():
    root = zoo_folder(NAMES[0]).parent
    for line in (root / SUMS).read_text().splitlines():
        digest, name = line.split("  ")
        assert sha256((root / name).read_bytes()).hexdigest() == digest


def test_a_file_that_was_changed_is_told(tmp_path, monkeypatch):
    from evglif import zoo

    shutil.copytree(zoo_folder(NAMES[0]).parent, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "_root", lambda: tmp_path / "zoo")
    weights = tmp_path / "zoo" / NAMES[0] / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(ValueError, match=r"has the SHA-256 .*, published is .*; install evglif again"):
        read_weights(f"zoo:{NAMES[0]}")
    weights.unlink()
    with pytest.raises(ValueError, match="has the SHA-256 none"):
        read_weights(f"zoo:{NAMES[0]}")


def test_the_command_lists_them_and_prints_a_card(capsys):
    assert __main__.main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"zoo:{name} " in listed for name in NAMES)
    assert __main__.main(["zoo:digits-glif"]) == 0
    assert capsys.readouterr().out == (zoo_folder("digits-glif") / "README.md").read_text(encoding="utf-8")
    assert __main__.main(["digits-plif"]) == 1
    assert "the zoo has no weights 'digits-plif'; it has digits-glif" in capsys.readouterr().err
