"""Files of events: a round trip, and whatever may be wrong with one.

EVGLIF_FUZZ=2000 runs so many damages instead of a few.
"""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from deploy.events import file
from deploy.events.engine import Engine
from deploy.events.plan import LOGITS, Layer, Plan
from deploy.events.shapes import largest_sum
from tests.deploy.events.test_engine import frames_of
from tests.helpers.events_models import Handmade, small_model

FUZZ = int(os.environ.get("EVGLIF_FUZZ", "150"))


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "model.events"
    file.write(path, small_model())
    return path


def rewritten(path, change):
    """The file with another header."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    return path


def replanned(path, change):
    """The file with another plan."""

    def on_header(header):
        plan = json.loads(header["__metadata__"]["events"])
        change(plan)
        header["__metadata__"]["events"] = json.dumps(plan)

    return rewritten(path, on_header)


def test_a_file_holds_what_was_written(written):
    model, read = small_model(), file.read(written)
    assert (read.plan, read.metadata, read.shapes) == (model.plan, model.metadata, model.shapes)
    assert all(np.array_equal(read.tensors[name], tensor) for name, tensor in model.tensors.items())
    frames = frames_of(model, batch=2)
    np.testing.assert_array_equal(Engine(read).logits(frames), Engine(model).logits(frames))


def test_it_is_told_by_its_first_bytes_and_else_by_its_suffix(written, tmp_path):
    other = tmp_path / "model.bin"
    other.write_bytes(written.read_bytes())
    assert file.is_events_file(other)
    (tmp_path / "cut.events").write_bytes(b"\1")
    assert file.is_events_file(tmp_path / "cut.events")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0aonnx and more")
    assert not file.is_events_file(tmp_path / "model.onnx")


def test_a_file_cut_short_is_refused_wherever_it_ends(written):
    content = written.read_bytes()
    for size in {0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1}:
        written.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"model.events.*(cut short|JSON)"):
            file.read(written)
    written.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="1 bytes more"):
        file.read(written)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no model at .*none.events; export one"):
        file.read(tmp_path / "none.events")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan["operations"][0].update(kind="attention"), "unknown kind of layer, 'attention'"),
        (lambda plan: plan.update(encoder="poisson"), "unknown encoder, 'poisson'"),
        (lambda plan: plan["operations"][1]["terms"][0].update(source="nowhere"), "made of 'nowhere'"),
        (lambda plan: plan["operations"][1]["terms"][0].update(weights="none"), "does not hold"),
        (lambda plan: plan["operations"][1]["terms"][0].update(sums="int8"), "sums in 'int8'"),
        (lambda plan: plan["operations"][1]["terms"][0].update(sums="float32"), "in int8"),
        (lambda plan: plan["operations"][1]["terms"][0].update(stride=[0, 1]), "stride of"),
        (lambda plan: plan["operations"][1]["terms"][0].update(padding=[9, 1]), "padding of"),
        (lambda plan: plan["operations"][1]["terms"][0].update(padding=[1, 1.5]), "size .y, x. in pixels"),
        (lambda plan: plan["operations"][1]["neuron"].update(rest=float("inf")), "rests at inf"),
        (lambda plan: plan["operations"][1].update(colour="red"), "should say"),
        (lambda plan: plan["operations"][1].update(out="seen"), "'seen' twice"),
        (lambda plan: plan["operations"].pop(), "does not end in 'logits'"),
        (lambda plan: plan.update(operations={}), "no list"),
        (lambda plan: plan.update(std="tensor0"), "by a mean and a positive std"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(written, change, message):
    with pytest.raises(ValueError, match=f"(?s)model.events is damaged.*({message})"):
        file.read(replanned(written, change))


def test_another_version_is_named(written):
    rewritten(written, lambda header: header["__metadata__"].update(events_version="7"))
    with pytest.raises(ValueError, match="version 7 of this format, this package reads 1; export the checkpoint anew"):
        file.read(written)


def test_another_number_of_steps_does_not_fit_the_gain():
    model = small_model()
    gain = "gains"
    tensors = {**model.tensors, gain: np.ones((5, 4), np.float32)}
    first, second, *rest = model.plan.operations
    second = replace(second, neuron=replace(second.neuron, gain=gain))
    with pytest.raises(ValueError, match=r"has 4 channels and 3 steps, its gain \(5, 4\)"):
        file.model_of(replace(model.plan, operations=(first, second, *rest)), tensors, model.metadata)


def test_another_frame_does_not_fit_the_weights(written):
    def narrower(header):
        description = json.loads(header["__metadata__"]["evglif"])
        header["__metadata__"]["evglif"] = json.dumps({**description, "channels": ["OFF", "ON"]})

    with pytest.raises(ValueError, match="channels"):
        file.read(rewritten(written, narrower))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    model = small_model()
    made = next(each for each in model.plan.operations if each.out == LOGITS)
    model.tensors[made.terms[0].weights][0, 0, 0, 0] = value
    file.write(tmp_path / "model.events", model)
    with pytest.raises(ValueError, match=r"'logits' has NaN or infinite values"):
        file.read(tmp_path / "model.events")


def test_a_sum_that_could_overflow_is_refused(tmp_path):
    made = Handmade(259)
    made.spikes("fired", [made.term("seen", np.full((1, 1, 259, 2), 127, np.int8), "int32", np.ones(2))], [0, 0])
    model = made.model("fired", 2, frame_channels=259)
    fired = model.plan.operations[1]
    short = replace(fired, terms=(replace(fired.terms[0], sums="int16"),))
    operations = tuple(short if each is fired else each for each in model.plan.operations)
    file.write(tmp_path / "model.events", replace(model, plan=replace(model.plan, operations=operations)))
    with pytest.raises(ValueError, match="int16, where a sum could reach 32893 and overflow"):
        file.read(tmp_path / "model.events")


def test_the_bound_counts_minus_128():
    assert largest_sum(np.full((1, 1, 2, 1), -128, np.int8), 3) == 768


def test_a_plan_is_the_same_after_its_text():
    plan = small_model().plan
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan
    assert any(isinstance(each, Layer) and each.neuron for each in plan.operations)


@pytest.mark.parametrize("part", ["anywhere", "header"])
def test_damaged_files_give_our_error_or_a_model_that_runs(written, part):
    content, generator = written.read_bytes(), np.random.default_rng(0)
    end = len(content) if part == "anywhere" else 8 + int.from_bytes(content[:8], "little")
    refused = []
    for _ in range(FUZZ):
        damaged = np.frombuffer(content, np.uint8).copy()
        places = generator.integers(0, end, generator.integers(1, 4))
        damaged[places] = generator.integers(0, 256, len(places)) if generator.random() < 0.5 else ord("9")
        written.write_bytes(damaged.tobytes())
        try:
            model = file.read(written)
        except ValueError as error:
            refused.append(str(error))
            continue
        width, height = model.metadata.size
        shape = (1, model.metadata.steps, len(model.metadata.channels), height, width)
        if np.prod(shape) < 1e6:
            assert Engine(model, threads=1).logits(np.ones(shape, np.float32)).shape == (1, 2)
    assert len(refused) > FUZZ // 10
    assert all("model.events" in each for each in refused)
