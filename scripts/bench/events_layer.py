"""One layer by its activity: 64 → 64 channels, 3×3, 48×48, T = 16, run by its events, against torch and the machine.

Before anything is timed, the int8 layer has to equal the plain reference on its first step. Times are the processor's
own for one thread, so that other jobs on the machine count little, and the best of all turns. Beside them stand two
limits of the machine, measured in the same run: one pass over the layer's currents in memory, which no dense run can
avoid; and nothing but the additions that the active inputs ask for, sums in registers and weights in the nearest cache.

Example:
    .venv/bin/python -m scripts.bench.events_layer --repeats 9
"""

from __future__ import annotations

import sys
from functools import partial
from time import thread_time
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from deploy.events import reference
from deploy.events.engine import Engine
from deploy.events.file import Model, model_of
from deploy.events.packing import widest
from deploy.events.plan import INPUT, LOGITS, Layer, Mean, Neuron, Plan, Term
from deploy.events.vectors import FLOAT, SHORT, add_active, variant, widest_block
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
    names = ("torch", "fp32", "torch /", "its adds", "int8", "torch /", "its adds", "memory")
    print("active" + "".join(f"{name:>9}" for name in names))
    for share in SHARES:
        frames = (generator.random((STEPS, CHANNELS, SIDE, SIDE)) < share).astype(np.float32)
        check(engines["int8"], frames)
        timed_here = partial(timed, clock=thread_time)
        jobs = {"torch": partial(timed_here, partial(conv, torch.from_numpy(frames)))}
        jobs |= {name: partial(of_the_layer, engine, frames) for name, engine in engines.items()}
        jobs |= {f"{name} adds": partial(of_the_adds, name, int(frames.sum())) for name in engines}
        jobs |= {"memory": partial(timed_here, partial(np.add, current, 1, out=current))}
        taken = {name: 1e3 * seconds for name, seconds in in_turns(jobs, options.repeats, min).items()}
        columns = (
            f"{taken[name]:9.2f}{taken['torch'] / taken[name]:7.1f} ×{taken[f'{name} adds']:9.2f}" for name in engines
        )
        print(f"{share:6.0%}{taken['torch']:9.2f}{''.join(columns)}{taken['memory']:9.2f}", flush=True)
    vectors = f"vectors of {32 * widest()} bits"
    print(f"ms, with neurons but in torch; {machine('torch', 'numba')}, {vectors}, 1 thread, best of {options.repeats}")


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
    return engine.seconds(frames, thread_time)["fired"]


@njit
def _adds(number: int, sums: Any, weights: Any, word: Any, times: int) -> None:
    for _ in range(times):
        add_active(number, sums.ctypes.data, weights.ctypes.data, word)


def of_the_adds(precision: str, num_active: int) -> float:
    """Seconds of as many additions as the active inputs ask for: to 3 × 3 pixels less those outside, in 64 channels."""
    inputs, short = 16, precision == "int8"
    weights = np.ones((inputs, 3, CHANNELS), np.int8 if short else np.float32)
    sums = np.zeros((3, CHANNELS), np.int16 if short else np.float32)
    kind = SHORT if short else FLOAT
    block = widest_block(kind, widest(), 3)
    number = variant(kind, block, widest(), 3)
    times = num_active * (3 * SIDE - 2) // SIDE * (CHANNELS // block) // inputs
    word = np.uint64((1 << inputs) - 1)
    _adds(number, sums, weights, word, 1)
    return timed(partial(_adds, number, sums, weights, word, times), thread_time)


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
