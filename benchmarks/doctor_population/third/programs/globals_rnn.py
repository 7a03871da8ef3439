"""Character-level vanilla RNN, everything in one file."""
import numpy as np

data = "the quick brown fox jumps over the lazy dog. " * 20
chars = sorted(set(data))
data_size, vocab_size = len(data), len(chars)
char_to_ix = {ch: i for i, ch in enumerate(chars)}
ix_to_char = {i: ch for i, ch in enumerate(chars)}

hidden_size = 64
seq_length = 25
learning_rate = 1e-1

Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
Whh = np.random.randn(hidden_size, hidden_size) * 0.01
Why = np.random.randn(vocab_size, hidden_size) * 0.01
bh = np.zeros((hidden_size, 1))
by = np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev):
    """inputs, targets: lists of integers; hprev: Hx1 array. Returns loss, gradients, last hidden state."""
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    # go forward
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t - 1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    # go backward
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in range(len(inputs) - 1, -1, -1):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        dhraw = (1 - hs[t] * hs[t]) * dh
        dbh += dhraw
        dWxh += np.dot(dhraw, xs[t].T)
        dWhh += np.dot(dhraw, hs[t - 1].T)
        dhnext = np.dot(Whh.T, dhraw)
    for dparam in [dWxh, dWhh, dWhy, dbh, dby]:
        np.clip(dparam, -5, 5, out=dparam)
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]


def train(steps=1000):
    global Wxh, Whh, Why, bh, by
    p, hprev = 0, np.zeros((hidden_size, 1))
    mem = [np.zeros_like(w) for w in (Wxh, Whh, Why, bh, by)]
    for n in range(steps):
        if p + seq_length + 1 >= data_size:
            p, hprev = 0, np.zeros((hidden_size, 1))
        x = [char_to_ix[c] for c in data[p : p + seq_length]]
        y = [char_to_ix[c] for c in data[p + 1 : p + seq_length + 1]]
        loss, *grads, hprev = lossFun(x, y, hprev)
        for w, dw, m in zip((Wxh, Whh, Why, bh, by), grads, mem):
            m += dw * dw
            w -= learning_rate * dw / np.sqrt(m + 1e-8)
        p += seq_length


if __name__ == "__main__":
    train()
