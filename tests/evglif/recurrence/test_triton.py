"""What only holds for the Triton backend; that it equals the reference is tested in test_backends.py."""

import os
import subprocess
import sys
from itertools import product

import pytest
import torch

from evglif.neurons import GLIF, PLIF
from evglif.recurrence import Coefficients, choose_backend, spiking_recurrence

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

COMPILE = """
import sys
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from evglif.recurrence import triton_kernels

constants = {
    "REST": 0.0, "HAS_START": True, "STRICT": True, "DETACH_RESET": False, "SURROGATE": "arctan", "WIDTH": 1.0,
    "SEGMENT": 2, "SUM_COEFFICIENTS": True, "GRAD_START": True, "POSITIONS": 64, "CHANNELS": 1,
}
numbers = {"num_steps", "num_segments", "first_kept", "rows", "channels", "inner", "num_parts"}
kernel = getattr(triton_kernels, sys.argv[1])
kinds = {name: "constexpr" if name in constants else "i32" if name in numbers else "*fp32" for name in kernel.arg_names}
values = {(kernel.arg_names.index(name),): constants[name] for name in kinds if name in constants}
target, options = GPUTarget("cuda", 90, 32), {"num_warps": 1, "enable_fp_fusion": False}
print(compile(ASTSource(kernel, kinds, values), target=target, options=options).asm["ptx"])
"""


@pytest.mark.parametrize("kernel", ["forward", "backward"])
@pytest.mark.skipif(sys.platform != "linux", reason="Triton compiles on Linux only")
def test_kernels_compile_for_a_gpu_without_fused_multiply_adds(kernel, tmp_path):
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, kernel]
    assembly = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "mul.f32" in assembly or "mul.rn.f32" in assembly
    assert "fma." not in assembly


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
