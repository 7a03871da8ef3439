"""The reference engine agrees with PyTorch: stored gradients, gradients computed now, and fifty updates."""

import json

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.engines.reference import ReferenceEngine, network
from charloom.engines.reference.ngram_counts import log_probabilities
from charloom.model import hidden_arrays
from golden import make_torch_gradients as script
from ngram_plants import without_the_path_through_the_weight
from reference_networks import (
    as_lists,
    assert_same,
    make_ids,
    make_learner,
    make_window,
    plan,
    repeated_ids,
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


def assert_mixture_agrees_with(truth, cell, values):
    """Assert that the reference engine's mixture with given logarithms `logs` equals PyTorch's results."""
    arrays = {
        name: {n: np.array(a) for n, a in values[name].items()} for name in ("parameters", "state")
    }
    x, y, logs = (np.array(values[name]) for name in ("x", "y", "logs"))
    loss, gradients, state = network.loss_and_gradients(
        arrays["parameters"], cell, x, y, arrays["state"], None, logs
    )
    assert loss == pytest.approx(truth["loss"], rel=1e-13)
    assert_same(gradients, truth["gradients"])
    assert_same(state, truth["state"])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_of_the_mixture_are_those_that_pytorch_once_gave(cell):
    golden = json.loads(script.GOLDEN.read_text(encoding="utf-8"))
    assert_mixture_agrees_with(golden["ngrams"][cell], cell, script.inputs(cell, ngrams=True))


def test_a_missing_path_through_the_weight_differs_from_pytorch(monkeypatch):
    golden = json.loads(script.GOLDEN.read_text(encoding="utf-8"))
    monkeypatch.setattr(network, "loss_and_gradients", without_the_path_through_the_weight)
    with pytest.raises(AssertionError, match="norm-relative error"):
        assert_mixture_agrees_with(
            golden["ngrams"]["rnn"], "rnn", script.inputs("rnn", ngrams=True)
        )


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("layers", "streams"), [(1, 1), (2, 7)])
def test_gradients_of_the_mixture_are_those_that_pytorch_gives_now(cell, layers, streams):
    """Takes seconds, because it imports PyTorch. The network learns with the n-grams of a counted text."""
    pytest.importorskip("torch", reason="PyTorch is not installed: its golden values must do")
    learner = make_learner(
        30,
        12,
        20,
        0.2,
        cell=cell,
        layers=layers,
        batch_size=streams,
        init="orthogonal",
        ngram_order=5,
    )
    places = np.arange(12)[:, np.newaxis] + 100 + 33 * np.arange(streams)
    text = repeated_ids(learner, 400)
    columns = learner.ngrams.columns(places + 1)
    values = {"parameters": as_lists(learner.parameters)}
    values["state"] = as_lists(hidden_arrays(learner.state))
    values |= {"x": text[places].tolist(), "y": text[places + 1].tolist()}
    values["logs"] = log_probabilities(learner, text[places], learner.state, columns).tolist()
    truth = script.torch_gradients(cell, values)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(
        learner, text[places], text[places + 1], None, columns
    )
    assert loss == pytest.approx(truth["loss"], rel=1e-13)
    assert_same(gradients, truth["gradients"])
    assert_same(hidden_arrays(state), truth["state"])


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
