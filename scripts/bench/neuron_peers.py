"""What the benchmarks of the recurrence share: layers to compare, jobs to time, memory, and the check of agreement."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from evglif import GLIF, PLIF
from evglif.neurons.relu import ReLU
from scripts.bench.peers import stand_in_for_torchvision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = ("contiguous", "channels-last")
INSTALL = "SpikingJelly is left out; pip install --no-deps spikingjelly==2.0.0 loguru, and its scipy and tqdm"


def glif(channels: int, steps: int, ours: str, device: str) -> dict[str, nn.Module]:
    """GLIF on a backend of ours and as the eager loop, with the same values."""
    layers = {"ours": ours, "eager": "reference"}
    made = {name: GLIF(channels, steps, init="cifar", backend=backend) for name, backend in layers.items()}
    made["eager"].load_state_dict(made["ours"].state_dict())
    return {name: layer.to(device) for name, layer in made.items()}


def spikingjelly(steps: int, device: str) -> dict[str, nn.Module]:
    """Its GatedLIFNode, and its LIFNode with the fastest backend for the device; none where it is not installed."""
    if "torchvision" not in sys.modules:
        stand_in_for_torchvision()
    try:
        from spikingjelly.activation_based import functional, neuron, surrogate
    except ImportError:
        return {}

    class FromRest(nn.Module):
        def __init__(self, node: nn.Module) -> None:
            super().__init__()
            self.node = node

        def forward(self, current: Tensor) -> Tensor:
            functional.reset_net(self.node)
            spikes: Tensor = self.node(current)
            functional.reset_net(self.node)  # its last membrane would keep the whole graph alive
            return spikes

    nodes = {
        "SJ GatedLIF": neuron.GatedLIFNode(steps, surrogate_function=surrogate.ATan(2.0)),
        "SJ LIF": neuron.LIFNode(2.0, surrogate_function=surrogate.ATan(2.0), step_mode="m"),
    }
    if device.startswith("cuda"):
        nodes["SJ LIF"].backend = "triton"
    return {name: FromRest(node).to(device) for name, node in nodes.items()}


def put_in_place_of_relu(network: nn.Module, peer: str, steps: int, device: str) -> None:
    """A node of SpikingJelly's, by its name in ``spikingjelly``, for every neuron of a ReLU twin."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, ReLU):
                setattr(module, name, spikingjelly(steps, device)[peer])


def compiled(layer: nn.Module) -> nn.Module:
    """A layer under ``torch.compile``, as one graph."""
    module = torch.compile(layer, fullgraph=True, dynamic=False)
    assert isinstance(module, nn.Module)
    return module


def check_lif(theirs: nn.Module, current: Tensor, backend: str) -> None:
    """SpikingJelly's LIFNode is PLIF with a fixed τ; the order of operations differs, so a few spikes may."""
    ours = PLIF(2.0, backend=backend).to(current.device)
    differ = (forward(ours, current) != forward(theirs, current)).float().mean().item()
    assert differ < 1e-3, f"{differ:.1%} of the spikes differ from SpikingJelly's LIFNode"


def make_current(steps: int, batch: int, channels: int, side: int, layout: str, dtype: str, device: str) -> Tensor:
    if layout == "contiguous":
        return torch.randn(steps, batch, channels, side, side, device=device, dtype=DTYPES[dtype])
    return torch.randn(steps, batch, side, side, channels, device=device, dtype=DTYPES[dtype]).movedim(-1, 2)


def forward(layer: nn.Module, current: Tensor) -> Tensor:
    with torch.no_grad():
        spikes: Tensor = layer(current)
    return spikes


def forward_backward(layer: nn.Module, current: Tensor) -> list[Tensor]:
    leaf = current.detach().requires_grad_()
    inputs = [leaf, *layer.parameters()]  # of which a single step does not use those of the reset
    return list(torch.autograd.grad(layer(leaf), inputs, current, allow_unused=True, materialize_grads=True))


def check_agreement(ours: nn.Module, eager: nn.Module, current: Tensor) -> None:
    """Spikes must be equal; gradients may differ by their rounding, that of the current's type included."""
    assert torch.equal(forward(ours, current), forward(eager, current)), "spikes differ"
    bound = max(1e-4, torch.finfo(current.dtype).eps)
    pairs = zip(forward_backward(ours, current), forward_backward(eager, current), strict=True)
    for one, other in pairs:
        error, size = (one.double() - other.double()).norm(), other.double().norm()
        assert error <= bound * size, f"gradients of norm {size:.1e} differ by {error:.1e}"


def peak_megabytes(job: Callable[[], object], current: Tensor) -> float:
    """Most memory of tensors that a job takes beside what is there."""
    if current.is_cuda:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        job()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        job()
    taken = peak = 0
    events = watched.profiler.kineto_results.events()  # those of torch.profiler hide what an operator frees itself
    for event in sorted((event for event in events if event.name() == "[memory]"), key=lambda event: event.start_ns()):
        taken += event.nbytes()
        peak = max(peak, taken)
    return peak / 1e6


def saved_bytes(layer: nn.Module, current: Tensor) -> float:
    """Bytes stored for the way back, per neuron and step."""
    return kept_bytes(lambda: layer(current.detach().requires_grad_())) / current.numel()


def kept_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass stores for the way back, weights included."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()  # an output that kept itself would never be freed

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()  # keeps them all alive, so that no address comes twice
    del result
    return sum(sizes.values())
