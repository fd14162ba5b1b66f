import math

import pytest
import torch

from evglif.surrogate import DERIVATIVES, Surrogate, spike

X = torch.linspace(-40, 40, 800001, dtype=torch.float64)


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_area_does_not_depend_on_the_width(name, width):
    # Tails beyond ±40 hold at most 2/(π²·40) of the arctan and 1/40 of the fast sigmoid, per unit of width.
    area = torch.trapezoid(Surrogate(name, width).derivative(X), X).item()
    assert area == pytest.approx(1.0, abs=0.03 * width)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("rectangular", 0.49, 1.0),
        ("rectangular", 0.5, 0.0),
        ("arctan", 1.0, 1 / (1 + math.pi**2)),
        ("triangle", 0.25, 0.75),
        ("fast-sigmoid", 0.5, 0.25),
        ("sigmoid", 0.0, 1.0),
    ],
)
def test_values_from_the_formulas(name, x, expected):
    for side in (x, -x):
        assert Surrogate(name).derivative(torch.tensor(side)).item() == pytest.approx(expected)


@pytest.mark.parametrize("name", DERIVATIVES)
def test_a_width_stretches_the_curve_and_lowers_it(name):
    wide = Surrogate(name, 4.0).derivative(X)
    torch.testing.assert_close(wide, Surrogate(name).derivative(X / 4) / 4)
    assert wide.max().item() == pytest.approx(0.25, abs=1e-3)


@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_surrogate_is_even_never_negative_and_keeps_the_dtype(name, dtype):
    x = torch.linspace(-6, 6, 201).to(dtype)
    derivative = Surrogate(name).derivative(x)
    assert derivative.dtype == dtype
    assert (derivative >= 0).all()
    torch.testing.assert_close(derivative, derivative.flip(0))


def test_forward_is_the_step_and_backward_the_surrogate():
    x = torch.tensor([-0.4, 0.0, 0.4, 2.0], requires_grad=True)
    spikes = spike(x, Surrogate("triangle"), strict=True)
    assert spikes.tolist() == [0, 0, 1, 1]
    spikes.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.6, 1.0, 0.6, 0.0]))


@pytest.mark.parametrize(("name", "width", "message"), [("box", 1.0, "'box'"), ("arctan", 0.0, "got 0.0")])
def test_wrong_surrogates_are_refused(name, width, message):
    with pytest.raises(ValueError, match=message):
        Surrogate(name, width)
