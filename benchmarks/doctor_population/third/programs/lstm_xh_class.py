import numpy as np


class LSTM:
    """Four gates over the stacked vector [x; h], trained with train_step(inputs, targets)."""

    def __init__(self, vocab_size, hidden_size):
        self.K, self.H = vocab_size, hidden_size
        scale = 1.0 / np.sqrt(vocab_size + hidden_size)
        shape = (hidden_size, vocab_size + hidden_size)
        self.w_forget = np.random.normal(0, scale, shape)
        self.w_input = np.random.normal(0, scale, shape)
        self.w_cand = np.random.normal(0, scale, shape)
        self.w_output = np.random.normal(0, scale, shape)
        self.b_forget = np.ones((hidden_size, 1))
        self.b_input = np.zeros((hidden_size, 1))
        self.b_cand = np.zeros((hidden_size, 1))
        self.b_output = np.zeros((hidden_size, 1))
        self.w_y = np.random.normal(0, scale, (vocab_size, hidden_size))
        self.b_y = np.zeros((vocab_size, 1))

    @staticmethod
    def sigmoid(x):
        return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))

    def loss_and_gradients(self, inputs, targets, h_prev, c_prev):
        K, H = self.K, self.H
        h, c = h_prev, c_prev
        caches = []
        loss = 0.0
        for ix, iy in zip(inputs, targets):
            z = np.zeros((K + H, 1))
            z[ix] = 1
            z[K:] = h
            ft = self.sigmoid(self.w_forget @ z + self.b_forget)
            it = self.sigmoid(self.w_input @ z + self.b_input)
            gt = np.tanh(self.w_cand @ z + self.b_cand)
            ot = self.sigmoid(self.w_output @ z + self.b_output)
            c_new = ft * c + it * gt
            h_new = ot * np.tanh(c_new)
            scores = self.w_y @ h_new + self.b_y
            prob = np.exp(scores - scores.max())
            prob /= prob.sum()
            loss -= np.log(prob[iy, 0])
            caches.append((z, ft, it, gt, ot, c, c_new, h_new, prob, iy))
            h, c = h_new, c_new

        names = ("w_forget", "b_forget", "w_input", "b_input", "w_cand", "b_cand", "w_output", "b_output", "w_y", "b_y")
        grads = {name: np.zeros_like(getattr(self, name)) for name in names}
        dh_next = np.zeros((H, 1))
        dc_next = np.zeros((H, 1))
        while caches:
            z, ft, it, gt, ot, c_old, c_new, h_new, prob, iy = caches.pop()
            dscores = prob.copy()
            dscores[iy] -= 1
            grads["w_y"] += dscores @ h_new.T
            grads["b_y"] += dscores
            dh = self.w_y.T @ dscores + dh_next
            tanh_c = np.tanh(c_new)
            dc = dh * ot * (1 - tanh_c ** 2) + dc_next
            deltas = {
                "output": dh * tanh_c * ot * (1 - ot),
                "forget": dc * c_old * ft * (1 - ft),
                "input": dc * gt * it * (1 - it),
                "cand": dc * it * (1 - gt ** 2),
            }
            dz = np.zeros((K + H, 1))
            for name, delta in deltas.items():
                grads["w_" + name] += delta @ z.T
                grads["b_" + name] += delta
                dz += getattr(self, "w_" + name).T @ delta
            dh_next = dz[K:]
            dc_next = dc * ft
        return loss, grads, h, c
