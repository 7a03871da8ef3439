"""Tests where the doctor locates a mistake in a network that it does not know, from the derivative of its own loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.diagnosis_result import OWN, WRONG


def sigmoid(a: Any) -> Any:
    """Return σ(a)."""
    return 1 / (1 + np.exp(-a))


def skipping_rnn(mistake: str = "") -> Callable[..., Any]:
    """Return a plain RNN whose output also sees the state before, which no network of the doctor has."""

    def checked(params: Any, x: Any, y: Any, h0: Any) -> tuple[float, Any]:
        U, W, b, V, c = (params[name] for name in "UWbVc")
        h, p, loss = {-1: h0}, {}, 0.0
        for t in range(len(x)):
            h[t] = np.tanh(U[:, x[t]] + W @ h[t - 1] + b)
            o = V @ (h[t] + 0.3 * h[t - 1]) + c
            p[t] = np.exp(o - o.max()) / np.exp(o - o.max()).sum()
            loss -= np.log(p[t][y[t]])
        g = {name: np.zeros_like(one) for name, one in params.items()}
        back = np.zeros_like(h0)
        for t in reversed(range(len(x))):
            do = p[t].copy()
            do[y[t]] -= 1
            g["V"] += np.outer(do, h[t] + (0 if mistake == "dV" else 0.3 * h[t - 1]))
            g["c"] += do
            da = (V.T @ do + back) * (1 - h[t] ** 2)
            g["U"][:, x[t]] += da
            g["W"] += np.outer(da, h[t] if mistake == "dW" else h[t - 1])
            g["b"] += da
            back = W.T @ da + (0 if mistake == "carry" else 0.3 * (V.T @ do))
        return float(loss), g

    return checked


def leaky_lstm(mistake: str = "") -> Callable[..., Any]:
    """Return an LSTM whose state is h = o tanh(s) + 0.2 of the state before."""

    def checked(params: Any, x: Any, y: Any, start: Any) -> tuple[float, Any]:
        U, W, b, V, c = (params[name] for name in "UWbVc")
        (h, s), caches, loss = start, [], 0.0
        for t in range(len(x)):
            i, f, g_, o = np.split(U[:, x[t]] + W @ h + b, 4)
            i, f, g_, o = sigmoid(i), sigmoid(f), np.tanh(g_), sigmoid(o)
            new = f * s + i * g_
            after = o * np.tanh(new) + 0.2 * h
            z = V @ after + c
            p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            loss -= np.log(p[y[t]])
            caches.append((h, s, i, f, g_, o, new, after, p))
            h, s = after, new
        g = {name: np.zeros_like(one) for name, one in params.items()}
        dh, ds = np.zeros_like(h), np.zeros_like(s)
        for t in reversed(range(len(x))):
            h, s, i, f, g_, o, new, after, p = caches[t]
            do = p.copy()
            do[y[t]] -= 1
            g["V"] += np.outer(do, after)
            g["c"] += do
            dh = dh + V.T @ do
            ds = ds + dh * o * (1 - np.tanh(new) ** 2)
            df = ds * (new if mistake == "f" else s) * f * (1 - f)
            da = np.concatenate(
                [ds * g_ * i * (1 - i), df, ds * i * (1 - g_**2), dh * np.tanh(new) * o * (1 - o)]
            )
            g["U"][:, x[t]] += da
            g["W"] += np.outer(da, h)
            g["b"] += da
            dh, ds = W.T @ da + (0 if mistake == "carry" else 0.2 * dh), ds * f
        return float(loss), g

    return checked


@pytest.mark.parametrize(("network", "cell"), [(skipping_rnn, "rnn"), (leaky_lstm, "lstm")])
def test_a_right_gradient_of_an_unknown_network_is_right(network: Any, cell: str) -> None:
    assert doctor(network(), cell=cell).verdict == OWN


def places(function: Callable[..., Any], cell: str) -> list[tuple[Any, ...]]:
    """Return the places at which the doctor finds a wrong function wrong."""
    found = doctor(function, cell=cell)
    assert found.verdict == WRONG
    assert not found.network_known
    return [(one.kind, one.gates, one.steps) for one in found.location.places]


def test_a_wrong_gate_is_located_in_an_unknown_network() -> None:
    assert places(leaky_lstm("f"), "lstm") == [("gates", ("f",), ())]


def test_a_wrong_carry_is_located_in_an_unknown_network() -> None:
    assert places(leaky_lstm("carry"), "lstm") == [("dh", (), (1, 2, 3, 4))]
    assert places(skipping_rnn("carry"), "rnn") == [("dh", (), (1, 2, 3, 4))]


@pytest.mark.parametrize("name", ["dV", "dW"])
def test_a_wrong_sum_is_located_in_an_unknown_network(name: str) -> None:
    assert places(skipping_rnn(name), "rnn") == [(name, (), ())]


def test_the_places_in_an_unknown_network_are_sentences() -> None:
    text = str(doctor(leaky_lstm("f"), cell="lstm"))
    assert "the gradient of gate f is wrong" in text
