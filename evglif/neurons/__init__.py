"""The neurons, and the specification by which a network asks for one."""

from evglif.neurons.base import SpikingNeuron, layer_values, parameter_roles
from evglif.neurons.channels import ChannelLIF
from evglif.neurons.glif import GLIF
from evglif.neurons.glif_f import GLIFf
from evglif.neurons.lif import IF, LIF
from evglif.neurons.plif import PLIF
from evglif.neurons.relu import ReLU
from evglif.neurons.spec import (
    NEURONS,
    Neuron,
    NeuronSpec,
    build_neuron,
    neuron_of_channels,
    options_of,
    register_neuron,
)
from evglif.neurons.state import NeuronState

__all__ = [
    "GLIF",
    "IF",
    "LIF",
    "NEURONS",
    "PLIF",
    "ChannelLIF",
    "GLIFf",
    "Neuron",
    "NeuronSpec",
    "NeuronState",
    "ReLU",
    "SpikingNeuron",
    "build_neuron",
    "layer_values",
    "neuron_of_channels",
    "options_of",
    "parameter_roles",
    "register_neuron",
]
