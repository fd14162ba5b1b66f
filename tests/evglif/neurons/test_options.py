"""Which options of a specification a neuron takes."""

from dataclasses import fields

import pytest

from evglif.neurons import NEURONS, NeuronSpec, options_of, register_neuron
from evglif.neurons.spec import GATES_BY_NAME


class Watched:
    """A specification that notes what is asked of it."""

    def __init__(self, name):
        self.spec, self.asked = NeuronSpec(name), set()

    def __getattr__(self, name):
        self.asked.add(name)
        return getattr(self.spec, name)


@pytest.mark.parametrize("name", NEURONS)
def test_a_neuron_takes_the_options_that_it_is_built_by(name):
    watched = Watched(name)
    NEURONS[name](watched, 4, 3)
    said_by_name = {"gates"} if name in GATES_BY_NAME else set()
    said_by_name |= {"gate_range"} if name.startswith("simplex") else set()  # where gates that are drawn begin
    assert options_of(name) == watched.asked - {"name"} - said_by_name


def test_one_of_ones_own_may_take_all(monkeypatch):
    monkeypatch.setattr("evglif.neurons.spec.NEURONS", dict(NEURONS))
    register_neuron("own", lambda spec: spec)
    assert options_of("own") == options_of() == {field.name for field in fields(NeuronSpec)} - {"name"}
