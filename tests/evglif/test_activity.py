"""What neurons do on a sample, how it is drawn, and GLIF's dynamics."""

import numpy as np
import pytest
import torch
from PIL import Image

from evglif import plots
from evglif.evaluation.activity import LayerActivity, activity
from evglif.evaluation.dynamics import glif_dynamics
from evglif.plots.__main__ import KINDS, main
from evglif.plots.activity import spread
from tests.helpers.checkpoints import lively


@pytest.fixture(scope="module")
def sample():
    torch.manual_seed(1)
    return torch.rand(3, 2, 16, 24)


@pytest.fixture(scope="module")
def layers(sample):
    return activity(lively("7b-widenet", "glif"), sample)


def test_spikes_are_those_of_the_network_and_follow_from_the_membranes(sample, layers):
    model, seen = lively("7b-widenet", "glif"), {}
    for name, module in model.named_modules():
        if name in layers:
            module.register_forward_hook(lambda _, __, spikes, name=name: seen.update({name: spikes[:, 0].numpy() > 0}))
    with torch.inference_mode():
        model(sample[None])
    assert list(seen) == list(layers)
    assert len(seen) == 16
    for name, layer in layers.items():
        np.testing.assert_array_equal(layer.spikes, seen[name])
        np.testing.assert_array_equal(layer.spikes, layer.membrane > layer.threshold[:, None, None])
    assert any(layer.spikes.any() for layer in layers.values())


def test_layers_that_are_not_there_are_named(sample):
    model = lively("7b-widenet", "glif")
    assert list(activity(model, sample, ["features.1.first.neuron"])) == ["features.1.first.neuron"]
    with pytest.raises(ValueError, match=r"no neurons called 'x'; it has features\.0\.neuron"):
        activity(model, sample, ["x"])


def test_neurons_of_a_raster_are_some_that_fire():
    spikes = np.zeros((2, 100), bool)
    spikes[0, 10:90] = True
    assert len(spread(spikes, 10)) == 10
    assert spikes.any(0)[spread(spikes, 10)].all()
    assert len(spread(np.zeros((2, 5), bool), 10)) == 5


def test_the_dynamics_are_those_of_the_equations():
    found = glif_dynamics(40)
    none, linear, fused, exponential = found.decay.values()
    assert none[-1] == pytest.approx(20 * 0.1)
    assert linear[-1] == pytest.approx(20 * (0.1 - 0.04) - 20 * 0.04)
    assert exponential[-1] == pytest.approx(0.1 * sum(0.9**k for k in range(20)) * 0.9**20)
    assert none[19] > linear[19] > fused[19] > exponential[19]
    hard = found.reset["HR, hard"]
    first = int(np.argmax(hard > found.threshold))
    assert hard[first + 1] == pytest.approx(0.1)
    soft = found.reset["SR, soft, V_re = 0.5"]
    assert soft[first + 1] == pytest.approx(0.97 * soft[first] - 0.5 + 0.1)
    gated = [values[first + 1] for values in found.gated_reset.values()]
    assert gated[1] == pytest.approx((gated[0] + gated[2]) / 2)
    assert found.conductance["β = 1"].min() == pytest.approx(0, abs=1e-12)
    assert np.ptp(found.conductance["β = 0"]) == 0


@pytest.mark.parametrize("kind", ["spikes", "membranes", "maps", "channels"])
def test_the_command_draws_a_sample(kind, run, cache_path, tmp_path, capsys):
    out = tmp_path / f"{kind}.png"
    assert main([kind, str(run), "--data", str(cache_path), "--out", str(out)]) == 0
    assert f"drawn: {out}" in capsys.readouterr().out
    with Image.open(out) as image:
        assert min(image.size) > 200
        assert len(set(image.convert("RGB").resize((100, 100)).get_flattened_data())) > 10


def test_the_command_draws_dynamics_and_time_constants(run, tmp_path, capsys):
    assert main(["dynamics", "--out", str(tmp_path / "d.svg")]) == 0
    assert "(a) α" in (tmp_path / "d.svg").read_text() or (tmp_path / "d.svg").stat().st_size > 20_000
    assert main(["tau", str(run), "--out", str(tmp_path / "tau.png")]) == 1
    assert "holds no τ by epoch: it is noted where a layer learns one, as with --neuron plif" in capsys.readouterr().err
    metrics = tmp_path / "metrics.csv"
    metrics.write_text("epoch,train_loss,a.neuron.tau,b.neuron.tau\n1,2.0,2.0,2.0\n2,1.0,1.5,2.5\n")
    assert main(["tau", str(tmp_path), "--out", str(tmp_path / "tau.png")]) == 0
    assert (tmp_path / "tau.png").stat().st_size > 5_000


def test_errors_say_what_to_give(run, cache_path, tmp_path, capsys):
    for arguments, told in (
        (["maps", str(run)], "give its cache as --data"),
        (["maps"], "give the checkpoint"),
        (["maps", str(run), "--data", str(cache_path), "--channels", "99"], "channels count from 1 to 4, got 99"),
        (["spikes", str(run), "--data", str(cache_path), "--sample", "999"], "--sample counts from 0 to 39"),
    ):
        assert main([*arguments, "--out", str(tmp_path / "x.png")]) == 1
        assert told in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_every_kind_is_told_and_drawn_by_a_function():
    assert set(KINDS) == {"spikes", "membranes", "maps", "channels", "tau", "dynamics"}
    assert all(hasattr(plots, name) for name in plots.__all__)


def test_neurons_without_places_have_no_map(tmp_path):
    layer = LayerActivity(np.ones((3, 8), bool), np.ones((3, 8), np.float32), np.zeros(8, np.float32))
    with pytest.raises(ValueError, match="head have no places to be drawn at"):
        plots.plot_channels("head", layer, tmp_path / "x.png")
