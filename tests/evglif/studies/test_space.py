import math

import pytest

from evglif.recipe import Recipe
from evglif.studies.space import Dimension, differing, draws, full_name, grid, parse_dimension, said, with_settings


def test_values_are_read_as_yaml_and_names_may_be_short():
    assert parse_dimension("lr=1e-3,0.01") == Dimension("optim.lr", (1e-3, 0.01))
    assert parse_dimension("neuron=glif,plif") == Dimension("model.neuron", ("glif", "plif"))
    assert parse_dimension("model.widths=[8,16],[16,32]").values == ([8, 16], [16, 32])
    assert parse_dimension("ema=null,0.99").values == (None, 0.99)


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("model.neuron.sharing", "model.sharing"),
        ("sharing", "model.sharing"),
        ("model.neuron.name", "model.neuron"),
        ("v_th", "model.v_th"),
    ],
)
def test_options_of_the_neuron_are_named_as_recipes_name_them(name, full):
    assert full_name(name) == full
    assert parse_dimension(f"{name}=a,b").name == full


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lr", "expected NAME=VALUE"),
        ("optim.lrr=1", "did you mean optim.lr"),
        ("name=adam", "did you mean optim.name or loss.name"),
        ("seed=1,2", "--seeds"),
        ("lr=1,1", "twice"),
        ("lr=log:0..1", "both above 0"),
        ("lr=2..1", "LOW < HIGH"),
        ("lr=a..b", "two numbers"),
        ("lr=[1", "no YAML"),
    ],
)
def test_what_cannot_be_swept_is_refused(text, told):
    with pytest.raises(ValueError, match=told.replace("[", r"\[")):
        parse_dimension(text)


def test_a_grid_holds_every_value_with_every_other():
    settings = grid([parse_dimension("lr=0.1,0.2"), parse_dimension("neuron=glif,lif")])
    assert [said(each) for each in settings] == [
        "optim.lr=0.1,model.neuron=glif",
        "optim.lr=0.1,model.neuron=lif",
        "optim.lr=0.2,model.neuron=glif",
        "optim.lr=0.2,model.neuron=lif",
    ]
    with pytest.raises(ValueError, match="--random N"):
        grid([parse_dimension("lr=0.1..0.2")])
    with pytest.raises(ValueError, match="100,000,000 settings"):
        grid([Dimension(str(number), tuple(range(100))) for number in range(4)])


def test_random_settings_lie_in_their_range_and_more_of_them_begin_with_the_same():
    dimensions = [parse_dimension("lr=log:1e-4..1e-1"), parse_dimension("neuron=glif,lif")]
    few, many = draws(dimensions, 5, seed=3), draws(dimensions, 400, seed=3)
    assert many[:5] == few
    logs = [math.log10(each["optim.lr"]) for each in many]
    assert -4 <= min(logs) < -3.9
    assert -1.1 < max(logs) <= -1
    assert 0.4 < sum(log < -2.5 for log in logs) / len(logs) < 0.6  # even in the logarithm
    assert {each["model.neuron"] for each in many} == {"glif", "lif"}
    assert draws(dimensions, 5, seed=4) != few


def test_settings_change_what_they_name_and_nothing_else():
    base = Recipe()
    changed = with_settings(base, {"optim.lr": 0.5, "model.neuron": "plif", "epochs": 3})
    assert (changed.optim.lr, changed.model["neuron"], changed.epochs) == (0.5, "plif", 3)
    assert with_settings(changed, {"optim.lr": base.optim.lr, "epochs": base.epochs}).loader == base.loader
    with pytest.raises(ValueError, match=r"epochs=0: epochs must be at least 1"):
        with_settings(base, {"epochs": 0})
    with pytest.raises(ValueError, match=r"optim.lr=fast: .*lr is 'fast'"):
        with_settings(base, {"optim.lr": "fast"})


def test_of_several_settings_only_what_differs_is_told():
    assert list(differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])) == [{"b": 2}, {"b": 3, "c": 4}]


def test_what_one_neuron_alone_has_tells_nothing_more_than_its_name():
    channel, layer = ({"model.neuron": "glif", "model.sharing": each} for each in ("channel", "layer"))
    lif = {"model.neuron": "lif"}
    assert list(differing([channel, lif])) == [{"model.neuron": "glif"}, {"model.neuron": "lif"}]
    assert list(differing([channel, layer, lif])) == [channel, layer, lif]
