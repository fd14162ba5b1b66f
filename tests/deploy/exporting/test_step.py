import numpy as np
import pytest
import torch

from deploy.export import export
from deploy.exporting.prepare import example_frames
from deploy.exporting.step import StepNetwork, StepNeuron
from deploy.running.metadata import KEY, ModelMetadata
from deploy.running.quiet import onnxruntime
from evglif.checkpoint import read_checkpoint
from evglif.neurons import GLIF, LIF, PLIF
from tests.helpers.checkpoints import lively, saved


def test_the_mean_over_steps_is_the_unrolled_run(tmp_path):
    checkpoint = saved(tmp_path / "model.pt", "plif-cifar10dvs", "glif", steps=4)
    path, _ = export(checkpoint, "onnx-step")
    unrolled, _ = export(checkpoint, "onnx")
    session = onnxruntime.InferenceSession(path)
    metadata = ModelMetadata.from_json(session.get_modelmeta().custom_metadata_map[KEY], "model")
    names = [state.name for state in metadata.states]
    assert [each.name for each in session.get_inputs()] == ["frame", "step", *names]
    assert [each.name for each in session.get_outputs()] == ["logits", *(f"{name}_next" for name in names)]
    assert metadata.form == "step"
    for batch in (1, 3):
        frames = example_frames(read_checkpoint(checkpoint).model, batch).numpy()
        membranes = {state.name: np.full((batch, *state.shape), state.rest, np.float32) for state in metadata.states}
        total = 0
        for step in range(4):
            logits, *following = session.run(None, {"frame": frames[:, step], "step": np.array(step), **membranes})
            membranes = dict(zip(membranes, following, strict=True))
            total = total + logits
        expected = onnxruntime.InferenceSession(unrolled).run(None, {"frames": frames})[0]
        np.testing.assert_allclose(total / 4, expected, atol=1e-5)


def test_states_say_where_each_layer_rests():
    network = StepNetwork(lively("7b-widenet", "plif", v_reset=-0.5))
    assert [state.rest for state in network.states] == [-0.5] * 16
    assert network.states[0].layer == "features.0.neuron"
    assert network.states[0].shape == (4, 16, 24)
    assert network.states[-1].shape == (8, 2, 3)


def test_the_step_chooses_the_row_of_the_gain():
    neuron = GLIF(1, 3, gates="011")
    neuron.set_values(g=torch.tensor([[0.1], [0.5], [0.9]]))
    carrier = _Carrier(2)
    StepNeuron(neuron, 0, carrier)(torch.ones(1, 1, 1))
    leak = float(neuron.values()["tau_lin"])
    assert float(carrier.following[0]) == pytest.approx(0.9 - leak)


class _Carrier:
    def __init__(self, step):
        self.step, self.membranes, self.following = torch.tensor(step), [], {}


def test_a_neuron_that_fires_at_rest_is_refused():
    silent = LIF(0.5, 1.0)
    silent.rest = 1.0
    StepNeuron(silent, 0, _Carrier(0))
    with pytest.raises(ValueError, match="neuron 3 rests at 1 and fires from 1 on"):
        StepNeuron(_resting_at_threshold(), 3, _Carrier(0))


def _resting_at_threshold():
    neuron = PLIF()
    neuron.rest = 1.0
    return neuron
