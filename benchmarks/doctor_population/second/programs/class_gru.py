import numpy as np


class GRU:
    """GRU language model over a batch of sequences, row vectors."""

    def __init__(self, vocab, hidden, rng=None):
        rng = rng or np.random.default_rng(1)
        w = lambda *shape: rng.normal(0, 0.2, shape)
        self.hidden = hidden
        self.Wz, self.Uz, self.bz = w(vocab, hidden), w(hidden, hidden), np.zeros(hidden)
        self.Wr, self.Ur, self.br = w(vocab, hidden), w(hidden, hidden), np.zeros(hidden)
        self.Wh, self.Uh, self.bh = w(vocab, hidden), w(hidden, hidden), np.zeros(hidden)
        self.V, self.c = w(hidden, vocab), np.zeros(vocab)

    @staticmethod
    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def forward(self, X, Y, h0):
        """X, Y: (T, N) ids. Returns the mean loss over T * N characters."""
        T, N = X.shape
        self.X, self.Y = X, Y
        self.hs = np.zeros((T + 1, N, self.hidden))
        self.zs = np.zeros((T, N, self.hidden))
        self.rs = np.zeros((T, N, self.hidden))
        self.cands = np.zeros((T, N, self.hidden))
        self.hs[0] = h0
        for t in range(T):
            h = self.hs[t]
            z = self.sigmoid(self.Wz[X[t]] + h @ self.Uz + self.bz)
            r = self.sigmoid(self.Wr[X[t]] + h @ self.Ur + self.br)
            cand = np.tanh(self.Wh[X[t]] + (r * h) @ self.Uh + self.bh)
            self.hs[t + 1] = z * h + (1 - z) * cand
            self.zs[t], self.rs[t], self.cands[t] = z, r, cand
        scores = self.hs[1:] @ self.V + self.c
        scores -= scores.max(axis=2, keepdims=True)
        self.probs = np.exp(scores)
        self.probs /= self.probs.sum(axis=2, keepdims=True)
        picked = np.take_along_axis(self.probs, Y[:, :, None], axis=2)
        return -np.log(picked).mean()

    def backward(self):
        T, N = self.X.shape
        for name in ["Wz", "Uz", "bz", "Wr", "Ur", "br", "Wh", "Uh", "bh", "V", "c"]:
            setattr(self, "d" + name, np.zeros_like(getattr(self, name)))
        dscores = self.probs.copy()
        t_index, n_index = np.indices((T, N))
        dscores[t_index, n_index, self.Y] -= 1
        dscores /= T * N
        dh_next = np.zeros((N, self.hidden))
        for t in reversed(range(T)):
            h_prev, z, r, cand = self.hs[t], self.zs[t], self.rs[t], self.cands[t]
            self.dV += self.hs[t + 1].T @ dscores[t]
            self.dc += dscores[t].sum(axis=0)
            dh = dscores[t] @ self.V.T + dh_next

            dz = dh * (h_prev - cand)
            dcand = dh * (1 - z)
            da_h = dcand * (1 - cand ** 2)
            drh = da_h @ self.Uh.T
            dr = drh * h_prev
            da_z = dz * z * (1 - z)
            da_r = dr * r * (1 - r)

            np.add.at(self.dWh, self.X[t], da_h)
            np.add.at(self.dWz, self.X[t], da_z)
            np.add.at(self.dWr, self.X[t], da_r)
            self.dUh += (r * h_prev).T @ da_h
            self.dUz += h_prev.T @ da_z
            self.dUr += h_prev.T @ da_r
            self.dbh += da_h.sum(axis=0)
            self.dbz += da_z.sum(axis=0)
            self.dbr += da_r.sum(axis=0)

            dh_next = dh * z + drh * r + da_z @ self.Uz.T + da_r @ self.Ur.T
        return {n: getattr(self, n) for n in vars(self) if n.startswith("d")}
