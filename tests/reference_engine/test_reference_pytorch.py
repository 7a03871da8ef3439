"""The reference engine agrees with PyTorch: stored gradients, gradients computed now, and fifty updates."""

import json

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.engines.reference import ReferenceEngine
from golden import make_torch_gradients as script
from reference_networks import (
    as_lists,
    assert_same,
    make_ids,
    make_learner,
    make_window,
    plan,
)


def learner_from(cell, values):
    """Return a learner with given parameters and initial state."""
    K, H = np.shape(values["parameters"]["V"])
    layers, streams, _ = np.shape(values["state"]["h"])
    learner = make_learner(H, len(values["x"]), K, cell=cell, layers=layers, batch_size=streams)
    assert set(learner.parameters) == set(values["parameters"])
    for name, parameter in learner.parameters.items():
        parameter[...] = values["parameters"][name]
    learner.state = {name: np.array(array) for name, array in values["state"].items()}
    return learner


def assert_agrees_with(truth, cell, values):
    """Assert that the reference engine's results for `values` equal PyTorch's results `truth`."""
    learner = learner_from(cell, values)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(
        learner, np.array(values["x"], np.uint8), np.array(values["y"], np.uint8)
    )
    assert loss == pytest.approx(truth["loss"], rel=1e-13)
    assert_same(gradients, truth["gradients"])
    assert_same(state, truth["state"])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_are_those_that_pytorch_once_gave(cell):
    golden = json.loads(script.GOLDEN.read_text(encoding="utf-8"))
    assert_agrees_with(golden["networks"][cell], cell, script.inputs(cell))


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("layers", "streams"), [(1, 1), (2, 7), (3, 32)])
def test_gradients_are_those_that_pytorch_gives_now(cell, layers, streams):
    """Takes seconds, because it imports PyTorch."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its golden values must do")
    learner = make_learner(
        50, 12, 40, 0.2, cell=cell, layers=layers, batch_size=streams, init="orthogonal"
    )
    x, y = make_window(learner)
    values = {"parameters": as_lists(learner.parameters), "state": as_lists(learner.state)}
    values |= {"x": x.tolist(), "y": y.tolist()}
    assert_agrees_with(script.torch_gradients(cell, values), cell, values)


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
def test_fifty_updates_follow_pytorch(cell, optimizer):
    """The gradients are of the mean loss, clipped by norm. The learning rate is too small for chaotic training."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    learner = make_learner(
        8, 6, 9, cell=cell, layers=2, batch_size=3, init="uniform", optimizer=optimizer,
        reduction="mean", clip=0.2, clip_by="norm", weight_decay=0.01,
    )  # fmt: skip
    ids, starts = make_ids(learner, 3 * 310), np.array([0, 310, 620])
    rate = 0.002
    theirs = script.TorchNetwork(cell, as_lists(learner.parameters))
    tensors = theirs.trained()
    descent = script.torch_optimizer(optimizer, tensors, learning_rate=rate, weight_decay=0.01)
    state, their_losses, their_norms = learner.state, [], []
    for e in range(0, 300, 6):
        window = np.array([ids[start + e : start + e + 7] for start in starts]).T.astype(np.int64)
        loss, state = theirs.loss(window[:-1], window[1:], state)
        state = {name: tensor.detach() for name, tensor in state.items()}
        descent.zero_grad()
        (loss / 6).backward()
        their_norms.append(torch.nn.utils.clip_grad_norm_(tensors, 0.2).item())
        descent.step()
        their_losses.append(loss.item())
    trace = ReferenceEngine().train(learner, ids, plan(50, rate, starts))
    assert max(their_norms) > 0.2
    np.testing.assert_allclose(trace.losses, their_losses, rtol=1e-10)
    np.testing.assert_allclose(trace.gradient_norms, their_norms, rtol=1e-9)
    assert_same(learner.parameters, theirs.collect(lambda tensor: tensor.detach()), 1e-10)
    assert_same(learner.state, as_lists(state), 1e-9)
