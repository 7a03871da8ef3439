"""Computes the loss of a network with scalar loops, and its derivative by central differences.

It has no backward pass, no arrays inside and imports nothing from charloom, so that a mistake in a
derivation can't be in it too. The parameters have the names and shapes of docs/spec/mathematics.md;
`U0`, `W0`, `b0` and `d0` are those of layer 0. h0 and s0 have the shape (L, N, H), x has (N, T, K).
"""

import math
from dataclasses import dataclass

import numpy as np

GATES = {"rnn": ("h",), "lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
STEP = 1e-3  # the fourth-order difference is exact to about 1e-11
ACTIVATIONS = {
    "tanh": math.tanh,
    "relu": lambda a: max(a, 0.0),
    "sigmoid": lambda a: 1 / (1 + math.exp(-a)),
}


@dataclass(frozen=True)
class Network:
    """The network and the loss of a program.

    reset: whether the reset gate acts "after" or "before" the product.
    swapped: h_t = (1 - z) h_prev + z n instead of z h_prev + (1 - z) n.
    activation: of the plain cell's state and of a candidate.
    squash: False if h_t = o c_t without the tanh.
    coupled: f = 1 - i; the rows of f are not used.
    forget_bias: is added to the pre-activation of f.
    divide: T, N and K in it divide the sum of all cross-entropies; "2" is ln 2.
    epsilon: is added to the probability inside the logarithm.
    last_only: only the last step has a loss.
    zero_state: the initial states are not read; they are zero.
    """

    cell: str
    layers: int = 1
    reset: str = "after"
    swapped: bool = False
    activation: str = "tanh"
    squash: bool = True
    coupled: bool = False
    forget_bias: float = 0.0
    divide: str = ""
    epsilon: float = 0.0
    last_only: bool = False
    zero_state: bool = False


def sigmoid(a: float) -> float:
    """Return the logistic function of a number."""
    return 1 / (1 + math.exp(-a))


def dot(row: list[float], vector: list[float]) -> float:
    """Return the sum of the products."""
    total = 0.0
    for j in range(len(vector)):
        total += row[j] * vector[j]
    return total


def rnn_step(net: Network, p: dict, x: list, h: list, s: list) -> tuple[list, list]:
    """Return the next states of a plain cell."""
    U, W, b = p["U"], p["W"], p["b"]
    act = ACTIVATIONS[net.activation]
    return [act(b[j] + dot(U[j], x) + dot(W[j], h)) for j in range(len(h))], s


def lstm_step(net: Network, p: dict, x: list, h: list, s: list) -> tuple[list, list]:
    """Return the next states of an LSTM's layer."""
    U, W, b = p["U"], p["W"], p["b"]
    H = len(h)
    a = [b[j] + dot(U[j], x) + dot(W[j], h) for j in range(4 * H)]
    new_h, new_s = [], []
    for j in range(H):
        i = sigmoid(a[j])
        f = 1 - i if net.coupled else sigmoid(a[H + j] + net.forget_bias)
        g = ACTIVATIONS[net.activation](a[2 * H + j])
        o = sigmoid(a[3 * H + j])
        new_s.append(f * s[j] + i * g)
        new_h.append(o * (math.tanh(new_s[j]) if net.squash else new_s[j]))
    return new_h, new_s


def gru_step(net: Network, p: dict, x: list, h: list, s: list) -> tuple[list, list]:
    """Return the next states of a GRU's layer."""
    U, W, b, d = p["U"], p["W"], p["b"], p["d"]
    H = len(h)
    r = [sigmoid(b[j] + dot(U[j], x) + dot(W[j], h)) for j in range(H)]
    reset_h = [r[j] * h[j] for j in range(H)]
    new = []
    for j in range(H):
        z = sigmoid(b[H + j] + dot(U[H + j], x) + dot(W[H + j], h))
        row = 2 * H + j
        if net.reset == "before":
            inner = dot(W[row], reset_h) + d[j]
        else:
            inner = r[j] * (dot(W[row], h) + d[j])
        n = ACTIVATIONS[net.activation](b[row] + dot(U[row], x) + inner)
        new.append((1 - z) * h[j] + z * n if net.swapped else z * h[j] + (1 - z) * n)
    return new, s


STEPS = {"rnn": rnn_step, "lstm": lstm_step, "gru": gru_step}


def cross_entropy(o: list[float], target: int, epsilon: float) -> float:
    """Return the negative logarithm of the probability of the target."""
    e = [math.exp(value) for value in o]
    return -math.log(e[target] / sum(e) + epsilon)


def initial(net: Network, P: dict, n: int) -> tuple[list, list]:
    """Return the initial states of each layer, for one stream."""
    states = [[P[name][level][n] for level in range(net.layers)] for name in ("h0", "s0")]
    if net.zero_state:
        states = [[[0.0] * len(v) for v in layers] for layers in states]
    return states[0], states[1]


def loss(net: Network, C: dict[str, np.ndarray], targets: np.ndarray) -> float:
    """Return the loss of all streams; targets has the shape (N, T)."""
    P = {name: value.tolist() for name, value in C.items()}
    layers = [{k: P[f"{k}{level}"] for k in "UWbd"} for level in range(net.layers)]
    N, T = targets.shape
    total = 0.0
    for n in range(N):
        h, s = initial(net, P, n)
        for t in range(T):
            signal = P["x"][n][t]
            for level in range(net.layers):
                h[level], s[level] = STEPS[net.cell](net, layers[level], signal, h[level], s[level])
                signal = h[level]
            if t == T - 1 or not net.last_only:
                o = [P["c"][k] + dot(P["V"][k], signal) for k in range(len(P["c"]))]
                total += cross_entropy(o, int(targets[n, t]), net.epsilon)
    for factor in net.divide:
        total /= {"T": T, "N": N, "K": len(P["c"]), "2": math.log(2)}[factor]
    return total


def derivative(net: Network, C: dict[str, np.ndarray], targets: np.ndarray) -> dict:
    """Return the derivative of the loss with respect to each array of C, by central differences."""
    C = {name: value.copy() for name, value in C.items()}
    result = {}
    for name, value in C.items():
        slope = np.zeros(value.shape)
        for index in np.ndindex(value.shape):
            kept = value[index]
            found = []
            for distance in (2, 1, -1, -2):
                value[index] = kept + distance * STEP
                found.append(loss(net, C, targets))
            value[index] = kept
            slope[index] = (found[3] - found[0] + 8 * (found[1] - found[2])) / (12 * STEP)
        result[name] = slope
    return result
