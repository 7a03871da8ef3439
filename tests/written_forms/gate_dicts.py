"""A class with an LSTM whose gates are dicts in a dict, found by their names."""

import numpy as np


class LSTM:
    def __init__(self, vocab_size, hidden_size, lr=0.1):
        self.vocab_size, self.hidden_size, self.lr = vocab_size, hidden_size, lr
        z = vocab_size + hidden_size
        self.gates = {
            name: {"W": np.random.randn(hidden_size, z) * 0.1, "b": np.zeros((hidden_size, 1))}
            for name in ("forget", "input", "output", "candidate")
        }
        self.out = {
            "W": np.random.randn(vocab_size, hidden_size) * 0.1,
            "b": np.zeros((vocab_size, 1)),
        }

    def _gate(self, name, z, act):
        g = self.gates[name]
        return act(g["W"] @ z + g["b"])

    @staticmethod
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def loss(self, inputs, targets, h_prev, c_prev):
        H = self.hidden_size
        h, c = h_prev, c_prev
        loss = 0
        steps = []
        for x_id, t_id in zip(inputs, targets):
            x = np.zeros((self.vocab_size, 1))
            x[x_id] = 1
            z = np.vstack([h, x])
            f = self._gate("forget", z, self.sigmoid)
            i = self._gate("input", z, self.sigmoid)
            o = self._gate("output", z, self.sigmoid)
            g = self._gate("candidate", z, np.tanh)
            cp = c
            c = f * c + i * g
            h = o * np.tanh(c)
            y = self.out["W"] @ h + self.out["b"]
            p = np.exp(y - y.max())
            p /= p.sum()
            loss -= np.log(p[t_id, 0])
            steps.append((z, f, i, o, g, cp, c, h, p, t_id))
        grads = {
            n: {"W": np.zeros_like(v["W"]), "b": np.zeros_like(v["b"])}
            for n, v in self.gates.items()
        }
        gout = {"W": np.zeros_like(self.out["W"]), "b": np.zeros_like(self.out["b"])}
        dhn = np.zeros((H, 1))
        dcn = np.zeros((H, 1))
        for z, f, i, o, g, cp, c, h, p, t_id in reversed(steps):
            dy = p.copy()
            dy[t_id] -= 1
            gout["W"] += dy @ h.T
            gout["b"] += dy
            dh = self.out["W"].T @ dy + dhn
            dc = dcn + dh * o * (1 - np.tanh(c) ** 2)
            d = {
                "forget": dc * cp * f * (1 - f),
                "input": dc * g * i * (1 - i),
                "output": dh * np.tanh(c) * o * (1 - o),
                "candidate": dc * i * (1 - g**2),
            }
            dz = np.zeros_like(z)
            for n in d:
                grads[n]["W"] += d[n] @ z.T
                grads[n]["b"] += d[n]
                dz += self.gates[n]["W"].T @ d[n]
            dhn = dz[:H]
            dcn = dc * f
        return loss, grads, gout, h, c
