"""NIR files of this package and of others as networks here."""

import contextlib
import io
import itertools
import logging
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from deploy.export import export
from deploy.exporting.options import ExportOptions
from deploy.exporting.prepare import example_frames, prepared
from evglif import load_checkpoint
from evglif.checkpoint import read_checkpoint, save_checkpoint
from evglif.data import data_spec
from evglif.evaluate import evaluate_checkpoint
from evglif.models import GraphNet, spec_from_dict, spec_to_dict
from evglif.nir import load_nir, read_nir
from evglif.nir.__main__ import main
from preprocessing.cache import FrameCache
from tests.helpers.checkpoints import lively, saved
from tests.helpers.fuzzing import apart, outcomes

nir = pytest.importorskip("nir", reason="NIR is optional: pip install 'evglif[nir]'")
BRIEFLY = ExportOptions("nir", budget=0.1)


def logits(model, frames):
    with torch.no_grad():
        return model(frames)


def spikes(model, frames):
    """Of every layer, in their order."""
    found = []
    hooks = [
        module.register_forward_hook(lambda _, __, fired: found.append(fired))
        for name, module in model.named_modules()
        if hasattr(module, "coefficients")
    ]
    logits(model, frames)
    for hook in hooks:
        hook.remove()
    return found


def of(model):
    """Its layers of neurons."""
    return [module for module in model.modules() if hasattr(module, "coefficients")]


OURS = [
    ("7b-widenet", "lif", {"tau": 3.1}),
    ("resnet18", "simplex-101", {}),
    ("plif-mnist", "plif", {"pooling": "average", "v_reset": -0.25, "v_th": 0.4, "tau": 1.3}),
    ("ms-resnet18", "lif", {"encoder": "frames", "in_channels": 2}),
    ("cifarnet", "if", {"reset": "hard"}),
]


@pytest.mark.parametrize(("name", "neuron", "options"), OURS)
def test_our_own_exports_come_back_spike_for_spike(tmp_path, name, neuron, options):
    checkpoint = saved(tmp_path / "model.pt", name, neuron, **options)
    model = load_nir(export(checkpoint, BRIEFLY)[0])
    original = prepared(read_checkpoint(checkpoint).model, fold=True)
    frames = example_frames(original, 8)
    expected, got = spikes(original, frames), spikes(model, frames)
    assert [each.shape for each in got] == [each.shape for each in expected]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(got, expected, strict=True))
    assert 0.02 < torch.cat([each.flatten() for each in expected]).mean() < 0.98
    for theirs, ours in zip(of(original), of(model), strict=True):
        decay, again = theirs.coefficients().decay, ours.coefficients().decay
        assert torch.equal(again, decay.expand(len(again)))
    torch.testing.assert_close(logits(model, frames), logits(original, frames))
    assert (model.spec.steps, model.spec.encoder) == (original.spec.steps, original.spec.encoder)


def small():
    """input → conv → LIF → pool → linear, with values that differ from channel to channel."""
    random = np.random.default_rng(0)

    def by_channel(*values):
        return np.broadcast_to(np.array(values, np.float32).reshape(-1, 1, 1), (2, 4, 4)).copy()

    nodes = {
        "input": nir.Input({"input": np.array((2, 4, 4))}),
        "conv": nir.Conv2d(
            (4, 4), random.normal(0, 0.5, (2, 2, 3, 3)).astype(np.float32), 1, 1, 1, 1, np.full(2, 0.4, np.float32)
        ),
        "neuron": nir.LIF(
            tau=by_channel(2e-4, 5e-4),
            r=by_channel(1.5, 4.0),
            v_leak=by_channel(0.1, -0.3),
            v_threshold=by_channel(0.6, 1.4),
            v_reset=by_channel(-0.2, 0.1),
        ),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int)),
        "flatten": nir.Flatten({"input": np.array((2, 2, 2))}, start_dim=0),
        "linear": nir.Linear(random.normal(size=(3, 8)).astype(np.float32)),
        "output": nir.Output({"output": np.array((3,))}),
    }
    return nodes, list(itertools.pairwise(nodes))


def written(path, nodes, edges, **metadata):
    nir.write(path, nir.NIRGraph(nodes, edges, metadata=metadata, type_check=False))
    return path


def simulated(nodes, frames, dt=1e-4):
    """NIR's equations by Euler for the small graph, in NumPy."""
    conv, neuron, linear = nodes["conv"], nodes["neuron"], nodes["linear"]
    u, total = neuron.v_reset, 0
    for x in frames:
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        current = np.einsum("oihw,iyxhw->oyx", conv.weight, windows) + conv.bias[:, None, None]
        u = u + dt / neuron.tau * ((neuron.v_leak - u) + neuron.r * current)
        fired = u > neuron.v_threshold
        u = np.where(fired, neuron.v_reset, u)
        pooled = fired.reshape(2, 2, 2, 2, 2).mean((2, 4))
        total = total + linear.weight @ pooled.ravel()
    return total / len(frames)


def test_a_graph_gives_what_its_equations_give(tmp_path):
    nodes, edges = small()
    model = load_nir(written(tmp_path / "a.nir", nodes, edges))
    frames = np.random.default_rng(1).poisson(1.0, (6, 12, 2, 4, 4)).astype(np.float32)
    expected = np.stack([simulated(nodes, sample) for sample in frames])
    np.testing.assert_allclose(logits(model, torch.from_numpy(frames)).numpy(), expected, atol=1e-5)
    assert expected.std(0).min() > 0.01


def test_it_trains_and_its_checkpoint_needs_no_file(tmp_path):
    path = written(tmp_path / "a.nir", *small())
    model = load_nir(path).train()
    path.unlink()
    frames = torch.poisson(torch.ones(12, 8, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 3
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(25):
        loss = torch.nn.functional.cross_entropy(model(frames), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1
    assert model.module("conv").weight.grad.abs().max() > 0
    save_checkpoint(tmp_path / "a.pt", model)
    again = load_checkpoint(tmp_path / "a.pt")
    assert isinstance(again, GraphNet)
    assert torch.equal(logits(again, frames), logits(model.eval(), frames))
    assert spec_from_dict(spec_to_dict(model.spec)) == model.spec


@pytest.mark.parametrize("format", ["onnx", "onnx-step", "events", "nir"])
def test_it_is_exported_like_any_other(tmp_path, format):
    checkpoint = saved(tmp_path / "first.pt", "cifarnet", "lif", tau=1.7)
    model = load_nir(export(checkpoint, BRIEFLY)[0])
    save_checkpoint(tmp_path / "second.pt", model)
    out, parity = export(tmp_path / "second.pt", ExportOptions(format, budget=0.1))
    assert parity.agreement == 1
    assert max(parity.flipped.values()) < 1e-3
    if format == "nir":
        once, twice = nir.read(tmp_path / "first.nir"), nir.read(out)
        assert list(once.nodes) == list(twice.nodes)
        for name, node in once.nodes.items():
            for key, value in vars(node).items():
                if isinstance(value, np.ndarray):
                    np.testing.assert_array_equal(getattr(twice.nodes[name], key), value)


def test_sum_pools_groups_and_dilation_become_weights(tmp_path):
    random = np.random.default_rng(0)
    weight = random.normal(size=(4, 1, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input({"input": np.array((2, 8, 8))}),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.zeros(2, int)),
        "conv": nir.Conv2d((4, 4), weight, (1, 1), (2, 2), (2, 2), 2, np.zeros(4, np.float32)),
        "flatten": nir.Flatten({"input": np.array((4, 4, 4))}, start_dim=-3),
        "linear": nir.Affine(random.normal(size=(3, 64)).astype(np.float32), np.ones(3, np.float32)),
        "output": nir.Output({"output": np.array((3,))}),
    }
    model = load_nir(written(tmp_path / "a.nir", nodes, list(itertools.pairwise(nodes))))
    x = torch.rand(5, 2, 2, 8, 8)
    pooled = 4 * torch.nn.functional.avg_pool2d(x.flatten(0, 1), 2)
    maps = torch.nn.functional.conv2d(pooled, torch.from_numpy(weight), padding=2, dilation=2, groups=2).flatten(1)
    expected = (maps @ torch.from_numpy(nodes["linear"].weight).T + 1).view(5, 2, 3).mean(1)
    torch.testing.assert_close(logits(model, x), expected)


def current_based(tau_syn, w_in):
    nodes, edges = small()
    lif = nodes["neuron"]
    common = {name: getattr(lif, name) for name in ("r", "v_leak", "v_threshold", "v_reset")}
    syn = np.full_like(lif.tau, tau_syn)
    nodes["neuron"] = nir.CubaLIF(tau_syn=syn, tau_mem=lif.tau, w_in=np.full_like(lif.tau, w_in), **common)
    return nodes, edges


def test_a_current_that_lasts_one_step_is_held_and_one_that_decays_is_refused(tmp_path):
    frames = torch.poisson(torch.ones(4, 8, 2, 4, 4), generator=torch.Generator().manual_seed(0))
    plain = load_nir(written(tmp_path / "a.nir", *small()))
    held = load_nir(written(tmp_path / "b.nir", *current_based(1e-4, 1.0)))
    assert torch.equal(logits(held, frames), logits(plain, frames))
    with pytest.raises(ValueError, match=r"neuron: its current decays with a τ_syn above .* a second state"):
        load_nir(written(tmp_path / "c.nir", *current_based(3e-4, 1.0)))


def from_snntorch(path):
    snn = pytest.importorskip("snntorch")
    from snntorch import utils
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)

    def leaky(size, beta, **more):  # its exporter infers no shapes from single numbers
        return snn.Leaky(
            torch.full((size,), beta),
            torch.full((size,), 0.7),
            init_hidden=True,
            reset_mechanism="zero",
            **more,
        )

    net = torch.nn.Sequential(
        torch.nn.Linear(20, 12), leaky(12, 0.8), torch.nn.Linear(12, 4), leaky(4, 0.9, output=True)
    )
    nir.write(path, export_to_nir(net, torch.rand(1, 20), ignore_dims=[0]), compression=None)

    def run(frames):
        utils.reset(net)
        return sum(net(frames[:, step].flatten(1))[0] for step in range(frames.shape[1])) / frames.shape[1]

    return run, (1, 4, 5), {}


def from_spikingjelly(path):
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import functional, layer, neuron, nir_exchange

    logging.getLogger("spikingjelly").setLevel(logging.WARNING)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        neuron.LIFNode(2.3, decay_input=False, v_threshold=0.5),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 5),
        neuron.IFNode(0.5),
    )
    with contextlib.redirect_stderr(io.StringIO()):
        nir_exchange.export_to_nir(net, torch.rand(1, 2, 8, 8), path)

    def run(frames):
        functional.reset_net(net)
        return sum(net(frames[:, step]) for step in range(frames.shape[1])) / frames.shape[1]

    return run, (2, 8, 8), {}


def from_norse(path):
    """Its exporter writes dt/τ⁻¹ for τ, so that the time step is the square of its own."""
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)
    net = norse.SequentialState(
        torch.nn.Linear(20, 12), norse.LIFBoxCell(dt=1e-3), torch.nn.Linear(12, 4), norse.LIFBoxCell(dt=1e-3)
    )
    with torch.no_grad():
        net[0].weight *= 20
        net[2].weight *= 20
    nir.write(path, norse.to_nir(net, torch.rand(1, 20)), compression=None)

    def run(frames):
        state, total = None, 0
        for step in range(frames.shape[1]):
            fired, state = net(frames[:, step].flatten(1), state)
            total = total + fired
        return total / frames.shape[1]

    return run, (1, 4, 5), {"dt": 1e-6}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("program", [from_snntorch, from_spikingjelly, from_norse])
def test_files_of_other_programs_give_the_same_rates(tmp_path, program):
    run, frame, options = program(tmp_path / "a.nir")
    model = load_nir(tmp_path / "a.nir", frame=frame, **options)
    frames = 3 * torch.rand(32, 10, *frame, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = run(frames)
    got = logits(model, frames)
    assert ((got - expected).abs() < 1e-5).float().mean() > 0.97  # a rounding at a threshold may flip a spike
    assert (got.argmax(1) == expected.argmax(1)).float().mean() > 0.96
    assert expected.std(0).max() > 0.02


def test_the_command_writes_a_checkpoint_that_knows_its_data(tmp_path, cache_path, capsys):
    with FrameCache(cache_path) as cache:
        data, model = data_spec(cache), lively("7b-widenet", "lif", num_classes=2, size=(16, 16))
        save_checkpoint(tmp_path / "first.pt", model, data)
        exported = export(tmp_path / "first.pt", BRIEFLY, tmp_path / "a.nir")[0]
        assert main([str(exported), "--out", str(tmp_path / "a.pt")]) == 0
        printed = capsys.readouterr()
        assert printed.out.startswith("c4k3s1-LIF-")
        assert printed.err == ""
        before, after = (read_checkpoint(tmp_path / name) for name in ("first.pt", "a.pt"))
        assert replace(after.data, fingerprint=data.fingerprint) == data
        assert evaluate_checkpoint(after, cache).accuracy == evaluate_checkpoint(before, cache).accuracy


def test_a_time_step_that_nobody_states_is_told(tmp_path, capsys):
    path = written(tmp_path / "a.nir", *small())
    assert main([str(path), "--out", str(tmp_path / "a.pt")]) == 0
    assert "states no time step; its time constants were taken for 0.0001 s" in capsys.readouterr().err
    assert read_nir(path).dt_from == "usual"
    assert main([str(path), "--out", str(tmp_path / "a.pt"), "--dt", "1e-4"]) == 0
    assert capsys.readouterr().err == ""


def changed(name, **values):
    def change(nodes, edges):
        for key, value in values.items():
            setattr(nodes[name], key, value)
        return nodes, edges

    return change


def with_node(name, node, *more):
    return lambda nodes, edges: ({**nodes, name: node}, [*edges, *more])


ONES = np.ones((2, 4, 4), np.float32)
WRONG = {
    "a loop": (
        lambda nodes, edges: (nodes, [*edges, ("neuron", "conv")]),
        "it is recurrent, .*neuron.* networks here run forward only",
    ),
    "an unknown node": (
        with_node("delay", nir.Delay(ONES), ("input", "delay"), ("delay", "conv")),
        "delay: Delay has no counterpart here; known are Input",
    ),
    "a nested graph": (
        with_node("inner", nir.NIRGraph(*small()), ("input", "inner"), ("inner", "conv")),
        "inner: NIRGraph has no counterpart",
    ),
    "two inputs": (with_node("more", nir.Input({"input": np.array((2, 4, 4))}), ("more", "conv")), "it has 2 nodes"),
    "a node that nothing feeds": (with_node("more", nir.IF(ONES, ONES), ("more", "pool")), "more takes nothing"),
    "a node that leads nowhere": (
        with_node("more", nir.IF(1e4 * ONES, ONES), ("conv", "more")),
        "nothing takes what more",
    ),
    "weights of another shape": (changed("conv", weight=np.ones((2, 3, 3, 3))), r"conv: weight is \[2, 3, 3, 3\]"),
    "a matrix of another shape": (changed("linear", weight=np.ones((3, 9))), r"linear: weight is \[3, 9\]"),
    "neurons of another shape": (changed("neuron", tau=np.full((2, 3, 4), 1e-3)), r"neuron: tau is \[2, 3, 4\]"),
    "weights that are not finite": (changed("linear", weight=np.full((3, 8), np.nan)), "weight holds values that are"),
    "weights beyond float32": (changed("linear", weight=np.full((3, 8), 1e300)), "values beyond those of float32"),
    "neurons that differ from place to place": (
        changed("neuron", tau=1e-3 + 1e-4 * np.arange(32.0).reshape(2, 4, 4)),
        "neuron: tau differs within a channel",
    ),
    "a leak of more than all": (changed("neuron", tau=1e-6 * ONES), r"tau of 1e-06 s is below the time step of 0.0001"),
    "a time constant below 0": (changed("neuron", tau=-ONES), "tau must be above 0, got -1"),
    "a threshold below rest": (changed("neuron", v_threshold=-ONES), "v_threshold is not above v_reset"),
    "pools that overlap": (changed("pool", stride=np.array([1, 1])), "pools here do not overlap"),
    "a dilation beyond all": (changed("conv", dilation=np.array([10**6, 10**6])), "with its groups and dilation"),
    "a padding of half a pixel": (changed("conv", padding=np.array([0.5, 1])), "padding is .*; expected one or two"),
    "maps that are too large": (
        changed("conv", padding=np.array([10**6, 10**6])),
        r"for \[2, 2000002, 2000002\] neurons",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_what_no_network_here_can_be_is_refused(tmp_path, change, message):
    path = written(tmp_path / "a.nir", *change(*small()))
    with pytest.raises(ValueError, match=message) as caught:
        load_nir(path)
    assert str(path) in str(caught.value)
    assert main([str(path), "--out", str(tmp_path / "a.pt")]) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["a.nir"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dt": 0.0}, "the time step is 0.0"),
        ({"dt": float("nan")}, "the time step is nan"),
        ({"reset": "gentle"}, "unknown reset 'gentle'; choose one of hard, soft"),
        ({"frame": (2, 5, 5)}, r"which frames \[2, 5, 5\] \(C, H, W\) do not fit"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        load_nir(written(tmp_path / "a.nir", *small()), **options)


def edited(path, edit):
    with h5py.File(path, "r+") as file:
        edit(file)


def replaced(name, value):
    def edit(file):
        del file[name]
        if value is not None:
            file[name] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (replaced("version", "3.0"), "is of NIR '3.0', of which 0.2.x, 1.x are known here"),
        (replaced("version", None), "is no NIR file: it holds"),
        (replaced("node/type", "LIF"), "expected a NIRGraph"),
        (replaced("node/nodes/conv/type", None), "'conv' does not say what kind of node it is"),
        (replaced("node/nodes/conv/weight", None), "conv: Conv2d needs numbers for weight"),
        (replaced("node/nodes/conv/weight", "heavy"), "needs numbers for weight, got 'heavy'"),
        (replaced("node/edges", 3), "linear takes nothing|takes nothing; an edge to it is missing"),
        (replaced("node/edges", [["input", "nobody"]]), "names 'nobody', which is no node"),
    ],
)
def test_files_that_say_something_else_are_refused(tmp_path, edit, message):
    path = written(tmp_path / "a.nir", *small())
    edited(path, edit)
    with pytest.raises(ValueError, match=message):
        load_nir(path)


def test_a_description_that_is_damaged_is_refused(tmp_path):
    for text, message in [
        ("{", "Expecting property"),
        ("[1]", "expected an object"),
        ('{"steps": 0.5}', "in_channels is missing"),
    ]:
        with pytest.raises(ValueError, match=message):
            load_nir(written(tmp_path / "a.nir", *small(), evglif=text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file at .*nothing\.nir"):
        load_nir(tmp_path / "nothing.nir")


def fuzz(folder, first, num):
    path = written(Path(folder) / "a.nir", *small())
    return outcomes(load_nir, path, (ValueError,), range(first, first + num), is_zip=False)


def test_damaged_files_are_read_or_refused(tmp_path):
    found = fuzz(tmp_path, 0, 60)
    assert found.total() == 60
    assert found["refused"] > 15


@pytest.mark.exhaustive
def test_a_thousand_damaged_files_are_read_or_refused_in_little_memory(tmp_path):
    found = apart(f"tests.evglif.nir.test_load:fuzz({str(tmp_path)!r}, 1000, 1000)")
    assert found["read"] + found["refused"] == 1000
    assert found["megabytes"] < 500


NAMES = ["IF", "LIF", "CubaLIF", "Linear", "SumPool2d", "Output", "Flatten", "x"]


def test_parameters_of_any_size_and_kind_are_taken_or_refused(tmp_path):
    """Every value of every node in turn, by values that its writer would not choose."""
    random = np.random.default_rng(0)
    values = [None, "x", -1, 0, 1e300, np.nan, np.zeros(0), np.ones((1, 1)), 2**62, np.arange(8), np.ones((9, 9, 9, 9))]
    path = written(tmp_path / "a.nir", *small())
    whole, found = path.read_bytes(), []
    with h5py.File(path) as file:
        places = []
        file.visititems(lambda name, node: places.append(name) if isinstance(node, h5py.Dataset) else None)
    for place in places:
        for value in random.permutation(len(values))[:4]:
            chosen = str(random.choice(NAMES)) if place.endswith("type") else values[value]
            path.write_bytes(whole)
            edited(path, replaced(place, chosen))
            try:
                load_nir(path)
                found.append("")
            except ValueError as error:
                found.append(str(error))
    assert max(map(len, found)) < 600
    assert 5 < found.count("") < len(found) - 60
