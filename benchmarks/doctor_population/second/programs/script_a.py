"""
Character RNN in about a hundred lines: learns to write like input.txt.
"""
import numpy as np

text = open('input.txt', 'r').read()
alphabet = sorted(set(text))
vocab_size = len(alphabet)
index_of = {ch: i for i, ch in enumerate(alphabet)}
char_at = {i: ch for i, ch in enumerate(alphabet)}

hidden_size = 100
seq_length = 25
learning_rate = 1e-1

Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
Whh = np.random.randn(hidden_size, hidden_size) * 0.01
Why = np.random.randn(vocab_size, hidden_size) * 0.01
bh = np.zeros((hidden_size, 1))
by = np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev):
    """inputs and targets are lists of ids, hprev is (hidden_size, 1)."""
    xs, hs, ps = {}, {}, {}
    hs[-1] = np.copy(hprev)
    loss = 0
    # forward
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(np.dot(Wxh, xs[t]) + np.dot(Whh, hs[t-1]) + bh)
        y = np.dot(Why, hs[t]) + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])
    # backward
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += np.dot(dy, hs[t].T)
        dby += dy
        dh = np.dot(Why.T, dy) + dhnext
        draw = (1 - hs[t] * hs[t]) * dh
        dbh += draw
        dWxh += np.dot(draw, xs[t].T)
        dWhh += np.dot(draw, hs[t-1].T)
        dhnext = np.dot(Whh.T, draw)
    # exploding gradients
    for d in [dWxh, dWhh, dWhy, dbh, dby]:
        np.clip(d, -5, 5, out=d)
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs)-1]


def sample(h, seed_ix, n):
    out = []
    x = np.zeros((vocab_size, 1))
    x[seed_ix] = 1
    for _ in range(n):
        h = np.tanh(np.dot(Wxh, x) + np.dot(Whh, h) + bh)
        y = np.dot(Why, h) + by
        p = np.exp(y) / np.sum(np.exp(y))
        ix = np.random.choice(vocab_size, p=p.ravel())
        x = np.zeros((vocab_size, 1))
        x[ix] = 1
        out.append(ix)
    return out


n, pos = 0, 0
mem = [np.zeros_like(w) for w in (Wxh, Whh, Why, bh, by)]
smooth_loss = -np.log(1.0 / vocab_size) * seq_length
while True:
    if n == 0 or pos + seq_length + 1 >= len(text):
        hprev = np.zeros((hidden_size, 1))
        pos = 0
    inputs = [index_of[ch] for ch in text[pos:pos+seq_length]]
    targets = [index_of[ch] for ch in text[pos+1:pos+seq_length+1]]
    loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)
    smooth_loss = 0.999 * smooth_loss + 0.001 * loss
    if n % 100 == 0:
        print('iter', n, 'loss', smooth_loss)
        print(''.join(char_at[i] for i in sample(hprev, inputs[0], 200)))
    for w, d, m in zip([Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby], mem):
        m += d * d
        w += -learning_rate * d / np.sqrt(m + 1e-8)
    pos += seq_length
    n += 1
