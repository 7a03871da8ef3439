# min-char LSTM: weights live at module level
import numpy as np

text = "hello world, this is a tiny text for a tiny lstm. "
vocab = sorted(list(set(text)))
vocab_size = len(vocab)
hidden_size = 48


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def init(rows, cols):
    return np.random.uniform(-0.1, 0.1, (rows, cols))


Wxi, Whi, bi = init(hidden_size, vocab_size), init(hidden_size, hidden_size), np.zeros((hidden_size, 1))
Wxf, Whf, bf = init(hidden_size, vocab_size), init(hidden_size, hidden_size), np.ones((hidden_size, 1))
Wxo, Who, bo = init(hidden_size, vocab_size), init(hidden_size, hidden_size), np.zeros((hidden_size, 1))
Wxc, Whc, bc = init(hidden_size, vocab_size), init(hidden_size, hidden_size), np.zeros((hidden_size, 1))
Why, by = init(vocab_size, hidden_size), np.zeros((vocab_size, 1))


def lossFun(inputs, targets, hprev, cprev):
    xs, hs, cs, ps = {}, {}, {}, {}
    ig, fg, og, cand = {}, {}, {}, {}
    hs[-1], cs[-1] = np.copy(hprev), np.copy(cprev)
    loss = 0.0
    for t in range(len(inputs)):
        xs[t] = np.zeros((vocab_size, 1))
        xs[t][inputs[t]] = 1
        ig[t] = sigmoid(Wxi @ xs[t] + Whi @ hs[t - 1] + bi)
        fg[t] = sigmoid(Wxf @ xs[t] + Whf @ hs[t - 1] + bf)
        og[t] = sigmoid(Wxo @ xs[t] + Who @ hs[t - 1] + bo)
        cand[t] = np.tanh(Wxc @ xs[t] + Whc @ hs[t - 1] + bc)
        cs[t] = fg[t] * cs[t - 1] + ig[t] * cand[t]
        hs[t] = og[t] * np.tanh(cs[t])
        y = Why @ hs[t] + by
        ps[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.log(ps[t][targets[t], 0])

    dWxi, dWhi, dbi = np.zeros_like(Wxi), np.zeros_like(Whi), np.zeros_like(bi)
    dWxf, dWhf, dbf = np.zeros_like(Wxf), np.zeros_like(Whf), np.zeros_like(bf)
    dWxo, dWho, dbo = np.zeros_like(Wxo), np.zeros_like(Who), np.zeros_like(bo)
    dWxc, dWhc, dbc = np.zeros_like(Wxc), np.zeros_like(Whc), np.zeros_like(bc)
    dWhy, dby = np.zeros_like(Why), np.zeros_like(by)
    dhnext, dcnext = np.zeros_like(hprev), np.zeros_like(cprev)
    for t in reversed(range(len(inputs))):
        dy = ps[t].copy()
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        dh = Why.T @ dy + dhnext
        dc = dh * og[t] * (1 - np.tanh(cs[t]) ** 2) + dcnext
        do = dh * np.tanh(cs[t]) * og[t] * (1 - og[t])
        di = dc * cand[t] * ig[t] * (1 - ig[t])
        df = dc * cs[t - 1] * fg[t] * (1 - fg[t])
        dcand = dc * ig[t] * (1 - cand[t] ** 2)
        dWxi += di @ xs[t].T
        dWhi += di @ hs[t - 1].T
        dbi += di
        dWxf += df @ xs[t].T
        dWhf += df @ hs[t - 1].T
        dbf += df
        dWxo += do @ xs[t].T
        dWho += do @ hs[t - 1].T
        dbo += do
        dWxc += dcand @ xs[t].T
        dWhc += dcand @ hs[t - 1].T
        dbc += dcand
        dhnext = Whi.T @ di + Whf.T @ df + Who.T @ do + Whc.T @ dcand
        dcnext = dc * fg[t]
    grads = (dWxi, dWhi, dbi, dWxf, dWhf, dbf, dWxo, dWho, dbo, dWxc, dWhc, dbc, dWhy, dby)
    return loss, grads, hs[len(inputs) - 1], cs[len(inputs) - 1]
