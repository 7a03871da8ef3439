"""A class whose attributes are the parameters, with lossFun, and a second one with bptt, without biases."""

import numpy as np


class CharRNN:
    def __init__(self, vocab_size, hidden_size, learning_rate=0.1):
        self.vocab_size, self.hidden_size, self.learning_rate = (
            vocab_size,
            hidden_size,
            learning_rate,
        )
        self.Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
        self.Whh = np.random.randn(hidden_size, hidden_size) * 0.01
        self.Why = np.random.randn(vocab_size, hidden_size) * 0.01
        self.bh, self.by = np.zeros((hidden_size, 1)), np.zeros((vocab_size, 1))

    def forward(self, inputs, hprev):
        xs, hs, ps = {}, {-1: np.copy(hprev)}, {}
        for t, k in enumerate(inputs):
            xs[t] = np.zeros((self.vocab_size, 1))
            xs[t][k] = 1
            hs[t] = np.tanh(self.Wxh @ xs[t] + self.Whh @ hs[t - 1] + self.bh)
            e = np.exp(self.Why @ hs[t] + self.by)
            ps[t] = e / e.sum()
        return xs, hs, ps

    def backward(self, xs, hs, ps, targets):
        dWxh, dWhh, dWhy = np.zeros_like(self.Wxh), np.zeros_like(self.Whh), np.zeros_like(self.Why)
        dbh, dby, dhnext = np.zeros_like(self.bh), np.zeros_like(self.by), np.zeros_like(hs[0])
        for t in reversed(range(len(targets))):
            do = np.copy(ps[t])
            do[targets[t]] -= 1
            dWhy += do @ hs[t].T
            dby += do
            da = (self.Why.T @ do + dhnext) * (1 - hs[t] ** 2)
            dWxh += da @ xs[t].T
            dWhh += da @ hs[t - 1].T
            dbh += da
            dhnext = self.Whh.T @ da
        return dWxh, dWhh, dWhy, dbh, dby

    def loss(self, ps, targets):
        return sum(-np.log(ps[t][k, 0]) for t, k in enumerate(targets))

    def train(self, data, epochs):
        for _ in range(epochs):
            xs, hs, ps = self.forward(data[:-1], np.zeros((self.hidden_size, 1)))
            dWxh, dWhh, dWhy, dbh, dby = self.backward(xs, hs, ps, data[1:])
            self.Wxh -= self.learning_rate * dWxh
