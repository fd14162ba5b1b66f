"""Files for single readers, run in those readers: the same classes as the checkpoint, or a refusal that says why."""

import contextlib
import io
import itertools
import json
import logging

import pytest
import torch

from deploy.export import export, parity_path
from deploy.exporting.nir.readers import READERS
from deploy.exporting.options import NIR_READERS, ExportOptions
from deploy.exporting.prepare import example_frames
from evglif import GLIF, save_checkpoint
from evglif.checkpoint import read_checkpoint
from evglif.models import MODELS
from evglif.nir import load_nir
from tests.helpers.checkpoints import lively, saved

nir = pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
PACKAGES = {"snntorch": "snntorch", "spikingjelly": "spikingjelly", "norse": "norse.torch", "sinabs": "sinabs.nir"}

EVENTS = {"encoder": "frames", "in_channels": 2}
AVERAGE = {"pooling": "average"}
OPTIONS = {
    **{name: AVERAGE for name in MODELS if name.startswith("plif-")},
    **dict.fromkeys(("resnet18", "resnet19", "resnet34", "ms-resnet18"), EVENTS),
    "cifarnet": {},
    "7b-widenet": {},
    "vggsnn": {},
    "vgg11": {},
}
REFUSED = {"qkformer"}
"""Of the registry: networks that NIR has no nodes for."""

NEURONS = {
    "lif": {},
    "plif": {"v_reset": -0.25, "v_th": 0.4, "tau": 1.5},
    "simplex-101": {},
    "simplex-111": {},
    "if": {"reset": "hard"},
    "if, soft": {},
}
SHORTCUTS = ("resnet18", "resnet19", "resnet34", "ms-resnet18")


def refusal(network, neuron, reader):
    """Why a reader is not given a network, as far as known; nothing where it is."""
    if (neuron == "if, soft") != (reader == "sinabs"):
        return "the reset leaves a share" if reader != "sinabs" else "only IF with a soft reset agrees with"
    if reader == "sinabs" and network in (*SHORTCUTS, "7b-widenet"):
        return "adds up two branches, and the reader would run it before|adds up sums of pools"
    if reader == "snntorch" and neuron == "if":
        return "snnTorch takes an IF for a leaky neuron"
    if reader == "norse" and network in SHORTCUTS:
        return "adds up two branches, and the reader would run it before"
    return ""


def loaded(reader, path, dt):
    """The network as a module of the reader's, called step by step with its state."""
    pytest.importorskip(PACKAGES[reader])
    logging.getLogger("spikingjelly").setLevel(logging.WARNING)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if reader == "snntorch":
            from snntorch.import_nir import import_from_nir

            return import_from_nir(nir.read(path))
        if reader == "spikingjelly":
            from spikingjelly.activation_based.nir_exchange import import_from_nir

            return import_from_nir(path, dt=dt)
        if reader == "sinabs":
            return nir.read(path)
        import norse.torch

        return norse.torch.from_nir(nir.read(path), dt=dt)


def of_sinabs(graph, frames, steps, single=True):
    """Logits of a graph in sinabs, which takes all time steps of a batch at once; as it is advised to be used."""
    from sinabs.activation import SingleSpike
    from sinabs.layers import IAFSqueeze
    from sinabs.nir import from_nir

    module = from_nir(graph, batch_size=len(frames))
    for layer in module.modules():
        if isinstance(layer, IAFSqueeze) and single:
            layer.spike_fn, layer.min_v_mem = SingleSpike, None
    frames = frames.expand(-1, steps, -1, -1, -1) if frames.shape[1] == 1 else frames
    with torch.no_grad():
        return module(frames.flatten(0, 1))[0].view(len(frames), steps, -1).mean(1)


def logits_of(module, frames, steps):
    if isinstance(module, nir.NIRGraph):
        return of_sinabs(module, frames, steps)
    state, total = None, 0
    with torch.no_grad():
        for step in range(steps):
            output, state = module(frames[:, min(step, frames.shape[1] - 1)], state)
            total = total + output
    return total / steps


def tried(folder, network, neuron, reader, dt=1e-4):
    """Share of samples that get the same class in a reader, and of logits that are the same but for rounding."""
    checkpoint = saved(folder / "model.pt", network, neuron.partition(",")[0], **OPTIONS[network], **NEURONS[neuron])
    model = read_checkpoint(checkpoint).model
    path, parity = export(checkpoint, ExportOptions("nir", reader=reader, dt=dt), folder / f"{reader}.nir")
    assert parity.agreement == 1
    frames = example_frames(model, 12)
    with torch.no_grad():
        expected = model(frames)
    got = logits_of(loaded(reader, path, dt), frames, model.spec.steps)
    assert expected.std(0).max() > 0.01  # a network that is silent agrees with anything
    return (got.argmax(1) == expected.argmax(1)).float().mean().item(), (
        (got - expected).abs() < 1e-4
    ).float().mean().item()


def check(folder, network, neuron, reader, **options):
    if reason := refusal(network, neuron, reader):
        with pytest.raises(ValueError, match=reason):
            tried(folder, network, neuron, reader, **options)
        assert [path.name for path in folder.iterdir()] == ["model.pt"]
    else:
        agreement, alike = tried(folder, network, neuron, reader, **options)
        assert agreement == 1
        assert alike > 0.8  # a rounding at a threshold may flip a spike


@pytest.mark.filterwarnings("ignore:nirtorch.load:DeprecationWarning")
@pytest.mark.parametrize("reader", NIR_READERS)
@pytest.mark.parametrize(
    ("network", "neuron"),
    [
        ("7b-widenet", "simplex-101"),
        ("ms-resnet18", "lif"),
        ("plif-mnist", "plif"),
        ("cifarnet", "if"),
        ("cifarnet", "if, soft"),
    ],
)
def test_a_reader_says_what_the_checkpoint_says_or_is_refused_the_file(tmp_path, network, neuron, reader):
    check(tmp_path, network, neuron, reader)


def test_channels_that_leak_differently_are_refused_where_a_layer_has_one_tau(tmp_path):
    model = lively("plif-mnist", "simplex-101", **AVERAGE)
    first = next(module for module in model.modules() if isinstance(module, GLIF))
    first.set_values(tau_exp=torch.linspace(0.2, 0.8, len(first.values()["tau_exp"])))
    save_checkpoint(tmp_path / "model.pt", model)
    assert export(tmp_path / "model.pt", ExportOptions("nir", reader="norse"))[1].agreement == 1
    with pytest.raises(ValueError, match=r"features.0.neuron: SpikingJelly takes one τ a layer; .* lif or plif"):
        export(tmp_path / "model.pt", ExportOptions("nir", reader="spikingjelly"))


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:nirtorch.load:DeprecationWarning")
@pytest.mark.parametrize(("network", "neuron", "reader"), list(itertools.product(OPTIONS, NEURONS, NIR_READERS)))
def test_every_network_and_neuron_in_every_reader(tmp_path, network, neuron, reader):
    check(tmp_path, network, neuron, reader)


@pytest.mark.filterwarnings("ignore:nirtorch.load:DeprecationWarning")
def test_sinabs_fires_several_times_a_step_unless_it_is_told_otherwise(tmp_path):
    """So that the advice is needed; and the file comes back here as what it was."""
    pytest.importorskip("sinabs")
    checkpoint = saved(tmp_path / "model.pt", "cifarnet", "if")
    path = export(checkpoint, ExportOptions("nir", reader="sinabs", budget=0.1))[0]
    model = read_checkpoint(checkpoint).model
    frames, steps = example_frames(model, 12), model.spec.steps
    with torch.no_grad():
        expected, back = model(frames), load_nir(path)(frames)
    torch.testing.assert_close(of_sinabs(nir.read(path), frames, steps), expected)
    torch.testing.assert_close(back, expected)
    assert (of_sinabs(nir.read(path), frames, steps, single=False) - expected).abs().max() > 1


@pytest.mark.filterwarnings("ignore:nirtorch.load:DeprecationWarning")
def test_another_time_step_is_told_to_the_reader(tmp_path):
    check(tmp_path, "plif-mnist", "lif", "norse", dt=1e-3)
    assert json.loads(parity_path(tmp_path / "norse.nir").read_text())["options"]["dt"] == 1e-3
    assert nir.read(tmp_path / "norse.nir").metadata["dt"] == 1e-3


def test_a_reader_of_one_time_step_is_given_no_other(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "plif-mnist", "lif", **AVERAGE)
    with pytest.raises(ValueError, match=r"snnTorch takes every τ for one of dt 0.0001 s, not 0.001; leave out --dt"):
        export(checkpoint, ExportOptions("nir", reader="snntorch", dt=1e-3))


def test_every_reader_of_the_options_is_described():
    assert tuple(READERS) == NIR_READERS
    assert set(OPTIONS) == set(MODELS) - REFUSED


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 0.0}, "dt 0.0: a time step in seconds, such as 0.0001"),
        ({"dt": float("nan")}, "dt nan: a time step"),
        ({"reader": "brian"}, "unknown reader 'brian'; choose one of snntorch, spikingjelly, norse, sinabs"),
        (
            {"format": "onnx", "reader": "norse"},
            "only --format nir has a reader, a time step and sum pools; onnx was asked for",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ExportOptions(**{"format": "nir", **options})
