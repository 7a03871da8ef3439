"""A class for batches: x is (T, N, D), biases are rows, and gradients are in self.grads."""

import numpy as np


class BatchRNN:
    def __init__(self, vocab_size, hidden_size, batch_size=32, num_layers=2):
        self.batch_size, self.num_layers = batch_size, num_layers
        self.W_xh = np.random.randn(vocab_size, hidden_size)
        self.W_hh = np.random.randn(hidden_size, hidden_size)
        self.W_hy = np.random.randn(hidden_size, vocab_size)
        self.b_h = np.zeros((1, hidden_size))
        self.b_y = np.zeros((1, vocab_size))
        self.grads = {}

    def forward(self, x, h_prev):
        assert x.shape[1] == h_prev.shape[0] == self.batch_size
        self.x, self.hs, self.ps = x, [h_prev], []
        for t in range(len(x)):
            self.hs.append(np.tanh(x[t] @ self.W_xh + self.hs[-1] @ self.W_hh + self.b_h))
            e = np.exp(self.hs[-1] @ self.W_hy + self.b_y)
            self.ps.append(e / e.sum(axis=1, keepdims=True))
        return np.array(self.ps), self.hs[-1]

    def compute_loss(self, y_pred, y_true):
        return -np.sum(np.log(y_pred) * y_true)

    def backward(self, y_true):
        dW_xh, dW_hh, dW_hy = (
            np.zeros_like(self.W_xh),
            np.zeros_like(self.W_hh),
            np.zeros_like(self.W_hy),
        )
        db_h, db_y, dh_next = np.zeros_like(self.b_h), np.zeros_like(self.b_y), 0
        for t in reversed(range(len(self.x))):
            do = self.ps[t] - y_true[t]
            dW_hy += self.hs[t + 1].T @ do
            db_y += do.sum(axis=0, keepdims=True)
            da = (do @ self.W_hy.T + dh_next) * (1 - self.hs[t + 1] ** 2)
            dW_xh += self.x[t].T @ da
            dW_hh += self.hs[t].T @ da
            db_h += da.sum(axis=0, keepdims=True)
            dh_next = da @ self.W_hh.T
        self.grads = {"W_xh": dW_xh, "W_hh": dW_hh, "W_hy": dW_hy, "b_h": db_h, "b_y": db_y}
