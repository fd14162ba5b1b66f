"""GLIF and PLIF spiking networks for event recordings: neurons, models, training."""

import preprocessing.starting  # noqa: F401 - before what takes long to import, see there
from evglif.checkpoint import load_checkpoint, save_checkpoint
from evglif.models import build_model
from evglif.neurons import GLIF, IF, LIF, PLIF, GLIFf
from evglif.pretrained import from_pretrained, save_pretrained

__all__ = [
    "GLIF",
    "IF",
    "LIF",
    "PLIF",
    "GLIFf",
    "build_model",
    "from_pretrained",
    "load_checkpoint",
    "save_checkpoint",
    "save_pretrained",
]

__version__ = "0.1.0"
