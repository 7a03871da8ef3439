import numpy as np


def sig(x):
    return 1 / (1 + np.exp(-x))


class GRU:
    """A GRU language model; forward() keeps what backward() needs in self.tape."""

    def __init__(self, input_size, hidden_size):
        def w(n, m):
            return np.random.randn(n, m) / np.sqrt(m)

        self.Wr, self.Ur, self.br = w(hidden_size, input_size), w(hidden_size, hidden_size), np.zeros(hidden_size)
        self.Wz, self.Uz, self.bz = w(hidden_size, input_size), w(hidden_size, hidden_size), np.zeros(hidden_size)
        self.Wn, self.Un, self.bn = w(hidden_size, input_size), w(hidden_size, hidden_size), np.zeros(hidden_size)
        self.Wy, self.by = w(input_size, hidden_size), np.zeros(input_size)

    def forward(self, inputs, targets, h0):
        self.tape = []
        h = h0
        loss = 0.0
        for ix, iy in zip(inputs, targets):
            h_prev = h
            r = sig(self.Wr[:, ix] + self.Ur @ h_prev + self.br)
            z = sig(self.Wz[:, ix] + self.Uz @ h_prev + self.bz)
            n = np.tanh(self.Wn[:, ix] + self.Un @ (r * h_prev) + self.bn)
            h = (1 - z) * n + z * h_prev
            s = self.Wy @ h + self.by
            p = np.exp(s - s.max())
            p /= p.sum()
            loss -= np.log(p[iy])
            self.tape.append((ix, iy, h_prev, r, z, n, h, p))
        self.h_last = h
        return loss

    def backward(self):
        names = ("Wr", "Ur", "br", "Wz", "Uz", "bz", "Wn", "Un", "bn", "Wy", "by")
        g = {k: np.zeros_like(getattr(self, k)) for k in names}
        dh_next = np.zeros_like(self.h_last)
        for ix, iy, h_prev, r, z, n, h, p in reversed(self.tape):
            ds = p.copy()
            ds[iy] -= 1
            g["Wy"] += np.outer(ds, h)
            g["by"] += ds
            dh = self.Wy.T @ ds + dh_next
            dn = dh * (1 - z) * (1 - n * n)
            dz = dh * (h_prev - n) * z * (1 - z)
            drh = self.Un.T @ dn
            dr = drh * h_prev * r * (1 - r)
            for k, d in (("r", dr), ("z", dz), ("n", dn)):
                g["W" + k][:, ix] += d
                g["b" + k] += d
            g["Ur"] += np.outer(dr, h_prev)
            g["Uz"] += np.outer(dz, h_prev)
            g["Un"] += np.outer(dn, r * h_prev)
            dh_next = dh * z + drh * r + self.Ur.T @ dr + self.Uz.T @ dz
        return g
