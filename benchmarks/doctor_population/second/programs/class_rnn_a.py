import numpy as np


class CharRNN:
    def __init__(self, vocab_size, hidden_size, seed=0):
        rng = np.random.default_rng(seed)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.params = {
            "Wxh": rng.standard_normal((hidden_size, vocab_size)) * 0.1,
            "Whh": rng.standard_normal((hidden_size, hidden_size)) * 0.1,
            "bh": np.zeros(hidden_size),
            "Why": rng.standard_normal((vocab_size, hidden_size)) * 0.1,
            "by": np.zeros(vocab_size),
        }

    def loss(self, inputs, targets, h0=None):
        """inputs, targets: (batch, time) ids. The loss is summed over time, averaged over the batch."""
        p = self.params
        batch, steps = inputs.shape
        rows = np.arange(batch)
        h = np.zeros((batch, self.hidden_size)) if h0 is None else h0

        hs = [h]
        probs = []
        loss = 0.0
        for t in range(steps):
            h = np.tanh(p["Wxh"].T[inputs[:, t]] + h @ p["Whh"].T + p["bh"])
            logits = h @ p["Why"].T + p["by"]
            logits -= logits.max(axis=1, keepdims=True)
            e = np.exp(logits)
            prob = e / e.sum(axis=1, keepdims=True)
            loss += -np.log(prob[rows, targets[:, t]]).sum()
            hs.append(h)
            probs.append(prob)
        loss /= batch

        grads = {name: np.zeros_like(value) for name, value in p.items()}
        dh_next = np.zeros_like(h)
        for t in range(steps - 1, -1, -1):
            dlogits = probs[t]
            dlogits[rows, targets[:, t]] -= 1
            dlogits /= batch
            grads["Why"] += dlogits.T @ hs[t + 1]
            grads["by"] += dlogits.sum(axis=0)
            dh = dlogits @ p["Why"] + dh_next
            dz = dh * (1 - hs[t + 1] ** 2)
            grads["Whh"] += dz.T @ hs[t]
            grads["bh"] += dz.sum(axis=0)
            np.add.at(grads["Wxh"].T, inputs[:, t], dz)
            dh_next = dz @ p["Whh"]
        return loss, grads
