"""The compiled loops against the plain reference, on plans made by hand and on every network of the registry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.events import reference
from deploy.events.engine import Engine
from deploy.events.plan import Join, Pool
from deploy.events.vectors import LANES
from deploy.exporting.events.model import EventsModel
from deploy.exporting.prepare import describe, example_frames, prepared
from evglif.checkpoint import Checkpoint
from tests.helpers.checkpoints import NARROW, lively
from tests.helpers.events_models import STEPS, Handmade, small_model


def frames_of(model, seed=0, batch=None):
    width, height = model.metadata.size
    shape = (model.metadata.steps, len(model.metadata.channels), height, width)
    return np.random.default_rng(seed).random(shape if batch is None else (batch, *shape)).astype(np.float32)


def same(model, frames, **engine):
    """All counts are the reference's, one by one; where they are, so are logits but for roundings."""
    logits, expected = reference.run(model, frames)
    values = Engine(model, **engine).values(frames)
    for name, value in values.items():
        if value.shape.unit is not None:
            np.testing.assert_array_equal(value.counts() * np.float32(value.shape.unit), expected[name], err_msg=name)
    np.testing.assert_allclose(values["logits"].numbers[0, 0, 0], logits, rtol=1e-5, atol=1e-5)
    return expected


def exported(name, neuron, precision, **options):
    network = lively(name, neuron, **options)
    built = EventsModel(prepared(network, True), precision)
    return network, built.model(describe(Checkpoint(network, None, {})))


def uneven(model):
    """The model with another gain at every step, which a fresh network does not have."""
    generator = np.random.default_rng(0)
    neurons = [each.neuron for each in model.plan.operations if getattr(each, "neuron", None)]
    for gains in (model.tensors[neuron.gain] for neuron in neurons):
        if gains.ndim == 2:
            gains[:] *= generator.uniform(0.5, 1.5, gains.shape).astype(np.float32)
    return model


@settings(max_examples=60)
@given(
    seed=st.integers(0, 999),
    channels=st.sampled_from([1, 3, 16, 33, 70]),
    features=st.sampled_from([2, 16, 31, 48, 64, 100]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    counts=st.sampled_from(["spikes", "sums", "means", "largest", "and", "iand"]),
    long=st.booleans(),
)
def test_any_convolution_of_counts_is_exact(seed, channels, features, kernel, stride, counts, long):
    generator = np.random.default_rng(seed)
    made, source = Handmade(channels), "seen"
    if counts in ("and", "iand"):
        made.spikes("other", [made.term("input", np.float32(generator.normal(size=channels)))], np.zeros(channels))
        source = made.add(Join("joined", counts, "other", "seen"))
    elif counts == "largest":
        source = made.add(Pool("pooled", "max", "seen", (2, 2)))
    elif counts != "spikes":
        source = made.add(Join("twice", "add", "seen", "seen"))
        source = source if counts == "sums" else made.add(Pool("pooled", "mean", "twice", (2, 2)))
    weights = generator.integers(-20, 21, (*kernel, channels, features)).astype(np.int8)
    padding = tuple(int(generator.integers(0, each)) for each in kernel)
    sides = (4, 5) if counts not in ("means", "largest") else (2, 2)
    pixels = [(side + 2 * pad - k) // s + 1 for side, pad, k, s in zip(sides, padding, kernel, stride, strict=True)]
    if min(pixels) < 1:
        return
    term = made.term(
        source, weights, "int32" if long else "int16", generator.uniform(0.01, 0.1, features), stride=stride,
        padding=padding,
    )  # fmt: skip
    made.spikes("fired", [term], generator.normal(size=features), decay=0.7)
    model = made.model("fired", features, frame_channels=channels, pixels=pixels)
    frames = frames_of(model, seed)
    expected = same(model, frames, threads=1)["fired"]
    assert set(np.unique(expected)) <= {0, 1}


@pytest.mark.parametrize(("channels", "sums"), [(258, "int16"), (259, "int32")])
def test_sums_reach_the_limit_of_their_type(channels, sums):
    made = Handmade(channels)
    weights = np.full((1, 1, channels, 2), 127, np.int8)
    weights[..., 1] = -127
    made.spikes("fired", [made.term("seen", weights, sums, np.ones(2))], [-127 * channels + 1, 127 * channels + 1])
    model = made.model("fired", 2, frame_channels=channels)
    frames = np.ones_like(frames_of(model))
    assert same(model, frames)["fired"].all()


def test_a_trajectory_worked_out_by_hand():
    """U = U/2 + 2·count − ¼ with a hard reset above 1: one pixel sees 1, 0, 1 of a sum of two equal spikes."""
    made = Handmade(1)
    made.add(Join("twice", "add", "seen", "seen"))
    term = made.term("twice", np.full((1, 1, 1, 1), 10, np.int8), "int16", [0.04])
    made.spikes("fired", [term], [-0.25], threshold=1.0, decay=0.5)
    model = made.model("fired", 1, size=(1, 1))
    frames = np.float32([1, 0, 1]).reshape(3, 1, 1, 1)
    values = Engine(model).values(frames)
    # U: 0.55; 0.275 − 0.25 = 0.025; 0.0125 + 0.55 = 0.5625; no spike. With a threshold of ½: 0.55 fires, −0.25, 0.425.
    assert values["twice"].counts().ravel().tolist() == [2, 0, 2]
    assert values["fired"].counts().ravel().tolist() == [0, 0, 0]
    model.tensors[model.plan.operations[-3].neuron.threshold][:] = 0.5
    assert Engine(model).values(frames)["fired"].counts().ravel().tolist() == [1, 0, 0]


MATRIX = [
    ("7b-widenet", "glif", {}),
    ("7b-widenet", "plif", {"v_reset": -0.5, "connect": "iand"}),
    ("7b-widenet", "lif", {"connect": "and"}),
    ("cifarnet", "if", {"mean": (0.2, 0.3, 0.4), "std": (0.5, 0.6, 0.7)}),
    ("resnet18", "glif-f", {}),
    ("resnet34", "simplex-010", {"sharing": "layer", "steps": 1}),
    ("ms-resnet18", "glif", {}),
    ("plif-mnist", "plif", {"encoder": "latency"}),
    ("plif-cifar10", "glif", {"width": 20}),
    ("plif-dvs128gesture", "glif", {"pooling": "average"}),
]
"""Every kind of block, pooling, encoder and way to reset."""


@pytest.mark.parametrize(("name", "neuron", "options"), MATRIX, ids=str)
def test_int8_is_the_reference_spike_for_spike(name, neuron, options):
    network, model = exported(name, neuron, "int8", **options)
    expected = same(uneven(model), example_frames(network, 1).numpy()[0], threads=2)
    spikes = [expected[each.out] for each in model.plan.operations if getattr(each, "neuron", None)]
    assert sum(each.any() for each in spikes) > len(spikes) / 2


@pytest.mark.parametrize(("name", "neuron", "options"), [*MATRIX, ("ms-resnet18", "relu", {})], ids=str)
def test_fp32_agrees_with_the_checkpoint(name, neuron, options):
    network, model = exported(name, neuron, "fp32", **options)
    frames = example_frames(network, 3)
    with torch.no_grad():
        expected = network(frames).numpy()
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(Engine(model).logits(frames.numpy()), expected, atol=1e-4 * scale)


@pytest.mark.exhaustive
@pytest.mark.parametrize("neuron", ["glif", "plif", "lif", "if", "glif-f", "simplex-111", "relu"])
@pytest.mark.parametrize("name", NARROW)
def test_every_network_and_neuron(name, neuron):
    test_fp32_agrees_with_the_checkpoint(name, neuron, {})
    if neuron != "relu":
        test_int8_is_the_reference_spike_for_spike(name, neuron, {})


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_widths_threads_and_batches_give_the_same_bits(precision, monkeypatch):
    monkeypatch.setattr("deploy.events.worker._LEAST_WORK", 1)
    network, model = exported("7b-widenet", "glif", precision, width=20)
    frames = example_frames(network, 5).numpy()
    expected = Engine(model, threads=1).logits(frames)
    for lanes in LANES:
        np.testing.assert_array_equal(Engine(model, threads=1, lanes=lanes).logits(frames), expected)
    for threads in (2, 3):
        np.testing.assert_array_equal(Engine(model, threads=threads).logits(frames), expected)
    engine = Engine(model, threads=4)
    np.testing.assert_array_equal(np.concatenate([engine.logits(each[None]) for each in frames]), expected)
    assert engine.logits(frames[:0]).shape == (0, 10)


@pytest.mark.parametrize(("name", "neuron", "options"), [MATRIX[0], MATRIX[1], MATRIX[7], ("cifarnet", "glif", {})])
def test_steps_one_by_one_are_the_whole_run(name, neuron, options):
    network, model = exported(name, neuron, "int8", **options)
    engine, frames = Engine(uneven(model)), example_frames(network, 1).numpy()[0]
    whole = engine.logits(frames[None])[0]
    state, total = engine.at_rest(), np.zeros_like(whole)
    begun = state.copy()
    for step in range(model.metadata.steps):
        logits, following = engine.step(frames[min(step, len(frames) - 1)], step, state)
        assert step or np.array_equal(state, begun)  # what was handed in stays as it is
        state, total = following, total + logits
    np.testing.assert_allclose(total / model.metadata.steps, whole, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(engine.logits(frames[None])[0], whole)


def test_frames_that_are_not_finite_are_refused():
    model = small_model()
    frames = frames_of(model)
    frames[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        Engine(model).logits(frames[None])


def test_a_width_that_is_not_compiled():
    with pytest.raises(ValueError, match="4, 8, 16 numbers, got 5"):
        Engine(small_model(), lanes=5)


def test_steps_of_a_plan_made_by_hand():
    assert small_model().shapes["fired"].steps == STEPS
