"""What only holds for the Triton backend; that it equals the reference is tested in test_backends.py."""

import csv
import os
import subprocess
import sys
from itertools import product

import pytest
import torch

from evglif.neurons import GLIF, PLIF
from evglif.recurrence import Coefficients, choose_backend, spiking_recurrence
from scripts.bench import triton_resources
from tests.helpers import ROOT

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def resources(tmp_path, *options):
    """Exit code, and the table's rows, of the script that compiles kernels for GPUs that need not be there."""
    table = tmp_path / "table.csv"
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "scripts.bench.triton_resources", "--out", table, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *rows, _ = table.read_text().splitlines()[1:]
    return [next(csv.reader([row])) for row in rows]


@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux only")
def test_kernels_compile_for_three_gpus_without_fused_multiply_adds_and_spills(tmp_path):
    rows = resources(tmp_path, "--quick")
    targets = {target: [row for row in rows if row[4] == target] for target in ("sm_80", "sm_90", "sm_100")}
    assert [len(each) for each in targets.values()] == [4, 4, 4]
    assert all(0 < int(row[5]) < 255 and row[6] == "0" for row in rows)


def test_what_a_kernel_should_not_have_is_found(monkeypatch):
    figures = triton_resources.Figures(255, 8, 0)
    monkeypatch.setattr(triton_resources, "compile_for", lambda *_: (figures, "mul.f32\nfma.rn.f32 a"))
    ((row, faults),) = triton_resources.measure([triton_resources.Variant("forward", steps=3)], [80])
    assert row == ("forward", "fp32", "contiguous", "T = 3", "sm_80", 255, 8, 0)
    assert [fault.split(": ")[1] for fault in faults] == [
        "fused multiply-adds",
        "spilled registers",
        "no register left",
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("version", [[], ["--triton", "3.6"]], ids=["installed", "3.6"])
@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux only")
def test_all_variants_compile(version, tmp_path):
    assert len(resources(tmp_path, *version)) == 3 * len(triton_resources.variants())


def on_gpu(neuron, *shape, **kind):
    return neuron.cuda(), torch.randn(*shape, device="cuda", **kind).requires_grad_()


@needs_gpu
def test_auto_takes_triton_on_a_gpu(monkeypatch):
    monkeypatch.delenv("EVGLIF_BACKEND", raising=False)
    neuron, current = on_gpu(GLIF(3, 4), 4, 2, 3, 5)
    assert "evglif_recurrence" in neuron(current).grad_fn.name()
    assert choose_backend("auto", current) == "triton"


@needs_gpu
def test_batch_size_and_number_of_steps_compile_nothing_anew(monkeypatch):
    import triton

    compiled = []
    monkeypatch.setattr(triton.knobs.runtime, "jit_post_compile_hook", lambda **what: compiled.append(what))
    for steps, batch in ((8, 2), (8, 1), (8, 16), (8, 17), (16, 3), (32, 3)):
        neuron, current = on_gpu(PLIF(backend="triton"), steps, batch, 32, 4, 4)
        neuron(current).sum().backward()
        if (steps, batch) == (8, 2):
            compiled.clear()
    assert not compiled


BIG = list(product([torch.float32, torch.bfloat16], [False, True]))


@needs_gpu
@pytest.mark.parametrize(("dtype", "channels_last"), BIG if torch.cuda.is_available() else BIG[:1])
def test_a_hundred_million_values(dtype, channels_last):
    torch.manual_seed(0)
    current = torch.randn(16, 8, 64, 112, 112, device="cuda", dtype=dtype)
    if channels_last:
        current = current.movedim(2, -1).contiguous().movedim(-1, 2)
    neurons = [GLIF(64, 16, init="cifar", backend=backend).cuda() for backend in ("triton", "reference")]
    neurons[1].load_state_dict(neurons[0].state_dict())
    results = []
    for neuron in neurons:
        leaf = current.detach().requires_grad_()
        spikes = neuron(leaf)
        results.append([spikes, *torch.autograd.grad(spikes, [leaf, *neuron.parameters()], current)])
    assert torch.equal(results[0][0], results[1][0])
    for ours, theirs in zip(*results, strict=True):
        bound = 1e-4 if dtype == torch.float32 else 1e-2
        assert (ours.float() - theirs.float()).norm() <= bound * theirs.float().norm()


@needs_gpu
def test_offsets_beyond_31_bits():
    if torch.cuda.get_device_properties(0).total_memory < 60e9:
        pytest.skip("needs 60 GB of GPU memory")
    per_step = 2**29 + 24
    current = torch.zeros(5, 1, 1, per_step, device="cuda", dtype=torch.float16)
    current[:, ..., -1] = 2.0
    current.requires_grad_()
    one, zero = torch.ones(1, device="cuda"), torch.zeros(1, device="cuda")
    spikes = spiking_recurrence(current, Coefficients(one, zero, one, one, zero, one), backend="triton")
    assert spikes[..., -1].eq(1).all()
    assert spikes.count_nonzero().item() == 5
    (gradient,) = torch.autograd.grad(spikes, current, torch.ones_like(spikes))
    assert gradient.count_nonzero().item() == 0  # no membrane comes near the threshold


@needs_gpu
def test_inductor_compiles_a_neuron_as_one_graph():
    neuron, current = on_gpu(GLIF(3, 4, backend="triton"), 4, 2, 3, 5)
    torch.testing.assert_close(torch.compile(neuron, fullgraph=True)(current), neuron(current))
