"""Part one of the GPU day: does the fast backend give what the reference gives, spike for spike?

Every type and layout, with currents that are ordinary, that bring membranes exactly to the threshold, and that are no
numbers or nearly so. Spikes and membranes must be equal bit for bit; gradients may differ by their rounding. Then
training steps that are recorded as a CUDA graph, against the same steps one operator at a time. On a processor the
backend is numba's, and what records does the work again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the name everybody uses)

from evglif import build_model
from evglif.neurons import GLIF, PLIF
from evglif.recurrence import State, Trace, spiking_recurrence
from evglif.training.graphs import CudaGraphs, RecordedStep
from preprocessing.commands import command
from scripts.bench.common import parser
from scripts.bench.neuron_peers import DTYPES, LAYOUTS
from scripts.gpu.tables import Table, work_off

COLUMNS = ("type", "layout", "what", "spikes", "membranes", "gradients off by", "verdict")
SHAPE = 16, 3, 37, 9, 11
TOY_SHAPE = 3, 2, 5, 3, 3
LONG = 24
"""Steps that are held in registers in several parts."""


class Neuron(NamedTuple):
    """A neuron and how its surrogate is asked for."""

    layer: Callable[[int, int], nn.Module]
    surrogate: str
    strict: bool
    detach_reset: bool


NEURONS = {
    "GLIF": Neuron(lambda channels, steps: GLIF(channels, steps, init="cifar"), "rectangular", True, False),
    "PLIF": Neuron(lambda _, __: PLIF(2.0), "arctan", False, True),
}


@command("what is written so far is kept")
def main() -> int:
    options = parse_options()
    torch.manual_seed(0)
    table = Table(options.csv, COLUMNS)
    failed = work_off(cases(options, table), options.csv, options.seconds)
    if failed:
        print(f"{len(failed)} of the cases disagree or broke; the first: {failed[0]}")
    return 1 if failed else 0


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=1)
    made.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda")
    made.add_argument("--seconds", type=float, default=1e9, help="after which no further case is begun")
    made.add_argument("--csv", type=Path, required=True, help="file for the table")
    return made.parse_args()


def cases(options: argparse.Namespace, table: Table) -> Mapping[str, Callable[[], None]]:
    """What is compared, by name: first one of everything that networks use, then the rest."""
    on_gpu = options.device == "cuda"
    backend, shape = ("triton", SHAPE) if on_gpu else ("cpu", TOY_SHAPE)
    dtypes = DTYPES if on_gpu else ("fp32",)
    found: dict[str, Callable[[], None]] = {}
    for kind, neuron in product(CURRENTS, NEURONS):
        for dtype, layout in product(dtypes, LAYOUTS):
            name = f"{neuron}, {kind}"
            job = partial(compare, table, (dtype, layout, name), neuron, kind, shape, backend, options.device)
            found[f"{name}, {dtype}, {layout}"] = job
        if kind == "ordinary":
            for dtype in dtypes:
                name = f"recorded training steps, {dtype}, {neuron}"
                found[name] = partial(compare_recorded, table, dtype, neuron, options.device)
    long = (LONG, *shape[1:])
    for dtype, layout in product(dtypes, LAYOUTS):
        name = f"GLIF from a state, T = {LONG}"
        job = partial(compare, table, (dtype, layout, name), "GLIF", "ordinary", long, backend, options.device, True)
        found[f"{name}, {dtype}, {layout}"] = job
    return found


def compare(
    table: Table,
    names: tuple[str, str, str],
    neuron: str,
    kind: str,
    shape: tuple[int, ...],
    backend: str,
    device: str,
    from_a_state: bool = False,
) -> None:
    """A row of the table; raises where the backends disagree."""
    dtype, layout, _ = names
    chosen = NEURONS[neuron]
    current = CURRENTS[kind](shape).to(device, DTYPES[dtype])
    if layout == "channels-last":
        current = current.movedim(2, -1).contiguous().movedim(-1, 2)
    layer = chosen.layer(shape[2], shape[0]).to(device)
    start = State(*(torch.rand(2, *shape[1:], device=device) * 2).round()) if from_a_state else None
    ours, theirs = (outcome(layer, chosen, current, start, each) for each in (backend, "reference"))
    spikes, membranes = (_equal(getattr(ours[0], name), getattr(theirs[0], name)) for name in ("spikes", "membrane"))
    error = max((_error(one, other) for one, other in zip(ours[1], theirs[1], strict=True)), default=0.0)
    bound = max(1e-4, 2 * torch.finfo(current.dtype).eps)
    fine = spikes and membranes and (kind == "no numbers" or error <= bound)
    said = "not asked" if kind == "no numbers" else f"{error:.1e}"
    equal = ("equal" if each else "DIFFER" for each in (spikes, membranes))
    table.add(*names, *equal, said, "ok" if fine else "FAILED")
    if not fine:
        raise AssertionError(f"spikes equal: {spikes}, membranes equal: {membranes}, gradients off by {said}")


def outcome(
    layer: nn.Module, neuron: Neuron, current: Tensor, start: State | None, backend: str
) -> tuple[Trace, list[Tensor]]:
    """Everything forward, and the gradients of the current and of what the neuron learns."""
    leaf = current.detach().requires_grad_()
    layer.backend = backend  # type: ignore[assignment]
    options = (neuron.surrogate, neuron.strict, neuron.detach_reset, backend)
    coefficients = layer.coefficients()  # type: ignore[operator]
    trace = spiking_recurrence(leaf, coefficients, *options, initial=start or 0.0, trace=True)
    learnt = [leaf, *layer.parameters()]
    weight = torch.linspace(-1, 1, current.numel(), device=current.device).view(current.shape).to(current.dtype)
    gradients = torch.autograd.grad(trace.spikes, learnt, weight, allow_unused=True, materialize_grads=True)
    return trace, list(gradients)


def _ordinary(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape)


def _at_the_threshold(shape: tuple[int, ...]) -> Tensor:
    """Quarters and wholes: sums of them come to a threshold of a half or one exactly."""
    return torch.randint(-2, 5, shape) / 4


def _no_numbers(shape: tuple[int, ...]) -> Tensor:
    values = torch.tensor([torch.inf, -torch.inf, torch.nan, 3e38, -3e38, 1e-40, -0.0, 0.0, 1.0, 0.5])
    return values[torch.randint(len(values), shape)]


CURRENTS: dict[str, Callable[[tuple[int, ...]], Tensor]] = {
    "ordinary": _ordinary,
    "at the threshold": _at_the_threshold,
    "no numbers": _no_numbers,
}


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether all values are, those that are no numbers in the same places."""
    same = (one == other) | (one.isnan() & other.isnan())
    return bool(same.all())


def _error(one: Tensor, other: Tensor) -> float:
    difference, size = (one.double() - other.double()).norm(), other.double().norm()
    return float(difference / size) if size else float(difference)


class Again:
    """In the place of CUDA graphs, where there are none."""

    def plain(self, work: Callable[[], Tensor]) -> Tensor:
        return work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


def compare_recorded(table: Table, dtype: str, neuron: str, device: str) -> None:
    """Weights after some steps, recorded and not; raises where they are not alike."""
    size, num_steps = (32, 12) if device == "cuda" else (16, 5)
    results = []
    for recorded in (False, True):
        torch.manual_seed(0)
        model = build_model("7b-widenet", neuron.lower(), width=4, steps=4, size=(size, size)).to(device).train()
        step = training_step(model, DTYPES[dtype], device, recorded)
        generator = torch.Generator().manual_seed(1)
        for _ in range(num_steps):
            frames = torch.poisson(torch.full((4, 4, 2, size, size), 0.5), generator).to(device)
            step(frames, torch.randint(10, (4,), generator=generator).to(device))
        results.append([each.detach().float() for each in model.parameters()])
    error = max(_error(one, other) for one, other in zip(*results, strict=True))
    fine = error <= 1e-2  # the order of sums is not fixed on a GPU
    names = dtype, "contiguous", f"{num_steps} recorded training steps of a small 7B-wideNet, {neuron}"
    table.add(*names, "", "", f"weights {error:.1e}", "ok" if fine else "FAILED")
    if not fine:
        raise AssertionError(f"weights differ by {error:.1e}")


def training_step(
    model: nn.Module, dtype: torch.dtype, device: str, recorded: bool
) -> Callable[[Tensor, Tensor], Tensor]:
    """Forward, loss, backward and SGD on a batch, as one recorded whole or not; gives the loss and the right ones."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    scaler = torch.amp.GradScaler(device, enabled=dtype == torch.float16 and device == "cuda")

    def gradients(frames: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device, dtype, enabled=dtype != torch.float32, cache_enabled=False):
            logits = model(frames)
        loss = F.cross_entropy(logits.float(), labels)
        scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).float().sum()])

    def update() -> None:
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    if recorded:
        return RecordedStep(gradients, update, optimizer, CudaGraphs() if device == "cuda" else Again())

    def plain(frames: Tensor, labels: Tensor) -> Tensor:
        figures = gradients(frames, labels)
        update()
        return figures

    return plain


if __name__ == "__main__":
    sys.exit(main())
