"""One layer by its activity: 64 → 64 channels, 3×3, 48×48, T = 16, run by its events, against torch and the memory.

Before anything is timed, the int8 layer has to equal the plain reference on its first step. Beside the times stands how
long one pass over the layer's currents in memory takes, in the same run: a dense run cannot avoid it.

Example:
    .venv/bin/python -m scripts.bench.events_layer --repeats 9
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from deploy.events import reference
from deploy.events.engine import Engine
from deploy.events.file import Model, model_of
from deploy.events.plan import INPUT, LOGITS, Layer, Mean, Neuron, Plan, Term
from deploy.running.metadata import ModelMetadata
from preprocessing.commands import command
from scripts.bench.common import in_turns, machine, parser, timed

CHANNELS, SIDE, STEPS = 64, 48, 16
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.6)


@command("no figures were kept")
def main() -> None:
    options = parser(__doc__, repeats=7).parse_args()
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    weights = generator.normal(0, 0.05, (3, 3, CHANNELS, CHANNELS)).astype(np.float32)
    engines = {name: Engine(layer(weights, name), threads=1) for name in ("fp32", "int8")}
    conv = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False).requires_grad_(False)
    conv.weight.copy_(torch.from_numpy(weights.transpose(3, 2, 0, 1)))
    current = np.ones((STEPS, SIDE, SIDE, CHANNELS), np.float32)
    print("active     torch      fp32  / torch      int8  / torch   memory")
    for share in SHARES:
        frames = (generator.random((STEPS, CHANNELS, SIDE, SIDE)) < share).astype(np.float32)
        check(engines["int8"], frames)
        jobs = {"torch": partial(timed, partial(conv, torch.from_numpy(frames)))}
        jobs |= {name: partial(of_the_layer, engine, frames) for name, engine in engines.items()}
        jobs |= {"memory": partial(timed, partial(np.add, current, 1, out=current))}
        taken = {name: 1e3 * seconds for name, seconds in in_turns(jobs, options.repeats).items()}
        ratios = (f"{taken[name]:9.2f} {taken['torch'] / taken[name]:7.1f} ×" for name in ("fp32", "int8"))
        print(f"{share:6.0%} {taken['torch']:9.2f} {' '.join(ratios)} {taken['memory']:8.2f}", flush=True)
    print(f"ms, with neurons but in torch; {machine('torch', 'numba')}, 1 thread, median of {options.repeats}")


def layer(weights: NDArray[np.float32], precision: str) -> Model:
    """Frames become spikes, and these the layer in question, ``"fired"``."""
    ones = np.ones(CHANNELS, np.float32)
    tensors: dict[str, NDArray[np.generic]] = {
        "ones": ones, "nought": 0 * ones, "half": ones / 2, "weights": weights,
        "head": np.zeros((SIDE, SIDE, CHANNELS, 2), np.float32), "bias": np.zeros(2, np.float32),
    }  # fmt: skip
    term = Term("seen", "weights", padding=(1, 1))
    if precision == "int8":
        scale = np.abs(weights).max((0, 1, 2)) / np.float32(127)
        tensors |= {"weights": np.round(weights / scale).astype(np.int8), "scales": scale}
        term = Term("seen", "weights", padding=(1, 1), scales="scales", sums="int16")
    seen = Neuron("nought", "nought", "ones", "nought", "nought", "half", 0.0, True)
    fired = Neuron("half", "nought", "ones", "half", "nought", "ones", 0.0, True)
    operations = (
        Layer("seen", (Term(INPUT, "ones"),), "nought", seen),
        Layer("fired", (term,), "nought", fired),
        Mean("mean", "fired"),
        Layer(LOGITS, (Term("mean", "head"),), "bias"),
    )
    names = tuple(map(str, range(CHANNELS)))
    metadata = ModelMetadata(("0", "1"), STEPS, (SIDE, SIDE), names, 1.0, None, None, {"encoder": "frames"}, {}, "")
    return model_of(Plan("frames", "", "", operations), tensors, metadata)


def of_the_layer(engine: Engine, frames: NDArray[np.float32]) -> float:
    """Seconds of the layer alone."""
    return engine.seconds(frames)["fired"]


def check(engine: Engine, frames: NDArray[np.float32]) -> None:
    """The first step's spikes are the reference's."""
    model = engine.model
    spikes = engine.values(frames)["fired"].counts()[:1]
    fired = model.plan.operations[1]
    assert isinstance(fired, Layer)
    assert fired.neuron
    term = fired.terms[0]
    sums = reference.convolved(frames[:1], model.tensors[term.weights], term)
    current = model.tensors[term.scales][:, None, None] * np.rint(sums).astype(np.int32).astype(np.float32)
    assert np.array_equal(reference.fire(model, fired.neuron, current), spikes)


if __name__ == "__main__":
    sys.exit(main())
