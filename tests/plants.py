"""Mistakes for the doctor to find, as edits of the hand-written networks in tests/written.

This module does not know how the doctor predicts the mistakes.
"""

import types
from pathlib import Path
from typing import NamedTuple

WRITTEN = Path(__file__).parent / "written"
CELL = {"lstm": "lstm", "gru": "gru"}  # all other files have the cell rnn

PRE = "def loss_and_gradients"  # helpers and globals are inserted before this line


class Plant(NamedTuple):
    """A planted mistake: the file, the id of the mistake, and the edits (old, new) that plant it."""

    file: str
    id: str
    edits: tuple[tuple[str, str], ...]
    note: str = ""

    @property
    def name(self):
        return f"{self.file}-{self.id}" + (f"-{self.note}" if self.note else "")


def source(file, *plants):
    """Return the source of a hand-written network with planted mistakes."""
    text = (WRITTEN / f"{file}.py").read_text(encoding="utf-8")
    for plant in plants:
        for old, new in plant.edits:
            assert text.count(old) >= 1, (plant.name, old)
            text = text.replace(old, new)
    return text


def function(file, *plants, name="loss_and_gradients"):
    """Return the function of a hand-written network with planted mistakes."""
    module = types.ModuleType(file)
    exec(compile(source(file, *plants), f"{file}.py", "exec"), vars(module))
    return getattr(module, name)


def P(file, id, *edits, note=""):
    pairs = tuple(zip(edits[::2], edits[1::2], strict=True))
    return Plant(file, id, pairs, note)


L, C, W, S = "loop", "course", "whole", "scalar"
RETURN = 'return loss, {"U": dU, "W": dW, "b": db, "V": dV, "c": dc}'

PLANTS = [
    # The natural form, step by step.
    P(L, "initial-state-dropped", "dW += np.outer(da, h[t - 1])", "dW += np.outer(da, h[t - 1] if t else np.zeros_like(h0))"),
    P(L, "initial-state-dropped", "dW += np.outer(da, h[t - 1])", "if t > 0:\n            dW += np.outer(da, h[t - 1])", note="skipped"),
    P(L, "index-wraps", "dW += np.outer(da, h[t - 1])", "dW += np.outer(da, [h[s] for s in range(T)][t - 1])"),
    P(L, "time-carry-missing", "V.T @ do + dh_next", "V.T @ do"),
    P(L, "time-carry-missing", "        dh_next = W.T @ da\n", "", note="never set"),
    P(L, "time-carry-reversed", "reversed(range(T))", "range(T)"),
    P(L, "time-carry-reversed", "    dh_next = np.zeros_like(h0)\n", "    das = np.zeros((T, len(h0)))\n", "V.T @ do + dh_next", "V.T @ do + (W.T @ das[t - 1] if t < T - 1 else 0)", "dh_next = W.T @ da", "das[t] = da", note="read too early"),
    P(L, "recurrent-gradient-from-last-state", "np.outer(da, h[t - 1])", "np.outer(da, h[T - 1])"),
    P("lstm", "recurrent-gradient-from-last-state", "np.outer(da, h_prev)", "np.outer(da, kept[-1][7])"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "1 - a[t] ** 2", note="a"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "1 - np.tanh(a[t] ** 2)", note="tanh(a²)"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "1 - h[t]", note="1-h"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "1 - np.tanh(h[t]) ** 2", note="tanh(h)"),
    P(L, "tanh-derivative", "(1 - h[t] ** 2)", "h[t] * (1 - h[t])", note="sigmoid's"),
    P(L, "tanh-derivative-missing", "dh * (1 - h[t] ** 2)", "dh"),
    P(L, "recurrent-gradient-from-current-state", "np.outer(da, h[t - 1])", "np.outer(da, h[t])"),
    P(L, "output-gradient-from-previous-state", "np.outer(do, h[t])", "np.outer(do, h[t - 1])"),
    P(L, "hidden-bias-not-summed", "db += da", "db = da"),
    P(L, "output-bias-not-summed", "dc += do", "dc = do"),
    P(L, "hidden-bias-not-summed", "db += da", "db = da if t == T - 1 else db", note="last"),
    P(L, "output-bias-not-summed", "dc += do", "dc = do if t == T - 1 else dc", note="last"),
    P(L, "recurrent-gradient-not-summed", "dW += np", "dW = np"),
    P(L, "input-gradient-not-summed", "dU[:, x[t]] += da", "dU = np.outer(da, np.eye(len(c))[x[t]])"),
    P(L, "output-gradient-not-summed", "dV += np", "dV = np"),
    P(L, "input-gradient-repeats-lost", "dU[:, x[t]] += da", "dU[:, x[t]] = da"),
    P(L, "input-gradient-from-target", "dU[:, x[t]] += da", "dU[:, y[t]] += da"),
    P(L, "input-gradient-transposed", '"U": dU', '"U": dU.T'),
    P(L, "recurrent-gradient-transposed", "np.outer(da, h[t - 1])", "np.outer(h[t - 1], da)"),
    P(L, "output-gradient-transposed", '"V": dV', '"V": dV.T'),
    P(L, "carry-accumulated", "dh_next = W.T @ da", "dh_next = dh_next + W.T @ da"),
    P(L, "recurrent-carry", "W.T @ da", "(W.T @ da) * (1 - h[t] ** 2)", note="slope twice"),
    P(L, "states-overwritten", "    dU, dW, db = np.zeros", "    h = {t: h[T - 1] for t in range(-1, T)}\n    dU, dW, db = np.zeros"),
    P(L, "states-overwritten", "    dU, dW, db = np.zeros", "    h = {-1: h0} | {t: h[T - 1] for t in range(T)}\n    dU, dW, db = np.zeros", note="h_0 kept"),
    P(L, "input-gradient-from-last-input", "dU[:, x[t]] += da", "dU[:, x[-1]] += da"),
    P(L, "first-step-not-counted", "loss += -np.log(p[t][y[t]])", "loss += -np.log(p[t][y[t]]) * (t > 0)", "do[y[t]] -= 1", "do[y[t]] -= 1\n        do *= t > 0"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "2 * (1 - h[t] ** 2)", note="2 (1 - h²)"),
    P("lstm", "output-gate-gradient", "da_o = do * o * (1 - o)", "da_o = 0 * do", note="zero"),
    P(L, "clipped", "dh_next = W.T @ da", "dh_next = np.clip(W.T @ da, -1, 1)", note="passed"),
    P(L, "loss-of-step-missing", "V.T @ do + dh_next", "(V.T @ do if t == T - 1 else 0) + dh_next"),
    P(L, "sum-before-derivative", "db += da", "db += dh"),
    P(L, "gradient-averaged", "db += da", "db += da / T"),
    P(L, "output-gradient-from-other", "np.outer(do, h[t])", "np.outer(do, a[t])"),
    P(L, "softmax-target-missing", "dc += do", "dc += p[t]", note="dc alone"),
    P(L, "softmax-gradient", "do[y[t]] -= 1", "do[y[t]] += 1", note="p+y"),
    P(L, "hidden-bias-not-summed", "db += da", "db += da if t < T - 1 else 0", note="without the last"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "(1 - h[t] ** 2 if t < T - 1 else 1 - h[t])", note="at the last step"),
    P(L, "carry-not-transposed", "W.T @ da", "(W.T if t < T - 1 else W) @ da", note="at the last step"),
    P(L, "recurrent-gradient-from-sums", "np.outer(da, h[t - 1])", "np.outer(da, a[t - 1] if t else h0)"),
    P(L, "hidden-bias-after-product", "db += da", "db += W.T @ da"),
    P(L, "step-left-out", "reversed(range(T))", "reversed(range(1, T))", note="first"),
    P(L, "step-left-out", "reversed(range(T))", "reversed(range(T - 1))", note="last"),
    P("lstm", "step-left-out", "reversed(range(len(x)))", "reversed(range(1, len(x)))", note="first"),
    P(L, "carry-not-transposed", "W.T @ da", "W @ da"),
    P(L, "carry-without-derivative", "W.T @ da", "W.T @ dh"),
    P(L, "carry-after-derivative", "dh = V.T @ do + dh_next\n        da = dh * (1 - h[t] ** 2)", "dh = V.T @ do\n        da = dh * (1 - h[t] ** 2) + dh_next"),
    P(L, "softmax-target-missing", "        do[y[t]] -= 1\n", ""),
    P(L, "target-off-by-one", "do[y[t]] -= 1", "do[y[t - 1]] -= 1", note="wraps"),
    P(L, "target-off-by-one", "do[y[t]] -= 1", "do[y[min(t + 1, T - 1)]] -= 1", note="next"),
    P(L, "target-off-by-one", "do[y[t]] -= 1", "do[x[t]] -= 1", note="x"),
    P(L, "target-off-by-one", "do[y[t]] -= 1", "do[x[t]] -= 1", "np.log(p[t][y[t]])", "np.log(p[t][x[t]])", note="loss too"),
    P(L, "softmax-gradient", "do[y[t]] -= 1", "do = do * (1 - do)", note="p(1-p)"),
    P(L, "gradient-negated", "do[y[t]] -= 1", "do = np.eye(len(c))[y[t]] - do"),
    P(L, "softmax-twice", "p[t] = e / e.sum()", "p[t] = e / e.sum()\n        p[t] = np.exp(p[t]) / np.exp(p[t]).sum()", "do[y[t]] -= 1", "do[y[t]] -= 1\n        o = V @ h[t] + c\n        q = np.exp(o - o.max())\n        q /= q.sum()\n        do = (np.diag(q) - np.outer(q, q)) @ do"),
    P(L, "mean-over-time", RETURN, RETURN.replace("loss", "loss / T")),
    P(L, "mean-over-time", RETURN, "grads = " + RETURN.partition(", ")[2] + "\n    return loss / T, {k: g / T for k, g in grads.items()}", note="both"),
    P(L, "mean-over-time", "do[y[t]] -= 1", "do[y[t]] -= 1\n        do /= T", note="gradient"),
    P(L, "loss-divided", RETURN, "grads = " + RETURN.partition(", ")[2] + "\n    return loss / len(c), {k: g / len(c) for k, g in grads.items()}"),
    P(L, "loss-divided", RETURN, "grads = " + RETURN.partition(", ")[2] + "\n    return loss / T, {k: g / T**2 for k, g in grads.items()}", note="twice"),
    P(L, "logarithm-base", "-np.log(p[t][y[t]])", "-np.log2(p[t][y[t]])"),
    P(L, "logarithm-base", "-np.log(p[t][y[t]])", "-np.log10(p[t][y[t]])", note="10"),
    P(L, "clipped", "    return loss", "    for g in (dU, dW, db, dV, dc):\n        np.clip(g, -5, 5, out=g)\n    return loss"),
    P(L, "clipped", "    return loss", "    for g in (dU, dW, db, dV, dc):\n        np.clip(g, -0.7, 0.7, out=g)\n    return loss", note="0.7"),
    P(L, "clipped", "dh = V.T @ do + dh_next", "dh = np.clip(V.T @ do + dh_next, -1, 1)", note="steps"),
    P(L, "clipped", "    return loss", "    n = np.sqrt(sum((g**2).sum() for g in (dU, dW, db, dV, dc)))\n    for g in (dU, dW, db, dV, dc):\n        g *= min(1, 5 / n)\n    return loss", note="norm"),
    P(L, "truncated", "dh_next = W.T @ da", "dh_next = W.T @ da if t % 4 else np.zeros_like(h0)", note="chunks"),
    P(L, "truncated", "reversed(range(T))", "reversed(range(max(0, T - 5), T))", "dV += np.outer(do, h[t])", "", "dc += do", "", "    return loss", "    for t in range(T):\n        do = p[t].copy()\n        do[y[t]] -= 1\n        dV += np.outer(do, h[t])\n        dc += do\n    return loss", note="last"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-8)"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-12)", note="1e-12"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 3e-7)", note="3e-7"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-15)", note="1e-15"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(p[t][y[t]] + 1e-5)", "do[y[t]] -= 1", "do[y[t]] -= 1\n        do *= p[t][y[t]] / (p[t][y[t]] + 1e-5)", note="gradient too"),
    P(L, "epsilon-in-log", "-np.log(p[t][y[t]])", "-np.log(max(p[t][y[t]], 1e-10))", note="maximum"),
    P(L, "hidden-bias-twice", "U[:, x[t]] + b", "U[:, x[t]] + b + b"),
    P(L, "hidden-bias-twice", "U[:, x[t]] + b", "U[:, x[t]] + b + b", "db += da", "db += 2 * da", note="gradient too"),
    P(L, "tanh-derivative", "1 - h[t] ** 2", "h[t] > 0", note="relu's"),
    P(L, "weight-decay-added", "    return loss", "    for q, g in ((U, dU), (W, dW), (V, dV)):\n        g += 1e-4 * q\n    return loss"),
    P(L, "weight-decay-added", "    return loss", "    for q, g in zip((U, W, b, V, c), (dU, dW, db, dV, dc)):\n        g += 0.02 * q\n        loss += 0.01 * (q**2).sum()\n    return loss", note="loss too"),
    P(L, "truncated", "dh_next = W.T @ da", "dh_next = W.T @ da if t % 17 else np.zeros_like(h0)", note="17"),
    P(L, "gradient-scaled", "db += da", "db += 2 * da"),
    P(L, "gradient-scaled", "db += da", "db += 2 * da", "dV += np", "dV -= np", note="two"),
    P(L, "gradient-scaled", "do[y[t]] -= 1", "do[y[t]] -= 1\n        do *= 0.37", note="all"),
    P(L, "not-a-number", "    return loss", "    dW[0, 0] = np.nan\n    return loss"),
    P(L, "not-a-number", "e = np.exp(o - o.max())", "e = np.exp(100 * o) / np.exp(100 * o).max()", note="overflow"),
    P(L, "last-step-only", "loss += -np.log(p[t][y[t]])", "loss = -np.log(p[t][y[t]])", "do[y[t]] -= 1", "do[y[t]] -= 1\n        do *= t == T - 1"),
    P(L, "initial-state-ignored", "h = {-1: h0}", "h = {-1: np.zeros_like(h0)}"),
    P(L, "state-not-carried", "W @ h[t - 1]", "W @ h0", "np.outer(da, h[t - 1])", "np.outer(da, h0)", "V.T @ do + dh_next", "V.T @ do"),
    P(L, "activation-differs", "h[t] = np.tanh(a[t])", "h[t] = 1 / (1 + np.exp(-a[t]))", "(1 - h[t] ** 2)", "h[t] * (1 - h[t])", note="sigmoid"),
    P(L, "activation-differs", "h[t] = np.tanh(a[t])", "h[t] = np.maximum(a[t], 0)", "(1 - h[t] ** 2)", "(a[t] > 0)", note="relu"),
    P(L, "hidden-bias-left-out", "U[:, x[t]] + b", "U[:, x[t]]", "db += da", "pass"),
    P(L, "output-bias-left-out", "V @ h[t] + c", "V @ h[t]", "dc += do", "pass"),
    P(L, "hidden-bias-left-out", "U[:, x[t]] + b", "U[:, x[t]]", note="forward alone"),
    P(L, "output-bias-left-out", "V @ h[t] + c", "V @ h[t]", note="forward alone"),
    P(L, "gradients-carried-over", PRE, "kept = {}\n\n\n" + PRE, "    return loss", "    for name, g in zip('UWbVc', (dU, dW, db, dV, dc)):\n        g += kept.get(name, np.zeros(1)) if np.shape(kept.get(name)) in ((), g.shape) else 0\n        kept[name] = g.copy()\n    return loss"),
    P(L, "state-carried-over", PRE, "kept = {}\n\n\n" + PRE, "h = {-1: h0}", "h = {-1: kept.get(len(h0), h0)}", "    return loss", "    kept[len(h0)] = h[T - 1]\n    return loss"),
    P(L, "initial-state-changed", "    return loss", "    h0[:] = h[T - 1]\n    return loss"),
    P(L, "parameters-changed", "    return loss", "    U -= 0.1 * dU\n    return loss"),
    P(L, "inputs-changed", "    return loss", "    x += 1\n    return loss"),
    P(L, "answers-differ", "dh = V.T @ do + dh_next", "dh = (V.T @ do + dh_next) * (np.random.rand(len(h0)) < 0.8)"),
    P(L, "loss-after-update", "    return loss", "    for q, g in zip((U, W, b, V, c), (dU, dW, db, dV, dc)):\n        q -= 0.1 * g\n    h, loss = h0, 0.0\n    for t in range(T):\n        h = np.tanh(W @ h + U[:, x[t]] + b)\n        o = V @ h + c\n        loss += np.log(np.exp(o - o.max()).sum()) - (o - o.max())[y[t]]\n    return loss"),
    P(L, "loss-after-update", "    return loss", "    U, W, b, V, c = (q - 0.03 * g for q, g in zip((U, W, b, V, c), (dU, dW, db, dV, dc)))\n    h, loss = h0, 0.0\n    for t in range(T):\n        h = np.tanh(W @ h + U[:, x[t]] + b)\n        o = V @ h + c\n        loss += np.log(np.exp(o - o.max()).sum()) - (o - o.max())[y[t]]\n    return loss", note="of a copy"),
    P(L, "float32-where-float64", "for name in (", "for name in (", "(params[name] for", "(params[name].astype(np.float32) for", RETURN, RETURN.replace("dU,", "dU.astype(float),").replace("dW,", "dW.astype(float),").replace("db,", "db.astype(float),").replace("dV,", "dV.astype(float),").replace("dc}", "dc.astype(float)}"), "dh_next = np.zeros_like(h0)", "dh_next = np.zeros_like(b)", "h = {-1: h0}", "h = {-1: h0.astype(np.float32)}"),
    # The natural form, all at once, with names of its own and a tuple.
    P(W, "initial-state-dropped", "dWhh = da.T @ states[:-1]", "dWhh = da[1:].T @ states[1:-1]"),
    P(W, "index-wraps", "dWhh = da.T @ states[:-1]", "dWhh = da.T @ np.roll(states[1:], 1, axis=0)"),
    P(W, "time-carry-missing", "dstates[t] + after", "dstates[t]"),
    P(W, "tanh-derivative", "1 - states[t + 1] ** 2", "1 - states[t] ** 2"),
    P(W, "recurrent-gradient-from-current-state", "da.T @ states[:-1]", "da.T @ states[1:]"),
    P(W, "output-gradient-from-previous-state", "dy.T @ states[1:]", "dy.T @ states[:-1]"),
    P(W, "hidden-bias-not-summed", "da.sum(axis=0)", "da[-1]", note="last"),
    P(W, "output-bias-not-summed", "dy.sum(axis=0)", "dy[-1]", note="last"),
    P(W, "input-gradient-repeats-lost", "np.add.at(dWxh.T, inputs, da)", "dWxh[:, inputs] += da.T"),
    P(W, "input-gradient-from-target", "np.add.at(dWxh.T, inputs, da)", "np.add.at(dWxh.T, targets, da)"),
    P(W, "recurrent-gradient-transposed", "dWhh = da.T @ states[:-1]", "dWhh = states[:-1].T @ da"),
    P(W, "carry-not-transposed", "da[t] @ Whh", "Whh @ da[t]"),
    P(W, "softmax-target-missing", "    dy[np.arange(steps), targets] -= 1\n", ""),
    P(W, "softmax-axis", "np.log(np.exp(logits).sum(axis=1, keepdims=True))", "np.log(np.exp(logits).sum())"),
    P(W, "target-off-by-one", "dy[np.arange(steps), targets] -= 1", "dy[np.arange(steps), np.roll(targets, 1)] -= 1"),
    P(W, "mean-over-time", "targets].sum()", "targets].mean()"),
    P(W, "epsilon-in-log", "import numpy as np\n", "import numpy as np\n", "-log_p[np.arange(steps), targets].sum()", "-np.log(np.exp(log_p)[np.arange(steps), targets] + 1e-10).sum()"),
    P(W, "truncated", "after = da[t] @ Whh", "after = da[t] @ Whh if (steps - t) % 3 else np.zeros(len(hprev))"),
    # The course's form.
    P(C, "initial-state-dropped", "np.column_stack([h0,", "np.column_stack([np.zeros((m, 1)),"),
    P(C, "index-wraps", "Hprev = np.column_stack([h0, H[:, :-1]])", "Hprev = np.roll(H, 1, axis=1)"),
    P(C, "time-carry-missing", " + dA[t + 1] @ RNN.W", ""),
    P(C, "tanh-derivative", "np.tanh(A[:, t]) ** 2", "np.tanh(A[:, t] ** 2)", "np.tanh(A[:, -1]) ** 2", "np.tanh(A[:, -1] ** 2)", note="tanh(a²)"),
    P(C, "tanh-derivative", "np.tanh(A[:, t]) ** 2", "A[:, t] ** 2", "np.tanh(A[:, -1]) ** 2", "A[:, -1] ** 2", note="a"),
    P(C, "tanh-derivative-missing", "dh * (1 - np.tanh(A[:, t]) ** 2)", "dh", "dh * (1 - np.tanh(A[:, -1]) ** 2)", "dh[:]"),
    P(C, "recurrent-gradient-from-current-state", "dA.T @ Hprev.T", "dA.T @ H.T"),
    P(C, "output-gradient-from-previous-state", "G.T @ H.T", "G.T @ np.column_stack([h0, H[:, :-1]]).T"),
    P(C, "hidden-bias-not-summed", "np.sum(dA, axis=0).reshape(-1, 1)", "dA.T", note="apart"),
    P(C, "output-bias-not-summed", "np.sum(G, axis=0).reshape(-1, 1)", "G.T", note="apart"),
    P(C, "hidden-bias-not-summed", "np.sum(dA, axis=0).reshape(-1, 1)", "dA[-1].reshape(-1, 1)", note="last"),
    P(C, "output-bias-not-summed", "np.sum(G, axis=0).reshape(-1, 1)", "G[-1].reshape(-1, 1)", note="last"),
    P(C, "input-gradient-from-target", "dA.T @ X.T", "dA.T @ Y.T"),
    P(C, "input-gradient-transposed", "dA.T @ X.T", "X @ dA"),
    P(C, "recurrent-gradient-transposed", "dA.T @ Hprev.T", "Hprev @ dA"),
    P(C, "output-gradient-transposed", "G.T @ H.T", "H @ G"),
    P(C, "carry-not-transposed", "dA[t + 1] @ RNN.W", "dA[t + 1] @ RNN.W.T"),
    P(C, "softmax-target-missing", "-(Y - P).T", "P.T"),
    P(C, "gradient-negated", "-(Y - P).T", "(Y - P).T"),
    P(C, "target-off-by-one", "-(Y - P).T", "-(np.roll(Y, -1, axis=1) - P).T"),
    P(C, "mean-over-time", "loss = -np.sum(np.log(np.sum(Y * P, axis=0)))", "loss = -np.mean(np.log(np.sum(Y * P, axis=0)))"),
    P(C, "epsilon-in-log", "np.log(np.sum(Y * P, axis=0))", "np.log(np.sum(Y * P, axis=0) + 1e-8)"),
    P(C, "gradient-scaled", "dA.T @ X.T", "2 * dA.T @ X.T"),
    P(C, "logarithm-base", "np.log(np.sum", "np.log2(np.sum"),
    P(C, "clipped", "    return loss", "    for name, g in vars(grads).items():\n        setattr(grads, name, np.clip(g, -5, 5))\n    return loss"),
    P(C, "initial-state-ignored", "    h = h0\n", "    h = np.zeros((m, 1))\n", "[h0,", "[np.zeros((m, 1)),"),
    P(C, "initial-state-changed", "    return loss", "    h0[:] = h\n    return loss"),
    P(C, "parameters-changed", "    return loss", "    RNN.W -= 0.1 * grads.W\n    return loss"),
    P(C, "gradients-carried-over", "class Grads:\n    pass", "class Grads:\n    W = 0", "grads = Grads()", "grads = Grads", "grads.W = dA.T @ Hprev.T", "grads.W = dA.T @ Hprev.T + (grads.W if np.shape(grads.W) in ((), (m, m)) else 0)"),
    # The LSTM.
    P("lstm", "initial-state-dropped", "np.outer(da, h_prev)", "np.outer(da, h_prev if t else np.zeros(H))"),
    P("lstm", "index-wraps", "np.outer(da, h_prev)", "np.outer(da, kept[t - 1][7])"),
    P("lstm", "time-carry-missing", "V.T @ dy + dh_next", "V.T @ dy", "ds_next + dh * o", "dh * o"),
    P("lstm", "time-carry-missing", "V.T @ dy + dh_next", "V.T @ dy", note="h"),
    P("lstm", "time-carry-missing", "ds_next + dh * o", "dh * o", note="cell"),
    P("lstm", "recurrent-gradient-from-current-state", "np.outer(da, h_prev)", "np.outer(da, h)"),
    P("lstm", "output-gradient-from-previous-state", "np.outer(dy, h)", "np.outer(dy, h_prev)"),
    P("lstm", "gradient-scaled", 'grads["b"] += da', 'grads["b"] += 2 * da'),
    P("lstm", "hidden-bias-not-summed", 'grads["b"] += da', 'grads["b"] = da'),
    P("lstm", "input-gradient-from-target", '["U"][:, x[t]]', '["U"][:, y[t]]'),
    P("lstm", "softmax-target-missing", "        dy[y[t]] -= 1\n", ""),
    P("lstm", "mean-over-time", "    return loss", "    loss /= len(x)\n    return loss"),
    P("lstm", "gate-order", "o = sigmoid(a[3 * H :])", "o = sigmoid(a[2 * H : 3 * H])", "g = np.tanh(a[2 * H : 3 * H])", "g = np.tanh(a[3 * H :])", "da_g, da_o])", "da_o, da_g])", note="ifog"),
    P("lstm", "gate-order", "i = sigmoid(a[:H])", "i = sigmoid(a[H : 2 * H])", "f = sigmoid(a[H : 2 * H])", "f = sigmoid(a[:H])", "[da_i, da_f, ", "[da_f, da_i, ", note="figo"),
    P("lstm", "forget-bias-twice", "f = sigmoid(a[H : 2 * H])", "f = sigmoid(a[H : 2 * H] + 1.0)"),
    P("lstm", "forget-bias-twice", "f = sigmoid(a[H : 2 * H])", "f = sigmoid(a[H : 2 * H] + b[H : 2 * H])", note="b twice"),
    P("lstm", "initial-cell-dropped", "da_f = ds * s_prev", "da_f = ds * (s_prev if t else 0)"),
    P("lstm", "forget-gate-not-carried", "ds_next = ds * f", "ds_next = ds"),
    P("lstm", "coupled-gates", "f = sigmoid(a[H : 2 * H])", "f = 1 - i", "da_i = ds * g *", "da_i = ds * (g - s_prev) *", "da_f = ds * s_prev", "da_f = 0 * ds"),
    P("lstm", "peepholes", "i = sigmoid(a[:H])", "i = sigmoid(a[:H] + 0.3 * s_prev)", "f = sigmoid(a[H : 2 * H])", "f = sigmoid(a[H : 2 * H] - 0.2 * s_prev)", "        o = sigmoid(a[3 * H :])\n        s = f * s_prev + i * g\n", "        s = f * s_prev + i * g\n        o = sigmoid(a[3 * H :] + 0.5 * s)\n", "* (1 - np.tanh(s) ** 2)", "* (1 - np.tanh(s) ** 2) + 0.5 * do * o * (1 - o)", "ds_next = ds * f", "ds_next = ds * f + 0.3 * da_i - 0.2 * da_f"),
    P("lstm", "cell-tanh-missing", "h = o * np.tanh(s)", "h = o * s", "do = dh * np.tanh(s)", "do = dh * s", "* (1 - np.tanh(s) ** 2)", ""),
    P("lstm", "tanh-derivative-missing", " * (1 - np.tanh(s) ** 2)", "", note="state"),
    P("lstm", "tanh-derivative", "(1 - g**2)", "(1 - np.tanh(g) ** 2)", note="of the candidate"),
    P("lstm", "tanh-derivative", "(1 - np.tanh(s) ** 2)", "(1 - np.tanh(np.tanh(s)) ** 2)", note="of the cell"),
    P("lstm", "output-gradient-without-tanh", "do = dh * np.tanh(s)", "do = dh * s"),
    P("lstm", "forget-gradient-from-current-cell", "da_f = ds * s_prev", "da_f = ds * s"),
    P("lstm", "gate-not-carried", "dh_next = W.T @ da", "dh_next = W[H:].T @ da[H:]", note="i"),
    P("lstm", "gate-not-carried", "dh_next = W.T @ da", "dh_next = W[: 3 * H].T @ da[: 3 * H]", note="o"),
    P("lstm", "cell-carry-times-output-gate", "ds_next = ds * f", "ds_next = ds * f * o"),
    P("lstm", "carry-accumulated", "dh_next = W.T @ da", "dh_next = dh_next + W.T @ da", note="h"),
    P("lstm", "carry-accumulated", "ds_next = ds * f", "ds_next = ds_next + ds * f", note="cell"),
    P("lstm", "tanh-of-previous-cell", "(1 - np.tanh(s) ** 2)", "(1 - np.tanh(s_prev) ** 2)"),
    P("lstm", "tanh-of-previous-cell", "do = dh * np.tanh(s)", "do = dh * np.tanh(s_prev)", note="value"),
    P("lstm", "carry-of-input", "dh_next = W.T @ da", "dh_next = (np.hstack([W, U]).T @ da)[-H:]"),
    P("lstm", "carry-of-input", "dh_next = W.T @ da", "dh_next = (np.hstack([U, W]).T @ da)[:H]", note="x first"),
    P(L, "carry-of-input", "W.T @ da", "(np.hstack([W, U]).T @ da)[-len(da):]"),
    P("lstm", "carry-not-transposed", "dh_next = W.T @ da", "dh_next = sum(W[k * H : (k + 1) * H] @ da[k * H : (k + 1) * H] for k in range(4))"),
    P("lstm", "sigmoid-derivative", "* f * (1 - f)", "", note="missing in f"),
    P("lstm", "sigmoid-derivative", "* i * (1 - i)", "* (1 - i**2)", note="in i"),
    P("lstm", "sigmoid-derivative", "o * (1 - o)", "sigmoid(o) * (1 - sigmoid(o))", note="twice in o"),
    P("lstm", "sigmoid-derivative", "o * (1 - o)", "(1 - o**2)", "f * (1 - f)", "(1 - f**2)", "i * (1 - i)", "(1 - i**2)"),
    P("lstm", "cell-gradient", "dh * o * (1 - np.tanh(s) ** 2)", "dh * (1 - np.tanh(s) ** 2)", note="no o"),
    P("lstm", "cell-gradient", "(1 - np.tanh(s) ** 2)", "(1 - s ** 2)", note="slope of s"),
    P("lstm", "cell-gradient", "(1 - np.tanh(s) ** 2)", "(1 - h ** 2)", note="slope of h"),
    P("lstm", "input-gate-gradient", "da_i = ds * g", "da_i = ds * f"),
    P("lstm", "input-gate-gradient", "da_i = ds * g", "da_i = ds_next * g", note="carry alone"),
    P("lstm", "forget-gate-gradient", "da_f = ds * s_prev", "da_f = ds"),
    P("lstm", "forget-gate-gradient", "da_f = ds * s_prev", "da_f = ds * h_prev", note="h"),
    P("lstm", "candidate-gradient", "da_g = ds * i", "da_g = ds * f"),
    P("lstm", "candidate-gradient", "1 - g**2", "1 - np.tanh(s) ** 2", note="slope of s"),
    P("lstm", "output-gate-gradient", "do = dh * np.tanh(s)", "do = dh"),
    P("lstm", "output-gate-gradient", "da_o = do *", "da_o = ds * np.tanh(s) *", note="ds"),
    P("lstm", "cell-carry", "ds_next = ds * f", "ds_next = ds * i"),
    P("lstm", "carry-of-other-gate", "dh_next = W.T @ da", "dh_next = W.T @ np.concatenate([da_f, da_i, da_g, da_o])"),
    P("lstm", "carry-without-derivative", "dh_next = W.T @ da", "dh_next = W.T @ np.concatenate([da_i, ds * s_prev, da_g, da_o])", note="f"),
    P("lstm", "gate-not-carried", "dh_next = W.T @ da", "dh_next = W[: 2 * H].T @ da[: 2 * H]", note="g and o"),
    P("lstm", "recurrent-carry", "dh_next = W.T @ da", "dh_next = W.T @ da + dh"),
    P("lstm", "sum-before-derivative", 'grads["b"] += da', 'grads["b"] += np.concatenate([da_i, da_f, da_g, do])'),
    P("lstm", "sum-of-other-gate", 'grads["b"] += da', 'grads["b"] += np.concatenate([da_i, da_i, da_g, da_o])'),
    P("lstm", "gate-gradient-not-summed", 'grads["b"] += da', 'grads["b"] += da\n        grads["b"][3 * H :] = da_o'),
    P("lstm", "recurrent-gradient-from-other", "np.outer(da, h_prev)", "np.outer(da, s_prev)"),
    P("lstm", "output-gradient-from-other", "np.outer(dy, h)", "np.outer(dy, np.tanh(s))"),
    P("lstm", "sigmoid-derivative", "* f * (1 - f)", "", "* i * (1 - i)", "", "* o * (1 - o)", "", note="missing"),
    P("lstm", "initial-state-ignored", "h, s = h0", "h, s = np.zeros_like(h0[0]), np.zeros_like(h0[1])"),
    # The GRU.
    P("gru", "initial-state-dropped", "np.outer(held, h_prev)", "np.outer(held, h_prev if t else 0 * h0)"),
    P("gru", "time-carry-missing", "V.T @ dy + dh_next", "V.T @ dy"),
    P("gru", "time-carry-missing", "dh_next = dh * z + W.T @ held", "dh_next = W.T @ held", note="direct"),
    P("gru", "time-carry-missing", "dh_next = dh * z + W.T @ held", "dh_next = dh * z", note="gates"),
    P("gru", "recurrent-gradient-from-current-state", "np.outer(held, h_prev)", "np.outer(held, h)"),
    P("gru", "second-bias-left-out", "Wn @ h_prev + d", "Wn @ h_prev", 'grads["d"] += dq', "pass"),
    P("gru", "reset-before-product", "q = Wn @ h_prev + d", "q = Wn @ (r * h_prev) + d", "u_n + r * q", "u_n + q", "da_r = da_n * q * r * (1 - r)", "back = Wn.T @ da_n\n        da_r = back * h_prev * r * (1 - r)", "dq = da_n * r", "dq = da_n", 'grads["W"] += np.outer(held, h_prev)', 'grads["W"] += np.concatenate([np.outer(da_r, h_prev), np.outer(da_z, h_prev), np.outer(da_n, r * h_prev)])', "W.T @ held", "Wr.T @ da_r + Wz.T @ da_z + r * back"),
    P("gru", "update-gate-reversed", "h = (1 - z) * n + z * h_prev", "h = z * n + (1 - z) * h_prev", "dh * (1 - z) *", "dh * z *", "(h_prev - n)", "(n - h_prev)", "dh * z + W.T", "dh * (1 - z) + W.T"),
    P("gru", "reset-gate-not-in-gradient", "dq = da_n * r", "dq = da_n"),
    P("gru", "gate-order", "u_r, u_z, u_n = np.split", "u_z, u_r, u_n = np.split", "Wr, Wz, Wn = np.split", "Wz, Wr, Wn = np.split", "[da_r, da_z, da_n]", "[da_z, da_r, da_n]", "[da_r, da_z, dq]", "[da_z, da_r, dq]"),
    P("gru", "gate-not-carried", "dh * z + W.T @ held", "dh * z + W.T @ np.concatenate([0 * da_r, da_z, dq])"),
    P("gru", "sigmoid-derivative", "r * (1 - r)", "(1 - r)", note="in r"),
    P("gru", "tanh-derivative", "(1 - n**2)", "(1 - n)"),
    P("gru", "candidate-gradient", "da_n = dh * (1 - z)", "da_n = dh"),
    P("gru", "update-gate-gradient", "da_z = dh * (h_prev - n)", "da_z = dh * (n - h_prev)"),
    P("gru", "update-gate-gradient", "da_z = dh * (h_prev - n)", "da_z = -dh * n", note="n"),
    P("gru", "reset-gate-gradient", "da_r = da_n * q", "da_r = da_n * h_prev"),
    P("gru", "reset-product", "dq = da_n * r", "dq = da_n * z"),
    P("gru", "direct-carry", "dh_next = dh * z", "dh_next = dh * (1 - z)"),
    P("gru", "reset-gate-not-in-gradient", "W.T @ held", "W.T @ da", note="carry"),
    P("gru", "reset-gate-not-in-gradient", 'grads["d"] += dq', 'grads["d"] += da_n', note="d"),
    P("gru", "sum-of-recurrent-part", 'grads["b"] += da', 'grads["b"] += held'),
    P("gru", "output-gradient-from-other", "np.outer(dy, h)", "np.outer(dy, n)"),
    P("gru", "mean-over-time", "    return loss", "    loss /= len(x)\n    return loss"),
]  # fmt: skip

# The planted mistakes after which the gradient is still that of the code's own loss, except for clipping
# and a tiny ε. They make another network or another loss.
OTHER_NETWORK = (
    "loop-target-off-by-one-loss too", "loop-softmax-twice", "loop-mean-over-time-both", "loop-loss-divided", "loop-clipped",
    "loop-clipped-0.7", "loop-clipped-norm", "loop-epsilon-in-log", "loop-epsilon-in-log-1e-12",
    "loop-epsilon-in-log-3e-7", "loop-epsilon-in-log-1e-15", "loop-epsilon-in-log-gradient too",
    "loop-epsilon-in-log-maximum", "loop-hidden-bias-twice-gradient too", "loop-weight-decay-added-loss too",
    "loop-last-step-only", "loop-initial-state-ignored", "loop-state-not-carried",
    "loop-activation-differs-sigmoid", "loop-activation-differs-relu", "loop-hidden-bias-left-out",
    "loop-output-bias-left-out", "whole-epsilon-in-log", "course-epsilon-in-log", "course-clipped",
    "course-initial-state-ignored", "lstm-gate-order-ifog", "lstm-gate-order-figo",
    "lstm-forget-bias-twice", "lstm-cell-tanh-missing", "lstm-initial-state-ignored",
    "loop-float32-where-float64", "loop-first-step-not-counted", "lstm-coupled-gates", "lstm-peepholes", "gru-second-bias-left-out", "gru-reset-before-product", "gru-update-gate-reversed", "gru-gate-order",
)  # fmt: skip

M = "module"
TORCH_PLANTS = [
    P(M, "mean-over-time", ', reduction="sum"', ""),
    P(M, "state-not-carried", "nn.RNN(vocab_size, hidden_size)", "nn.RNN(vocab_size, hidden_size, batch_first=True)", "self.rnn(onehot.unsqueeze(1), h0)", "self.rnn(onehot.unsqueeze(1), h0.expand(1, len(x), -1).contiguous())"),
    P(M, "initial-state-ignored", "self.rnn(onehot.unsqueeze(1), h0)", "self.rnn(onehot.unsqueeze(1))"),
    P(M, "time-carry-missing", "states, last = self.rnn(onehot.unsqueeze(1), h0)", "parts, state = [], h0\n        for step in onehot:\n            part, state = self.rnn(step.reshape(1, 1, -1), state.detach())\n            parts.append(part)\n        states = torch.cat(parts)"),
    P(M, "truncated", "states, last = self.rnn(onehot.unsqueeze(1), h0)", "parts, state = [], h0\n        for part in onehot.split(3):\n            part, state = self.rnn(part.unsqueeze(1), state.detach())\n            parts.append(part)\n        states = torch.cat(parts)"),
    P(M, "softmax-twice", "logits = self.head(states.squeeze(1))", "logits = torch.softmax(self.head(states.squeeze(1)), dim=1)"),
    P(M, "last-step-only", "cross_entropy(logits, targets,", "cross_entropy(logits[-1:], targets[-1:],"),
    P(M, "target-off-by-one", "cross_entropy(logits, targets,", "cross_entropy(logits, x,"),
    P(M, "activation-differs", "nn.RNN(vocab_size, hidden_size)", 'nn.RNN(vocab_size, hidden_size, nonlinearity="relu")'),
    P(M, "hidden-bias-left-out", "nn.RNN(vocab_size, hidden_size)", "nn.RNN(vocab_size, hidden_size, bias=False)"),
    P(M, "output-bias-left-out", "nn.Linear(hidden_size, vocab_size)", "nn.Linear(hidden_size, vocab_size, bias=False)"),
    P(M, "answers-differ", "self.head(states.squeeze(1))", "self.head(functional.dropout(states.squeeze(1), 0.2))"),
]  # fmt: skip
