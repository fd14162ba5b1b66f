"""What the GPU kernels take of a GPU, found without one: registers, spills and shared memory of each compiled variant.

The kernels are compiled ahead of time for three generations of GPUs, just as a launch would have them: the launches
are those of the backend itself, on tensors without data, and arguments are specialised as Triton does it. What a
variant takes is read off its machine code. Where a fused multiply-add stands in the code, which would flip spikes, or
a register was spilled to memory, it is named, and the exit code is 1.

Triton is the one that is installed, or with ``--triton 3.6`` another, which is put into build/.

Example:
    .venv/bin/python -m scripts.bench.triton_resources --out resources.csv
    .venv/bin/python -m scripts.bench.triton_resources --triton 3.6 --out resources-3.6.csv
    .venv/bin/python -m scripts.bench.triton_resources --quick --targets 90
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import Tensor

from evglif.surrogate import DERIVATIVES
from preprocessing.commands import command
from scripts.bench.common import machine, parser

TARGETS = (80, 90, 100)
"""Compute capabilities: A100, H100 and H200, B200."""

PEERS = Path(__file__).resolve().parents[2] / "build"
MOST_REGISTERS = 255
COLUMNS = ("kernel", "type", "layout", "variant", "target", "registers", "spilled bytes", "shared bytes")
POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float64: "*fp64"}
LAYOUTS = ("contiguous", "channels-last")
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


@dataclass(frozen=True)
class Variant:
    """A call of the backend that makes one kernel. Its layer is as large as the largest of 7B-wideNet."""

    kernel: str
    dtype: str = "fp32"
    layout: str = "contiguous"
    steps: int = 16
    surrogate: str = "arctan"
    strict: bool = True
    detach_reset: bool = False
    start: bool = False
    sums: bool = True

    def __str__(self) -> str:
        """What is unlike the plain variant."""
        said = [f"T = {self.steps}"] if self.steps != 16 else []
        said += [self.surrogate] if self.surrogate != "arctan" else []
        flags = {"U ≥ v": not self.strict, "reset detached": self.detach_reset, "from a state": self.start}
        flags["no sums"] = not self.sums
        return ", ".join(said + [name for name, there in flags.items() if there]) or "plain"


def variants() -> list[Variant]:
    """Every type and layout, and every other choice that makes another kernel, one at a time."""
    plain = [Variant("forward"), Variant("backward")]
    kinds = [replace(each, dtype=dtype, layout=layout) for each in plain for dtype in TYPES for layout in LAYOUTS]
    backward = plain[1]
    others = [replace(backward, surrogate=name) for name in DERIVATIVES if name != backward.surrogate]
    others += [replace(each, **changed) for each in plain for changed in ({"strict": False}, {"start": True})]  # type: ignore[arg-type]
    others += [replace(backward, detach_reset=True), replace(backward, sums=False)]
    others += [replace(backward, steps=steps) for steps in range(1, 8)]  # each held whole in registers
    others += [replace(backward, dtype="bf16", layout="channels-last", steps=4, start=True, strict=False)]
    return [*kinds, *others]


def quick_variants() -> list[Variant]:
    """Few variants that hold most choices once."""
    together = Variant("backward", "fp16", "channels-last", 4, "triangle", strict=False, detach_reset=True, start=True)
    return [
        Variant("forward"),
        Variant("forward", "bf16", "channels-last", strict=False, start=True),
        Variant("backward", "bf16", "channels-last", surrogate="rectangular"),
        together,
    ]


class Launch(NamedTuple):
    """A kernel and the values of its arguments, as the backend launches it."""

    kernel: Any
    threads: int
    arguments: tuple[object, ...]


def launch_of(variant: Variant) -> Launch:
    """What the backend launches for a variant; nothing is run."""
    from evglif.recurrence import triton as backend

    recorded: list[Launch] = []

    def record(kernel: Any, _: int, threads: int, *arguments: object) -> None:
        recorded.append(Launch(kernel, threads, arguments))

    with mock.patch.object(backend, "_launch", record), torch.device("meta"):
        dtype = TYPES[variant.dtype]
        shape = (variant.steps, 32, 64, 48, 48)
        current = torch.empty(shape, dtype=dtype)
        if variant.layout == "channels-last":
            current = torch.empty(*shape[:2], *shape[3:], shape[2], dtype=dtype).movedim(-1, 2)
        state = torch.float64 if dtype == torch.float64 else torch.float32
        values = torch.empty(5, shape[2], dtype=state), torch.empty(variant.steps, shape[2], dtype=state)
        start = backend.Start(*(torch.empty(shape[1:], dtype=state) for _ in range(2))) if variant.start else 0.0
        if variant.kernel == "forward":
            backend.forward(current, *values, start, variant.strict, keep_trace=False)
        else:
            coefficients, gain = values
            backend.backward(
                grad_spikes=current,
                grad_membranes=None,
                current=current,
                coefficients=coefficients,
                gain=gain,
                start=start,
                strict=variant.strict,
                detach_reset=variant.detach_reset,
                surrogate=variant.surrogate,
                width=1.0,
                of_coefficients=variant.sums,
                of_start=variant.start,
            )
    (launch,) = recorded
    return launch


class Figures(NamedTuple):
    registers: int
    spilled_bytes: int
    shared_bytes: int


def compile_for(launch: Launch, target: int) -> tuple[Figures, str]:
    """What a kernel takes on a target, and its assembly."""
    from triton import compile as compile_kernel
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from evglif.recurrence import triton as backend

    signature: dict[str, str] = {}
    constants: dict[tuple[int], object] = {}
    attributes: dict[tuple[int], list[list[object]]] = {}
    for place, (parameter, value) in enumerate(zip(launch.kernel.params, launch.arguments, strict=True)):
        fixed = parameter.is_constexpr or (value == 1 and not parameter.do_not_specialize) if _plain(value) else False
        signature[parameter.name] = "constexpr" if fixed else _type(value)
        if fixed:
            constants[(place,)] = value
        elif isinstance(value, Tensor) or (not parameter.do_not_specialize and value % 16 == 0):  # type: ignore[operator]
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(launch.kernel, signature, constants, attributes)
    options = {"num_warps": launch.threads // 32, **backend.options(launch.kernel)}
    compiled = compile_kernel(source, target=GPUTarget("cuda", target, 32), options=options)
    registers, stack = _usage(compiled.asm["cubin"])
    return Figures(registers, stack, compiled.metadata.shared), compiled.asm["ptx"]


def _plain(value: object) -> bool:
    return not isinstance(value, Tensor)


def _type(value: object) -> str:
    if isinstance(value, Tensor):
        return POINTERS[value.dtype]
    assert isinstance(value, int)
    return "i32" if -(2**31) <= value < 2**31 else "i64"


def _usage(machine_code: bytes) -> tuple[int, int]:
    """Registers a thread, and bytes of its stack, where spilled ones go."""
    import triton

    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code)
        file.flush()
        told = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", told)
    if not found:
        raise ValueError(f"{tool} -res-usage says nothing of registers: {told!r}")
    return int(found[1]), int(found[2])


def measure(wanted: Sequence[Variant], targets: Sequence[int]) -> Iterator[tuple[tuple[object, ...], list[str]]]:
    """A row of the table for each variant and target, and what is wrong with it."""
    for variant in wanted:
        launch = launch_of(variant)
        for target in targets:
            figures, assembly = compile_for(launch, target)
            faults = ["fused multiply-adds"] if re.search(r"\bfma\.", assembly) else []
            faults += ["spilled registers"] if figures.spilled_bytes else []
            faults += ["no register left"] if figures.registers >= MOST_REGISTERS else []
            name = variant.kernel, variant.dtype, variant.layout, str(variant), f"sm_{target}"
            yield (*name, *figures), [f"{', '.join(map(str, name))}: {fault}" for fault in faults]


@command("the rows so far are printed above")
def main() -> int:
    options = parse_options()
    if options.triton:
        return run_with(options.triton, [each for each in sys.argv[1:] if each not in ("--triton", options.triton)])
    faults: list[str] = []
    with options.out.open("w", newline="") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow(COLUMNS)
        for row, wrong in measure(quick_variants() if options.quick else variants(), options.targets):
            written.writerow(row)
            file.flush()
            faults += wrong
            print(*row, sep=", ", flush=True)
        written.writerow([machine("triton", "torch")])
    print(*faults, sep="\n")
    return 1 if faults else 0


def parse_options() -> argparse.Namespace:
    made = parser(__doc__, repeats=1)
    made.add_argument("--targets", type=int, nargs="+", default=TARGETS, help="capabilities; default: 80 90 100")
    made.add_argument("--quick", action="store_true", help="a few variants that hold every choice once")
    made.add_argument("--triton", metavar="VERSION", help="another version, as 3.6; it is fetched once")
    made.add_argument("--out", type=Path, default=Path("triton_resources.csv"), help="file for the table")
    return made.parse_args()


def run_with(version: str, arguments: list[str]) -> int:
    """This script under another Triton, in a process of its own."""
    folder = PEERS / f"triton-{version}"
    if not (folder / "triton").is_dir():
        fetch = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--target",
            str(folder),
            f"triton=={version}.*",
        ]
        subprocess.run(fetch, check=True)
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-m", "scripts.bench.triton_resources", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
