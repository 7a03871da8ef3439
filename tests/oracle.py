"""A third implementation of the networks, with single numbers instead of matrices, for tests.

It imports nothing from charloom and no library for matrices, so it shares no mistake with the engines.
Its gradients are not derived by hand: every sum and product stores its operands, and `propagate` applies
the chain rule to each. Parameters are nested lists of floats by full name. States are nested lists
[layer][stream][unit]. x[t][s] and y[t][s] are the ids at step t of stream s. Dropout multiplies an
output by masks[t][layer][s][unit]. With n-grams, logs[t][s][k] are the logarithms of their probabilities. With
pairs, rows[t][s] is the row of P that layer 0 adds to U x; -1 for no row. With items, begins[t][s] says whether
stream s begins an item at step t, with new states that are 0.

    rnn   h' = tanh(U x + W h + b)
    lstm  i, f, o = sigmoid, g = tanh of their rows of U x + W h + b;  c' = f c + i g;  h' = o tanh(c')
    gru   r, z = sigmoid of their rows of U x + W h + b;  n = tanh(U x + b + r (W h + d));
          h' = (1 - z) n + z h
    loss = 1/B · sum over streams and steps of -ln softmax(V h + c + (ω h + α) logs)[y]
"""

import itertools
import math


class Number:
    """A number that stores its operands, and its derivative with respect to each of them."""

    births = itertools.count()

    def __init__(self, value, *sources):
        self.value, self.sources = value, sources
        self.gradient = 0.0
        self.born = next(Number.births)

    def __add__(self, other):
        return Number(self.value + other.value, (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        return Number(self.value * other.value, (self, other.value), (other, self.value))

    def tanh(self):
        t = math.tanh(self.value)
        return Number(t, (self, 1.0 - t * t))

    def sigmoid(self):
        s = 1.0 / (1.0 + math.exp(-self.value))
        return Number(s, (self, s * (1.0 - s)))

    def exp(self):
        e = math.exp(self.value)
        return Number(e, (self, e))

    def log(self):
        return Number(math.log(self.value), (self, 1.0 / self.value))


def propagate(result):
    """Set the `gradient` of every number from which `result` was computed."""
    found, ahead = {id(result): result}, [result]
    while ahead:
        for source, _ in ahead.pop().sources:
            if id(source) not in found:
                found[id(source)] = source
                ahead.append(source)
    result.gradient = 1.0
    for number in sorted(found.values(), key=lambda number: -number.born):
        for source, derivative in number.sources:
            source.gradient += number.gradient * derivative


def each(values, function):
    """Return nested lists with `function` applied to each item."""
    if isinstance(values, list):
        return [each(value, function) for value in values]
    return function(values)


def total(numbers):
    """Return the sum of numbers."""
    result = Number(0.0)
    for number in numbers:
        result = result + number
    return result


def product(matrix, x):
    """Return a matrix times the vector `x`, or the column `x` of the matrix if `x` is an id."""
    if isinstance(x, int):
        return [row[x] for row in matrix]
    return [total(a * b for a, b in zip(row, x, strict=True)) for row in matrix]


def sums(*vectors):
    """Return the sum of vectors, entry by entry."""
    return [total(entries) for entries in zip(*vectors, strict=True)]


def step(cell, p, layer, x, h, c, row=-1):
    """Return h and c of one layer after one step. Row `row` of P is added to its input, unless it is -1."""
    H = len(h)
    read = sums(product(p[f"layers.{layer}.U"], x), p[f"layers.{layer}.b"])
    if row >= 0:
        read = sums(read, p["pairs.weight"][row])
    held = product(p[f"layers.{layer}.W"], h)
    if cell == "rnn":
        return [a.tanh() for a in sums(read, held)], c
    if cell == "lstm":
        a = sums(read, held)
        new_c, new_h = [], []
        for n in range(H):
            i, f = a[n].sigmoid(), a[H + n].sigmoid()
            g, o = a[2 * H + n].tanh(), a[3 * H + n].sigmoid()
            new_c.append(f * c[n] + i * g)
            new_h.append(o * new_c[n].tanh())
        return new_h, new_c
    new_h = []
    for n in range(H):
        r = (read[n] + held[n]).sigmoid()
        z = (read[H + n] + held[H + n]).sigmoid()
        candidate = (read[2 * H + n] + r * (held[2 * H + n] + p[f"layers.{layer}.d"][n])).tanh()
        rest = Number(1.0) + z * Number(-1.0)
        new_h.append(rest * candidate + z * h[n])
    return new_h, c


def logits(p, h, logs=None):
    """Return the logits of one step, with the n-grams mixed in if `logs` has their logarithms."""
    o = sums(product(p["V"], h), p["c"])
    if logs is None:
        return o
    (weight,) = sums(product(p["ngram.weight"], h), p["ngram.bias"])
    return [o_k + weight * Number(log) for o_k, log in zip(o, logs, strict=True)]


def loss_and_gradients(
    cell, parameters, x, y, state, masks=None, logs=None, rows=None, begins=None
):
    """Return the loss of a window of B streams, the gradient of each parameter, and the state after the window."""
    T, B, L = len(x), len(x[0]), len(state["h"])
    p = {name: each(values, Number) for name, values in parameters.items()}
    loss = Number(0.0)
    last = {name: [[None] * B for _ in range(L)] for name in state}
    for s in range(B):
        hs = [each(state["h"][layer][s], Number) for layer in range(L)]
        cs = [each(state.get("cell", state["h"])[layer][s], Number) for layer in range(L)]
        for t in range(T):
            if begins and begins[t][s]:
                hs, cs = (each(old, lambda _: Number(0.0)) for old in (hs, cs))
            below = x[t][s]
            for layer in range(L):
                row = rows[t][s] if rows and layer == 0 else -1
                hs[layer], cs[layer] = step(cell, p, layer, below, hs[layer], cs[layer], row)
                below = hs[layer]
                if masks is not None:
                    kept = each(masks[t][layer][s], Number)
                    below = [h * k for h, k in zip(below, kept, strict=True)]
            o = logits(p, below, None if logs is None else logs[t][s])
            minus_log_p = total(o_k.exp() for o_k in o).log() + o[y[t][s]] * Number(-1.0)
            loss = loss + minus_log_p * Number(1.0 / B)
        for layer in range(L):
            last["h"][layer][s] = [h.value for h in hs[layer]]
            if "cell" in last:
                last["cell"][layer][s] = [c.value for c in cs[layer]]
    propagate(loss)
    return loss.value, {n: each(v, lambda number: number.gradient) for n, v in p.items()}, last


def adagrad(p, m, g, learning_rate, epsilon, clip):
    """Make one clipped AdaGrad step; return the new parameter, which can have any shape, and its accumulator."""
    if isinstance(p, list):
        pairs = [
            adagrad(p_i, m_i, g_i, learning_rate, epsilon, clip)
            for p_i, m_i, g_i in zip(p, m, g, strict=True)
        ]
        return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    g = max(-clip, min(clip, g))
    m = m + g * g
    return p - learning_rate * g / math.sqrt(m + epsilon), m


def train(p, ids, updates, *, T, learning_rate, epsilon=1e-8, clip=5.0, smoothing=0.999):
    """Train one stream as in the classic experiment, from the zero state and zero accumulators.

    Returns the parameters, the accumulators, the last h, the losses and the smooth losses.
    """
    m = {name: each(values, lambda _: 0.0) for name, values in p.items()}
    zero = {"h": [[[0.0] * len(p["layers.0.b"])]]}
    state, e = zero, 0
    losses, smooth_losses = [], []
    for _ in range(updates):
        x = [[token] for token in ids[e : e + T]]
        y = [[token] for token in ids[e + 1 : e + T + 1]]
        loss, d, state = loss_and_gradients("rnn", p, x, y, state)
        stepped = {n: adagrad(p[n], m[n], d[n], learning_rate, epsilon, clip) for n in p}
        p = {name: pair[0] for name, pair in stepped.items()}
        m = {name: pair[1] for name, pair in stepped.items()}
        smooth = smoothing * smooth_losses[-1] + (1 - smoothing) * loss if losses else loss
        losses.append(loss)
        smooth_losses.append(smooth)
        e += T
        if e > len(ids) - T - 1:
            e, state = 0, zero
    return p, m, state["h"][0][0], losses, smooth_losses
