"""What an exported file says of itself is checked field by field, and all of it together with its graph."""

import copy
import json
import re

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from deploy.running.metadata import KEY, ModelMetadata
from deploy.runtime import Classifier
from tests.helpers.onnx_models import DAMAGED, describe, step_model

NESTED = "[" * 5000 + "]" * 5000
KINDS = [None, True, -1, 0, 3, 10**30, 0.5, 1e300, "", "x", [], [1], [[3]], {}, {"name": 1}]


@pytest.mark.parametrize("name", DAMAGED)
def test_an_error_names_file_field_and_value(name):
    changed, field = DAMAGED[name]
    with pytest.raises(
        ValueError, match=rf"^m\.onnx: its description is damaged: .*{re.escape(field)} is .+, expected"
    ):
        ModelMetadata.from_json(describe(**changed), "m.onnx")


def test_the_whole_description_comes_back():
    metadata = ModelMetadata.from_json(describe(), "m.onnx")
    assert ModelMetadata.from_json(metadata.to_json(), "m.onnx") == metadata


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"version": NaN}', NESTED, '"' + "x" * 99, '{"steps": 1%s}' % ("0" * 5000)]
)
def test_texts_that_are_no_description(text):
    with pytest.raises(ValueError, match=r"^m\.onnx: its description"):
        ModelMetadata.from_json(text, "m.onnx")


def changed_at(value, path, to):
    """A copy of nested tables and lists in which the value at a path is another one, or gone."""
    copied = copy.deepcopy(value)
    inside = copied
    for step in path[:-1]:
        inside = inside[step]
    if to is ...:
        del inside[path[-1]]
    else:
        inside[path[-1]] = to
    return copied


def places(value, path=()):
    """The paths of everything inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in inside:
        yield (*path, step)
        yield from places(each, (*path, step))


WHOLE = json.loads(describe())


@given(
    st.lists(st.tuples(st.sampled_from(list(places(WHOLE))), st.sampled_from([*KINDS, ...])), min_size=1, max_size=3)
)
def test_any_change_is_taken_or_refused_with_one_kind_of_error(changes):
    damaged = WHOLE
    for path, to in changes:
        try:
            damaged = changed_at(damaged, path, to)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # what it lies in has gone before
    said = ""
    try:
        ModelMetadata.from_json(json.dumps(damaged), "m.onnx")
    except ValueError as error:
        said = str(error)
    assert not said or said.startswith("m.onnx: its description ")


def described(path, **changed):
    proto = onnx.load(path)
    helper.set_model_props(proto, {KEY: json.dumps({**json.loads(proto.metadata_props[0].value), **changed})})
    onnx.save(proto, path)
    return path


STATE = {"name": "membrane_0", "layer": "layer", "shape": [2], "rest": 0.25}
OTHER = [
    (
        {"classes": ["a", "b", "c"]},
        r"the output 'logits' is a tensor\(float\) of \[batch, 2\], expected a .*\[batch, 3\]",
    ),
    ({"states": []}, r"'membrane_0': input of only one of the two"),
    ({"states": [STATE, {**STATE, "name": "membrane_1"}]}, "'membrane_1': input of only one of the two"),
    ({"states": [{**STATE, "shape": [3]}]}, r"the input 'membrane_0' .*\[batch, 2\], expected .*\[batch, 3\]"),
    (
        {"channels": ["gray"], "preprocessing": None},
        r"the input 'frame' .*\[batch, 2, 4, 4\], expected .*\[batch, 1, 4, 4\]",
    ),
    ({"form": "unrolled", "states": []}, "'frame', 'frames', 'membrane_0', 'step': input of only one of the two"),
]


@pytest.mark.parametrize(("changed", "said"), OTHER)
def test_a_description_of_another_graph_is_refused(tmp_path, changed, said):
    path = described(step_model(tmp_path / "m.onnx"), **changed)
    with pytest.raises(ValueError, match=rf"m\.onnx: its graph is not the one that its description is of: {said}"):
        Classifier(path)


def test_a_graph_that_gives_other_shapes_than_it_says_is_an_error_of_ours(tmp_path):
    path = step_model(tmp_path / "m.onnx")
    proto = onnx.load(path)
    for node in proto.graph.node:
        node.output[:] = ["two" if name == "logits" else name for name in node.output]
    proto.graph.node.append(helper.make_node("Concat", ["two", "two"], ["logits"], axis=0))
    onnx.save(proto, path)
    with pytest.raises(ValueError, match=r"m\.onnx: logits has the shape \[2, 2\], expected \[1, 2\]"):
        Classifier(path).stream()._session.step(*first_step(path))


def first_step(path):
    session = Classifier(path)._session
    return np.zeros((1, 2, 4, 4), np.float32), 0, session.at_rest()
