"""A GRU with three matrices over [h, x] without biases, in a class; gradients are attributes."""

import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


class GRU:
    def __init__(self, input_size, hidden_size, output_size):
        self.hidden_size, self.input_size = hidden_size, input_size
        self.Wr = np.random.randn(hidden_size, hidden_size + input_size)
        self.Wz = np.random.randn(hidden_size, hidden_size + input_size)
        self.Wh = np.random.randn(hidden_size, hidden_size + input_size)
        self.Wy = np.random.randn(output_size, hidden_size)

    def forward(self, inputs, targets, h0):
        """inputs: one-hot columns (K, 1)."""
        self.xs, self.hs, self.rs, self.zs, self.ns, self.ps = inputs, {-1: h0}, {}, {}, {}, {}
        self.targets = targets
        loss = 0
        for t, x in enumerate(inputs):
            hx = np.vstack([self.hs[t - 1], x])
            self.rs[t], self.zs[t] = sigmoid(self.Wr @ hx), sigmoid(self.Wz @ hx)
            rhx = np.vstack([self.rs[t] * self.hs[t - 1], x])
            self.ns[t] = np.tanh(self.Wh @ rhx)
            self.hs[t] = (1 - self.zs[t]) * self.hs[t - 1] + self.zs[t] * self.ns[t]
            e = np.exp(self.Wy @ self.hs[t])
            self.ps[t] = e / e.sum()
            loss -= np.log(self.ps[t][targets[t], 0])
        return loss

    def backward(self):
        H = self.hidden_size
        self.dWr, self.dWz, self.dWh = (
            np.zeros_like(self.Wr),
            np.zeros_like(self.Wz),
            np.zeros_like(self.Wh),
        )
        self.dWy = np.zeros_like(self.Wy)
        dh_next = np.zeros((H, 1))
        for t in reversed(range(len(self.xs))):
            h_prev, x, r, z, n = self.hs[t - 1], self.xs[t], self.rs[t], self.zs[t], self.ns[t]
            do = self.ps[t].copy()
            do[self.targets[t]] -= 1
            self.dWy += do @ self.hs[t].T
            dh = self.Wy.T @ do + dh_next
            da_n = dh * z * (1 - n**2)
            da_z = dh * (n - h_prev) * z * (1 - z)
            drhx = self.Wh.T @ da_n
            da_r = drhx[:H] * h_prev * r * (1 - r)
            hx = np.vstack([h_prev, x])
            self.dWh += da_n @ np.vstack([r * h_prev, x]).T
            self.dWz += da_z @ hx.T
            self.dWr += da_r @ hx.T
            dh_next = dh * (1 - z) + drhx[:H] * r + (self.Wz.T @ da_z + self.Wr.T @ da_r)[:H]
