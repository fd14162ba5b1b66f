"""Backends against the reference: spike for spike, and every gradient."""

import dataclasses
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from evglif import build_model
from evglif.neurons import GLIF
from evglif.recurrence import BACKENDS, Coefficients, State, choose_backend, spiking_recurrence
from evglif.surrogate import DERIVATIVES, Surrogate

SHAPES = {
    "one value": (1, 1, 1),
    "odd sizes": (4, 3, 5, 7, 3),
    "a row and one value": (2, 1, 513),
    "few values, many samples": (3, 40, 7),
    "many pieces on threads": (3, 2, 17, 61, 43),
    "pieces of a plane": (3, 1, 2, 83, 67),
    "more channels than a row": (2, 3, 700),
    "one dimension of space": (5, 2, 3, 300),
    "no pixels": (3, 2, 4, 0),
    "no samples": (3, 0, 4, 5),
}


SMALL_SHAPES = {
    "one value": (1, 1, 1),
    "odd sizes": (4, 3, 5, 7, 3),
    "many channels": (3, 5, 17),
    "a tile and one value": (2, 1, 1, 65),
    "two segments": (10, 2, 3),
    "a prime number of steps": (11, 1, 1, 2),
    "no pixels": (3, 2, 4, 0),
    "no samples": (3, 0, 4, 5),
}
"""For the interpreter, which is slow."""

COMPILED = ("cpu", "triton")

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="the backend cpu needs numba")


def shapes():
    for backend, some in (("cpu", SHAPES), ("triton", SMALL_SHAPES | (SHAPES if torch.cuda.is_available() else {}))):
        for name, shape in some.items():
            yield pytest.param(backend, shape, id=f"{backend}-{name}")


def home(backend):
    """Device on which a test runs a backend."""
    return "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"


def random_coefficients(steps, channels, dtype):
    def draw(*shape):
        return torch.rand(*shape, dtype=dtype).requires_grad_()

    return Coefficients(*(draw(channels) for _ in range(2)), draw(steps, channels), *(draw(channels) for _ in range(3)))


def run_with_gradients(backend, current, coefficients, start, **options):
    inputs = [current, *(getattr(coefficients, field.name) for field in dataclasses.fields(coefficients)), *start]
    inputs = [value.detach().clone(memory_format=torch.preserve_format).requires_grad_() for value in inputs]
    state = State(*inputs[-2:])
    trace = spiking_recurrence(
        inputs[0], Coefficients(*inputs[1:7]), backend=backend, initial=state, trace=True, **options
    )
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(current.shape, generator=generator, dtype=current.dtype, device="cpu") for _ in range(2)]
    weights = [weight.to(current.device) for weight in weights]
    loss = (trace.spikes * weights[0]).sum() + (trace.membrane * weights[1]).sum()
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
    return trace, gradients


def assert_backends_agree(backend, current, tolerance, **options):
    steps, channels = current.shape[0], current.shape[2]
    current = current.to(home(backend))
    coefficients = random_coefficients(steps, channels, current.dtype)
    coefficients = Coefficients(*(value.to(current.device) for value in vars(coefficients).values()))
    start = torch.rand_like(current[0]), (torch.rand_like(current[0]) < 0.5).to(current.dtype)
    expected, wanted = run_with_gradients("reference", current, coefficients, start, **options)
    trace, gradients = run_with_gradients(backend, current, coefficients, start, **options)
    assert torch.equal(trace.spikes, expected.spikes)
    assert torch.equal(trace.membrane, expected.membrane)
    for ours, theirs in zip(gradients, wanted, strict=True):
        assert ours.shape == theirs.shape
        scale = theirs.norm().item() or 1.0
        assert (ours - theirs).norm().item() <= tolerance * scale


@pytest.mark.parametrize(("backend", "shape"), list(shapes()))
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_spikes_are_equal_and_gradients_close(backend, shape, dtype, tolerance):
    torch.manual_seed(0)
    assert_backends_agree(backend, torch.randn(shape, dtype=dtype), tolerance)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("width", [1.0, 0.7])
@pytest.mark.parametrize(("strict", "detach_reset"), [(True, False), (False, True)])
def test_every_surrogate(backend, name, width, strict, detach_reset):
    torch.manual_seed(0)
    options = {"surrogate": Surrogate(name, width), "strict": strict, "detach_reset": detach_reset}
    assert_backends_agree(backend, torch.randn(5, 2, 3, dtype=torch.float64), 1e-13, **options)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize(
    "order", [(0, 1, 3, 4, 2), (0, 2, 1, 3, 4), (4, 3, 2, 1, 0)], ids=["channels last", "b-c", "reversed"]
)
def test_any_memory_layout(backend, order):
    torch.manual_seed(0)
    shape = (3, 2, 3, 5, 4)
    stored = torch.randn([shape[dimension] for dimension in order])
    current = stored.permute([order.index(dimension) for dimension in range(5)])
    assert current.shape == shape
    assert_backends_agree(backend, current, 1e-5)
    assert_backends_agree(backend, torch.randn(3, 1, 3, 5, 4).expand(shape), 1e-5)


@pytest.mark.parametrize("backend", COMPILED)
def test_channels_last_stays_channels_last(backend):
    current = torch.randn(3, 2, 6, 5, 4, device=home(backend)).movedim(2, -1).contiguous().movedim(-1, 2)
    assert GLIF(6, 3, backend=backend).to(current.device)(current).stride() == current.stride()


@pytest.mark.parametrize("backend", COMPILED)
def test_values_exactly_at_the_threshold(backend):
    current = torch.tensor([1.0, 0.99999994, 1.0000001, 0.0, -1.0, 2.0], device=home(backend)).repeat(4, 2, 1)
    ones, zeros = torch.ones(1, device=home(backend)), torch.zeros(1, device=home(backend))
    coefficients = Coefficients(ones, zeros, ones, zeros, ones, ones)
    for strict in (True, False):
        spikes = [spiking_recurrence(current, coefficients, strict=strict, backend=b) for b in ("reference", backend)]
        assert torch.equal(*spikes)


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # NumPy's, under Triton's interpreter
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_broken_values_stay_with_their_neuron_and_never_pass_for_silence(backend, broken):
    current = torch.zeros(3, 1, 2, 4, device=home(backend))
    current[1, 0, 1, 2] = broken
    half = torch.full((1,), 0.5, device=home(backend))
    trace = spiking_recurrence(current, Coefficients(*[half] * 6), backend=backend, trace=True)
    assert trace.membrane[2, 0, 1, 2].isnan()
    assert trace.spikes[2, 0, 1, 2].isnan()
    touched = torch.zeros(3, 1, 2, 4, dtype=torch.bool, device=home(backend))
    touched[1:, 0, 1, 2] = True
    assert trace.spikes[~touched].isfinite().all()


@pytest.mark.filterwarnings("ignore:invalid value encountered", "ignore:overflow encountered")
@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("shape", [(3, 1, 2, 4), (3, 8, 2)], ids=str)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [1, -1])
def test_broken_membranes_have_the_references_gradients(backend, broken, step, shape):
    torch.manual_seed(0)
    current = torch.randn(shape, device=home(backend))
    current[step, 0, 1] = broken
    coefficients = random_coefficients(shape[0], shape[2], current.dtype)
    coefficients = Coefficients(*(value.to(current.device) for value in vars(coefficients).values()))
    gradients = []
    for name in ("reference", backend):
        leaves = [current, *vars(coefficients).values()]
        leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
        spiking_recurrence(leaves[0], Coefficients(*leaves[1:]), backend=name).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)
    unbroken = gradients[1][0] if step == -1 else gradients[1][0][-1]  # after the last step there is no reset to break
    assert unbroken.isfinite().all()


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_agree_too(backend, dtype):
    torch.manual_seed(0)
    current = torch.randn(4, 2, 3, 50).to(home(backend), dtype)
    coefficients = random_coefficients(4, 3, torch.float32)
    coefficients = Coefficients(*(value.to(current.device) for value in vars(coefficients).values()))
    results = []
    for name in ("reference", backend):
        leaf = current.clone().requires_grad_()
        spikes = spiking_recurrence(leaf, coefficients, backend=name)
        spikes.sum().backward()
        results.append((spikes, leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


@needs_numba
def test_gradients_do_not_depend_on_the_number_of_threads():
    torch.manual_seed(0)
    current = torch.randn(3, 4, 16, 40, 40)
    coefficients = random_coefficients(3, 16, torch.float32)
    start = torch.zeros_like(current[0]), torch.zeros_like(current[0])
    before = torch.get_num_threads()
    try:
        gradients = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            gradients.append(run_with_gradients("cpu", current, coefficients, start)[1])
    finally:
        torch.set_num_threads(before)
    for others in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], others, strict=True))


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("has_start", [True, False])
def test_the_operator_keeps_torchs_rules(backend, has_start):
    torch.manual_seed(0)
    like = {"dtype": torch.float64, "device": home(backend)}
    current = torch.randn(3, 2, 2, 5, **like, requires_grad=True)
    values = [torch.rand(2, **like, requires_grad=True) for _ in range(7)]
    values.append(torch.rand(3, 2, **like, requires_grad=True))
    start = torch.zeros(2, 2, 2, 5, **like) if has_start else (None, None)
    arguments = (current, values, *start, "glif", 0.0, True, False, "rectangular", 1.0, True, backend)
    # Not test_aot_dispatch: a step is no smooth function, and its data-dependent checks fail for the reference too.
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.evglif.recurrence.default, arguments, test_utils=tests)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("final", [False, True])
def test_only_the_current_is_stored_for_the_way_back(backend, dtype, final):
    current = torch.randn(4, 2, 2, 20, 20, requires_grad=True, device=home(backend), dtype=dtype)
    stored = []

    def keep(tensor):
        stored.append(tensor.untyped_storage().nbytes())
        return tensor

    neuron = GLIF(2, 4, backend=backend).to(current.device)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        neuron.advance(current * 1.0) if final else neuron(current * 1.0)
    size = current.numel() * current.element_size()
    of_last_step = 4 * 4 * current[0].numel() if final else 0  # states, from which the last spikes are told
    few = 1000  # coefficients and what they are computed from
    assert size <= sum(stored) <= size + of_last_step + few


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_are_converted_row_by_row(dtype):
    current = torch.randn(16, 4, 8, 16, 16).to(dtype).requires_grad_()
    neuron = GLIF(8, 16, backend="cpu")
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        torch.autograd.grad(neuron(current), current, current)
    taken = [event.nbytes() for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert max(taken) == current.numel() * 2  # spikes and the gradient; a copy in fp32 would take twice as much
    assert taken.count(max(taken)) == 2


@needs_numba
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_is_read_and_rounded_as_torch_does(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    between = torch.nextafter(every.float(), torch.tensor(torch.inf))  # rounded too, where it is a gradient
    one, zero = torch.ones(1), torch.zeros(1)
    coefficients = Coefficients(one, zero, one, zero, zero, zero)
    gained = dataclasses.replace(coefficients, gain=torch.full((1,), 1.0001))
    for values in (every[~every.isnan()], between.to(dtype)[~between.isnan()]):
        results = []
        for name in ("reference", "cpu"):
            leaf = values.view(1, 1, 1, -1).clone().requires_grad_()
            run = spiking_recurrence(leaf, coefficients, backend=name, trace=True)
            flat = spiking_recurrence(leaf, gained, detach_reset=True, backend=name, trace=True)
            (gradient,) = torch.autograd.grad(flat.membrane, leaf, values.float().view_as(leaf))
            results.append((run.spikes, run.membrane, gradient))
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


@needs_numba
def test_a_network_gives_the_same_on_every_backend(monkeypatch):
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=4, size=(16, 16), width=8, init="cifar")
    frames = torch.poisson(torch.full((2, 4, 2, 16, 16), 2.0))
    logits = {}
    for backend in ("reference", "cpu"):
        monkeypatch.setenv("EVGLIF_BACKEND", backend)
        logits[backend] = model(frames)
    assert torch.equal(logits["reference"], logits["cpu"])


@pytest.mark.parametrize("backend", COMPILED)
def test_a_neuron_compiles_as_one_graph(backend):
    torch.manual_seed(0)
    neuron, current = GLIF(2, 3, backend=backend).to(home(backend)), torch.randn(3, 2, 2, 4, device=home(backend))
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    gradients = [torch.autograd.grad(run(current).sum(), list(neuron.parameters())) for run in (neuron, compiled)]
    for ours, compiled_ones in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, compiled_ones)


def test_a_network_compiles_as_one_graph():
    torch.manual_seed(0)
    model = build_model("7b-widenet", steps=4, size=(16, 16), width=4, init="cifar")
    frames = torch.poisson(torch.full((2, 4, 2, 16, 16), 2.0))
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(frames), model(frames))


@needs_numba
def test_the_choice_of_a_backend(monkeypatch):
    current = torch.zeros(1, 1, 1)
    monkeypatch.delenv("EVGLIF_BACKEND", raising=False)
    assert choose_backend("auto", current) == "cpu"
    assert choose_backend("auto", current.to("meta")) == "reference"
    monkeypatch.setenv("EVGLIF_BACKEND", "reference")
    assert choose_backend("auto", current) == "reference"
    assert choose_backend("cpu", current) == "cpu"
    monkeypatch.setenv("EVGLIF_BACKEND", "quantum")
    with pytest.raises(ValueError, match="unknown backend 'quantum'"):
        choose_backend("auto", current)
    with pytest.raises(ValueError, match="cpu does not run tensors on meta"):
        choose_backend("cpu", current.to("meta"))
    with pytest.raises(ValueError, match="triton does not run tensors on meta"):
        choose_backend("triton", current.to("meta"))
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match="triton does not run tensors on cpu; choose auto"):
        choose_backend("triton", current)


def test_a_gpu_takes_triton_where_it_is_installed(monkeypatch):
    monkeypatch.delenv("EVGLIF_BACKEND", raising=False)
    current = SimpleNamespace(device=torch.device("cuda", 0))
    assert choose_backend("auto", current) == "triton"
    monkeypatch.setattr("evglif.recurrence._TRITON_IS_THERE", False)
    assert choose_backend("auto", current) == "reference"
    with pytest.raises(ModuleNotFoundError, match="pip install triton"):
        choose_backend("triton", current)


def test_without_numba_the_reference_runs_and_cpu_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("EVGLIF_BACKEND", raising=False)
    monkeypatch.setattr("evglif.recurrence._NUMBA_IS_THERE", False)
    assert choose_backend("auto", torch.zeros(1, 1, 1)) == "reference"
    with pytest.raises(ModuleNotFoundError, match="pip install numba"):
        choose_backend("cpu", torch.zeros(1, 1, 1))


@needs_numba
@pytest.mark.exhaustive
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_hundred_million_values(channels_last):
    torch.manual_seed(0)
    shape = (2, 8, 64, 320, 320)  # T = 2
    current = torch.randn(shape) if not channels_last else torch.randn(2, 8, 320, 320, 64).movedim(-1, 2)
    assert current.numel() > 10**8
    coefficients = [torch.rand(64) for _ in range(6)]
    leaf, values = current.requires_grad_(), [value.clone().requires_grad_() for value in coefficients]
    spikes = spiking_recurrence(leaf, Coefficients(*values), backend="cpu")
    of_current, *of_coefficients = torch.autograd.grad(spikes, [leaf, *values], current)
    expected = [torch.zeros(64, dtype=torch.float64) for _ in coefficients]
    for sample in range(8):
        piece = current.detach()[:, sample : sample + 1].clone().requires_grad_()
        values = [value.clone().requires_grad_() for value in coefficients]
        some = spiking_recurrence(piece, Coefficients(*values), backend="reference")
        gradient, *gradients = torch.autograd.grad(some, [piece, *values], piece)
        assert torch.equal(spikes[:, sample : sample + 1], some)
        torch.testing.assert_close(of_current[:, sample : sample + 1], gradient, rtol=1e-5, atol=1e-5)
        for total, part in zip(expected, gradients, strict=True):
            total.add_(part)
    for ours, theirs in zip(of_coefficients, expected, strict=True):
        assert (ours - theirs).norm() <= 1e-5 * theirs.norm() + 1e-6
