"""Every neuron, worked out with a pencil: U is the membrane before the reset, * marks a spike."""

import pytest
import torch

from evglif.neurons import GLIF, IF, LIF, PLIF, GLIFf
from evglif.recurrence import BACKENDS


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request, monkeypatch):
    monkeypatch.setenv("EVGLIF_BACKEND", request.param)


def assert_trajectory(neuron, currents, expected):
    """``expected`` has a number a step, or a text with a star where the neuron fires."""
    trace = neuron.trace(torch.tensor(currents).view(-1, 1, 1))
    membranes = [float(str(value).rstrip("*")) for value in expected]
    torch.testing.assert_close(trace.membrane.flatten(), torch.tensor(membranes), rtol=0, atol=1e-6)
    assert trace.spikes.flatten().tolist() == [float(str(value).endswith("*")) for value in expected]


def test_glif():
    neuron = GLIF(channels=1, steps=4)
    neuron.set_values(alpha=0.5, beta=0.5, gamma=0.5, tau_exp=0.5, tau_lin=0.25, v_th=0.6, v_re=0.5)
    neuron.set_values(g=torch.tensor([[0.5], [1.0], [0.0], [0.5]]))
    # decay 1 - 1/2·(1 - 1/2) = 3/4   leak 1/2·1/4 = 1/8   gain 1 - 1/2·(1 - g) = 3/4, 1, 1/2, 3/4
    # reset 1/2·3/4·U + 1/2·1/2 = 3/8·U + 1/4
    # U1 =              - 1/8 + 3/4·1                          =  0.625      *
    # U2 = 3/4·0.625    - 1/8 + 1/2       - (3/8·0.625 + 1/4)  =  0.359375
    # U3 = 3/4·0.359375 - 1/8 + 1/2·1                          =  0.64453125 *
    # U4 = 3/8·0.64453125 - 1/8 + 3/4·0   - 1/4                = -0.13330078
    assert_trajectory(neuron, [1.0, 0.5, 1.0, 0.0], ["0.625*", 0.359375, "0.64453125*", -0.13330078])


# X = 1, 1, 1/2;   τ_exp = 1/2, τ_lin = 1/4, g = 1/2, 1, 1/2, V_re = 1/4, V_th = 0.6
# first digit:  0  U - 1/4 (linear)           1  U/2 (exponential)
# second digit: 0  X = 1, 1, 1/2 (uniform)    1  g·X = 1/2, 1, 1/4
# third digit:  0  - 1/4 after a spike        1  what is left of U is lost after a spike
SIMPLEX = {
    "000": ["0.75*", "1.25*", "1.25*"],  # -1/4+1       0.75-1/4+1-1/4     1.25-1/4+1/2-1/4
    "001": ["0.75*", "0.75*", 0.25],  # -1/4+1          -1/4+1             -1/4+1/2
    "010": [0.25, "1.0*", "0.75*"],  # -1/4+1/2         0.25-1/4+1         1-1/4+1/4-1/4
    "011": [0.25, "1.0*", 0.0],  # -1/4+1/2             0.25-1/4+1         -1/4+1/4
    "100": ["1.0*", "1.25*", "0.875*"],  # 1            1/2+1-1/4          0.625+1/2-1/4
    "101": ["1.0*", "1.0*", 0.5],  # 1                  1                  1/2
    "110": [0.5, "1.25*", "0.625*"],  # 1/2             0.25+1             0.625+1/4-1/4
    "111": [0.5, "1.25*", 0.25],  # 1/2                 0.25+1             1/4
}


@pytest.mark.parametrize("code", SIMPLEX)
def test_the_eight_simplex_neurons(code):
    neuron = GLIF(channels=1, steps=3, gates=code)
    neuron.set_values(tau_exp=0.5, tau_lin=0.25, v_th=0.6, v_re=0.25, g=torch.tensor([[0.5], [1.0], [0.5]]))
    assert_trajectory(neuron, [1.0, 1.0, 0.5], SIMPLEX[code])


def test_glif_f():
    neuron = GLIFf(channels=1, steps=3)
    neuron.set_values(tau_exp=0.5, tau_lin=0.25, v_th=0.6, v_re=0.25, g=torch.tensor([[0.5], [1.0], [0.5]]))
    # U1 =     - 1/4 + 1/2·2                      = 0.75 *
    # U2 = 3/8 - 1/4 + 1·1      - (3/8 + 1/4)     = 0.5      all of the decayed membrane goes, and V_re too
    # U3 = 1/4 - 1/4 + 1/2·1/2                    = 0.25
    assert_trajectory(neuron, [2.0, 1.0, 0.5], ["0.75*", 0.5, 0.25])


def test_lif_with_hard_reset():
    # U2 = 0.75/2 + 0.75 = 1.125 *     U3 = 0 + 0.5     U4 = 0.5/2 + 1.25 = 1.5 *
    assert_trajectory(LIF(decay=0.5), [0.75, 0.75, 0.5, 1.25], [0.75, "1.125*", 0.5, "1.5*"])


def test_lif_with_soft_reset():
    # U2 = 0.75/2 + 0.75 = 1.125 *     U3 = 1.125/2 + 0.5 - 1 = 0.0625     U4 = 0.03125 + 1.25 = 1.28125 *
    assert_trajectory(LIF(decay=0.5, reset="soft"), [0.75, 0.75, 0.5, 1.25], [0.75, "1.125*", 0.0625, "1.28125*"])


def test_if_with_soft_reset():
    # U2 = 0.75 + 0.75 = 1.5 *     U3 = 1.5 + 0.5 - 1 = 1, which is not above the threshold     U4 = 1 + 0.25 *
    assert_trajectory(IF(), [0.75, 0.75, 0.5, 0.25], [0.75, "1.5*", 1.0, "1.25*"])


def test_if_with_hard_reset():
    assert_trajectory(IF(reset="hard"), [0.75, 0.75, 0.5, 0.25], [0.75, "1.5*", 0.5, 0.75])


def test_plif():
    # U1 = 1/2     U2 = 1/4 + 2.5/2 = 1.5 *     U3 = 0 + 1/2     U4 = 1/4 + 1.5/2 = 1, and fires at the threshold
    assert_trajectory(PLIF(tau=2.0), [1.0, 2.5, 1.0, 1.5], [0.5, "1.5*", 0.5, "1.0*"])


def test_plif_with_another_reset_voltage():
    # From V = -1:  U1 = -1 + (1 - 0)/2 = -0.5     U2 = -0.5 + (4 - 0.5)/2 = 1.25 *, back to -1
    #               U3 = -1 + (1 - 0)/2 = -0.5     U4 = -0.5 + (3.5 - 0.5)/2 = 1 *
    assert_trajectory(PLIF(tau=2.0, v_reset=-1.0), [1.0, 4.0, 1.0, 3.5], [-0.5, "1.25*", -0.5, "1.0*"])


def test_plif_with_soft_reset():
    # U1 = 1/2     U2 = 1/4 + 2.5/2 = 1.5 *, V = 0.5     U3 = 0.5/2 + 1/2 = 0.75     U4 = 0.375 + 0.75 = 1.125 *
    assert_trajectory(PLIF(tau=2.0, v_reset=None), [1.0, 2.5, 1.0, 1.5], [0.5, "1.5*", 0.75, "1.125*"])


def test_plif_with_another_time_constant():
    # τ = 4, k = 1/4:  U1 = 2/4 = 0.5     U2 = 3/4·0.5 + 3/4 = 1.125 *     U3 = 0 + 2/4     U4 = 3/8 + 1/4
    assert_trajectory(PLIF(tau=4.0), [2.0, 3.0, 2.0, 1.0], [0.5, "1.125*", 0.5, 0.625])
