"""A character RNN in about a hundred lines: it reads a text, and trains as soon as it is loaded."""

import numpy as np

# the text
text = open("input.txt", "r").read()
chars = sorted(set(text))
data_size, vocab_size = len(text), len(chars)
print("%d characters, %d of them different" % (data_size, vocab_size))
char_to_ix = {c: k for k, c in enumerate(chars)}
ix_to_char = {k: c for k, c in enumerate(chars)}

# settings
hidden_size = 100
seq_length = 25
learning_rate = 0.1

# parameters
Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
Whh = np.random.randn(hidden_size, hidden_size) * 0.01
Why = np.random.randn(vocab_size, hidden_size) * 0.01
bh = np.zeros((hidden_size, 1))
by = np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev):
    """inputs and targets are lists of ids; hprev is a column, the state before the first step.
    Returns the loss, the gradients, and the last state."""
    xs, hs, os, ps = {}, {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        os[t] = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(os[t]) / np.sum(np.exp(os[t]))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        do = np.copy(ps[t])
        do[targets[t]] -= 1
        dWhy += np.dot(do, hs[t].T)
        dby += do
        dh = np.dot(Why.T, do) + dhnext
        da = (1 - hs[t] * hs[t]) * dh
        dbh += da
        dWxh += np.dot(da, xs[t].T)
        dWhh += np.dot(da, hs[t - 1].T)
        dhnext = np.dot(Whh.T, da)
    for dparam in [dWxh, dWhh, dWhy, dbh, dby]:
        np.clip(dparam, -5, 5, out=dparam)
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


def sample(h, seed_ix, n):
    """Draw n ids, from the state h and the first id seed_ix."""
    x = np.zeros((vocab_size, 1))
    x[seed_ix] = 1
    ids = []
    for t in range(n):
        h = np.tanh(np.dot(Wxh, x) + np.dot(Whh, h) + bh)
        o = np.dot(Why, h) + by
        p = np.exp(o) / np.sum(np.exp(o))
        ix = np.random.choice(range(vocab_size), p=p.ravel())
        x = np.zeros((vocab_size, 1))
        x[ix] = 1
        ids.append(ix)
    return ids


n, p = 0, 0
mWxh, mWhh, mWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
mbh, mby = np.zeros_like(bh), np.zeros_like(by)
smooth_loss = -np.log(1.0 / vocab_size) * seq_length
while True:
    if p + seq_length + 1 >= len(text) or n == 0:
        hprev = np.zeros((hidden_size, 1))
        p = 0
    inputs = [char_to_ix[c] for c in text[p : p + seq_length]]
    targets = [char_to_ix[c] for c in text[p + 1 : p + seq_length + 1]]
    if n % 100 == 0:
        print("".join(ix_to_char[k] for k in sample(hprev, inputs[0], 200)))
    loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)
    smooth_loss = smooth_loss * 0.999 + loss * 0.001
    for param, dparam, mem in zip(
        [Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby], [mWxh, mWhh, mWhy, mbh, mby]
    ):
        mem += dparam * dparam
        param += -learning_rate * dparam / np.sqrt(mem + 1e-8)
    p += seq_length
    n += 1
