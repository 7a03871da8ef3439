import numpy as np


def sigmoid(v):
    return 1.0 / (1.0 + np.exp(-v))


class LSTM:
    """Character LSTM with the layers kept in attributes; call forward, then backward."""

    def __init__(self, n_chars, n_hidden, scale=0.1):
        self.n_chars = n_chars
        self.n_hidden = n_hidden
        shape = (n_hidden, n_hidden + n_chars)
        self.Wf = scale * np.random.randn(*shape)
        self.Wi = scale * np.random.randn(*shape)
        self.Wg = scale * np.random.randn(*shape)
        self.Wo = scale * np.random.randn(*shape)
        self.bf = np.ones((n_hidden, 1))
        self.bi = np.zeros((n_hidden, 1))
        self.bg = np.zeros((n_hidden, 1))
        self.bo = np.zeros((n_hidden, 1))
        self.Wv = scale * np.random.randn(n_chars, n_hidden)
        self.bv = np.zeros((n_chars, 1))
        self.zero_grad()

    def zero_grad(self):
        names = ["Wf", "Wi", "Wg", "Wo", "bf", "bi", "bg", "bo", "Wv", "bv"]
        self.grads = {n: np.zeros_like(getattr(self, n)) for n in names}

    def forward(self, inputs, targets, h, c):
        self.inputs, self.targets = inputs, targets
        self.h, self.c = {-1: h}, {-1: c}
        self.z, self.f, self.i, self.g, self.o, self.p = {}, {}, {}, {}, {}, {}
        loss = 0
        for t in range(len(inputs)):
            x = np.zeros((self.n_chars, 1))
            x[inputs[t]] = 1
            self.z[t] = np.vstack([self.h[t - 1], x])
            self.f[t] = sigmoid(self.Wf @ self.z[t] + self.bf)
            self.i[t] = sigmoid(self.Wi @ self.z[t] + self.bi)
            self.g[t] = np.tanh(self.Wg @ self.z[t] + self.bg)
            self.o[t] = sigmoid(self.Wo @ self.z[t] + self.bo)
            self.c[t] = self.f[t] * self.c[t - 1] + self.i[t] * self.g[t]
            self.h[t] = self.o[t] * np.tanh(self.c[t])
            v = self.Wv @ self.h[t] + self.bv
            e = np.exp(v - v.max())
            self.p[t] = e / e.sum()
            loss -= np.log(self.p[t][targets[t], 0])
        return loss

    def backward(self):
        self.zero_grad()
        grads = self.grads
        dh_next = np.zeros((self.n_hidden, 1))
        dc_next = np.zeros((self.n_hidden, 1))
        for t in reversed(range(len(self.inputs))):
            dv = self.p[t].copy()
            dv[self.targets[t]] -= 1
            grads["Wv"] += dv @ self.h[t].T
            grads["bv"] += dv

            dh = self.Wv.T @ dv + dh_next
            tanh_c = np.tanh(self.c[t])
            do = dh * tanh_c * self.o[t] * (1 - self.o[t])
            dc = dh * self.o[t] * (1 - tanh_c ** 2) + dc_next
            df = dc * self.c[t - 1] * self.f[t] * (1 - self.f[t])
            di = dc * self.g[t] * self.i[t] * (1 - self.i[t])
            dg = dc * self.i[t] * (1 - self.g[t] ** 2)

            dz = np.zeros_like(self.z[t])
            for gate, d in (("f", df), ("i", di), ("g", dg), ("o", do)):
                grads["W" + gate] += d @ self.z[t].T
                grads["b" + gate] += d
                dz += getattr(self, "W" + gate).T @ d
            dh_next = dz[:self.n_hidden]
            dc_next = self.f[t] * dc
        return grads
