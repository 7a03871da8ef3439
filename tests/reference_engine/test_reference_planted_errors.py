"""The comparisons of the reference engine find errors planted in it."""

from dataclasses import replace

import numpy as np
import pytest

import test_reference_gradients
import test_reference_pytorch
from charloom.cell_table import CELL_NAMES
from charloom.engines.reference import ReferenceEngine, network
from charloom.engines.reference.cells import GruCell, LstmCell, RnnCell, read
from charloom.model import optimizers
from charloom.random import dropout_mask


def forget_the_future(honest):
    """Plant an error: no gradient goes back to the previous step."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return dx, {name: np.zeros_like(array) for name, array in d_prev.items()}

    return backward


def forget_the_layer_below(honest):
    """Plant an error: no gradient goes to the layer below."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return np.zeros_like(dx), d_prev

    return backward


def scale_one_gradient(honest):
    """Plant an error: dW is too large by 0.1 %."""

    def backward(cell, x, prev, cache, d, gradients):
        before = gradients.W.copy()
        result = honest(cell, x, prev, cache, d, gradients)
        gradients.W[...] += 0.001 * (gradients.W - before)
        return result

    return backward


def forget_the_cell(honest):
    """Plant an error: the cell state of an LSTM carries no gradient back in time."""

    def backward(cell, x, prev, cache, d, gradients):
        dx, d_prev = honest(cell, x, prev, cache, d, gradients)
        return dx, {**d_prev, "cell": np.zeros_like(d_prev["cell"])}

    return backward


def forget_d(honest):
    """Plant an error: the bias d of a GRU has no gradient."""

    def backward(cell, x, prev, cache, d, gradients):
        result = honest(cell, x, prev, cache, d, gradients)
        gradients.d[...] = 0
        return result

    return backward


KINDS = {"rnn": RnnCell, "lstm": LstmCell, "gru": GruCell}
EVERYWHERE = [forget_the_future, forget_the_layer_below, scale_one_gradient]


@pytest.mark.parametrize(
    ("cell", "planted"),
    [(cell, planted) for cell in CELL_NAMES for planted in EVERYWHERE]
    + [("lstm", forget_the_cell), ("gru", forget_d)],
)
def test_a_planted_error_in_the_gradient_is_caught(cell, planted, monkeypatch):
    kind = KINDS[cell]
    monkeypatch.setattr(kind, "backward", planted(kind.backward))
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_reference_gradients.test_loss_gradients_and_state_are_those_of_the_single_numbers(
            cell, 2, 2, 0.0
        )
    with pytest.raises(AssertionError, match=r"layers\.0\..: norm-relative error"):
        test_reference_pytorch.test_gradients_are_those_that_pytorch_once_gave(cell)
    with pytest.raises(AssertionError, match=r"layers\.0\.."):
        test_reference_gradients.test_gradients_are_those_of_the_complex_step(
            cell, 2, 7, 5, 4, 6, 0.0
        )


def swapped(array):
    """Return the LSTM's gates in another order: f, i, g, o."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([f, i, g, o])


class SwappedLstm(LstmCell):
    """An LSTM that uses its input gate as its forget gate. It is consistent, but differs from PyTorch."""

    def forward(self, x, prev):
        return LstmCell(*map(swapped, (self.U, self.W, self.b))).forward(x, prev)

    def backward(self, x, prev, cache, d, gradients):
        sums = LstmCell(*map(np.zeros_like, (self.U, self.W, self.b)))
        own = LstmCell(*map(swapped, (self.U, self.W, self.b)))
        result = own.backward(x, prev, cache, d, sums)
        for name in ("U", "W", "b"):
            getattr(gradients, name)[...] += swapped(getattr(sums, name))
        return result


class EarlyReset(GruCell):
    """A GRU as first published: the reset gate multiplies h before the product, and there is no d."""

    def forward(self, x, prev):
        _, (r, z, n, held) = super().forward(x, prev)
        rows = slice(2 * n.shape[-1], None)
        reset = (r * prev["h"]) @ self.W[rows].T
        n = np.tanh(read(replace(self, U=self.U[rows]), x) + self.b[rows] + reset)
        return {"h": (1 - z) * n + z * prev["h"]}, (r, z, n, held)


@pytest.mark.parametrize(("cell", "planted"), [("lstm", SwappedLstm), ("gru", EarlyReset)])
def test_another_convention_is_caught(cell, planted, monkeypatch):
    monkeypatch.setitem(network.CELL_CLASSES, cell, planted)
    with pytest.raises(AssertionError):
        test_reference_gradients.test_loss_gradients_and_state_are_those_of_the_single_numbers(
            cell, 1, 1, 0.0
        )
    with pytest.raises(AssertionError):
        test_reference_pytorch.test_gradients_are_those_that_pytorch_once_gave(cell)


@pytest.mark.parametrize("late", [{"update": 1}, {"stream": 1}, {"time": 1}, {"layer": 1}])
def test_a_mask_of_another_place_is_caught(late, monkeypatch):
    def elsewhere(seed, update, layer, stream, time, units, dropout):
        at = {"update": update, "layer": layer, "stream": stream, "time": time}
        at |= {name: at[name] + by for name, by in late.items()}
        return dropout_mask(seed, **at, units=units, dropout=dropout)

    monkeypatch.setattr(network, "dropout_mask", elsewhere)
    with pytest.raises(AssertionError):
        test_reference_gradients.test_loss_gradients_and_state_are_those_of_the_single_numbers(
            "gru", 3, 2, 0.3
        )
    with pytest.raises(AssertionError):
        test_reference_gradients.test_gradients_are_those_of_the_complex_step(
            "rnn", 2, 7, 5, 4, 6, 0.4
        )


def test_a_dropped_carry_is_caught(monkeypatch):
    honest = ReferenceEngine.train

    def drop_the_carry(engine, learner, tokens, plan):
        learner.state["h"][...] = 0
        return honest(engine, learner, tokens, plan)

    monkeypatch.setattr(ReferenceEngine, "train", drop_the_carry)
    with pytest.raises(AssertionError):
        test_reference_gradients.test_twenty_updates_over_two_epochs_follow_the_single_numbers()


def test_an_epsilon_outside_the_root_is_caught(monkeypatch):
    def outside(parameter, gradient, accumulator, learning_rate, epsilon):
        accumulator += gradient * gradient
        parameter -= learning_rate * gradient / (np.sqrt(accumulator) + epsilon)

    monkeypatch.setattr(optimizers, "adagrad", outside)
    with pytest.raises(AssertionError):
        test_reference_gradients.test_twenty_updates_over_two_epochs_follow_the_single_numbers()
