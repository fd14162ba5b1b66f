"""GLIF and PLIF spiking networks for event recordings: neurons, models, training."""

from typing import TYPE_CHECKING

import preprocessing.starting  # noqa: F401 - before what takes long to import, see there
from preprocessing.later import later

if TYPE_CHECKING:
    from evglif.checkpoint import load_checkpoint, save_checkpoint
    from evglif.models import build_model, register_network
    from evglif.neurons import GLIF, IF, LIF, PLIF, GLIFf, SpikingNeuron, register_neuron
    from evglif.pretrained import from_pretrained, save_pretrained

__all__ = [
    "GLIF",
    "IF",
    "LIF",
    "PLIF",
    "GLIFf",
    "SpikingNeuron",
    "build_model",
    "from_pretrained",
    "load_checkpoint",
    "register_network",
    "register_neuron",
    "save_checkpoint",
    "save_pretrained",
]

__version__ = "0.1.0"

__getattr__ = later(
    __name__,
    {
        **dict.fromkeys(("load_checkpoint", "save_checkpoint"), "evglif.checkpoint"),
        **dict.fromkeys(("build_model", "register_network"), "evglif.models"),
        **dict.fromkeys(("GLIF", "IF", "LIF", "PLIF", "GLIFf", "SpikingNeuron", "register_neuron"), "evglif.neurons"),
        **dict.fromkeys(("from_pretrained", "save_pretrained"), "evglif.pretrained"),
    },
)
