"""Small plans made by hand: frames become spikes where they are above ½, and whatever is to be tried follows."""

import numpy as np

from deploy.events.file import model_of
from deploy.events.plan import INPUT, LOGITS, Layer, Mean, Neuron, Plan, Term
from deploy.running.metadata import ModelMetadata

STEPS = 3


def metadata(channels, size=(5, 4), classes=2, steps=STEPS):
    return ModelMetadata(
        classes=tuple(map(str, range(classes))),
        steps=steps,
        size=size,
        channels=tuple(map(str, range(channels))),
        scale=1.0,
        sensor=(128, 128),
        preprocessing=None
        if channels != 2  # frames of something else than events
        else {"kind": "events", "steps": steps, "size": list(size), "slicing": "duration:20ms"},
        model={"name": "handmade", "encoder": "frames"},
        versions={},
        weights_sha256="",
    )


class Handmade:
    """A plan that grows.

    Args:
        channels: of a frame.
    """

    def __init__(self, channels):
        self.tensors = {}
        self.operations = []
        self.spikes("seen", [self.term(INPUT, np.ones(channels, np.float32))], np.zeros(channels))

    def keep(self, value):
        name = f"tensor{len(self.tensors)}"
        self.tensors[name] = np.ascontiguousarray(value)
        return name

    def term(self, source, weights, sums="float32", scales=None, **how):
        scales = "" if scales is None else self.keep(np.float32(scales))
        return Term(source, self.keep(weights), sums=sums, scales=scales, **how)

    def add(self, operation):
        self.operations.append(operation)
        return operation.out

    def spikes(self, out, terms, bias, threshold=0.5, decay=0.0):
        values = [np.float32([value]) for value in (decay, 0, 1, decay, 0, threshold)]
        neuron = Neuron(*map(self.keep, values), rest=0.0, strict=True)
        return self.add(Layer(out, tuple(terms), self.keep(np.float32(bias)), neuron))

    def current(self, out, terms, bias):
        return self.add(Layer(out, tuple(terms), self.keep(np.float32(bias))))

    def model(self, source, channels, size=(5, 4), frame_channels=None, pixels=None):
        """End in two logits: the sums of a value's even and odd channels over all pixels, and the mean over time."""
        height, width = pixels or size[::-1]
        self.add(Mean("mean", source))
        weights = np.zeros((height, width, channels, 2), np.float32)
        weights[:, :, ::2, 0] = weights[:, :, 1::2, 1] = 1
        self.current(LOGITS, [self.term("mean", weights)], [0, 0])
        plan = Plan("frames", "", "", tuple(self.operations))
        return model_of(plan, self.tensors, metadata(frame_channels or channels, size))


def small_model():
    """Three channels, one convolution of spikes in int8."""
    made = Handmade(3)
    weights = np.random.default_rng(0).integers(-127, 128, (3, 3, 3, 4)).astype(np.int8)
    term = made.term("seen", weights, "int16", np.full(4, 0.01), padding=(1, 1))
    made.spikes("fired", [term], np.zeros(4), decay=0.5)
    return made.model("fired", 4, frame_channels=3)
