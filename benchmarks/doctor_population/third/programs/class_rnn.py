import numpy as np


class CharRNN:
    def __init__(self, vocab_size, hidden_size, seed=0):
        rng = np.random.default_rng(seed)
        s = 1 / np.sqrt(hidden_size)
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.params = {
            "Wx": rng.uniform(-s, s, (hidden_size, vocab_size)),
            "Wh": rng.uniform(-s, s, (hidden_size, hidden_size)),
            "bh": np.zeros(hidden_size),
            "Wy": rng.uniform(-s, s, (vocab_size, hidden_size)),
            "by": np.zeros(vocab_size),
        }

    def forward(self, inputs, h0):
        p = self.params
        hs = [h0]
        probs = []
        for ix in inputs:
            h = np.tanh(p["Wx"][:, ix] + p["Wh"] @ hs[-1] + p["bh"])
            logits = p["Wy"] @ h + p["by"]
            e = np.exp(logits - logits.max())
            hs.append(h)
            probs.append(e / e.sum())
        return hs, probs

    def loss(self, inputs, targets, h0):
        """Return the summed cross-entropy, a dict of gradients and the new hidden state."""
        p = self.params
        hs, probs = self.forward(inputs, h0)
        loss = -sum(np.log(prob[y]) for prob, y in zip(probs, targets))
        grads = {k: np.zeros_like(v) for k, v in p.items()}
        dh = np.zeros(self.hidden_size)
        for t in range(len(inputs) - 1, -1, -1):
            dlogits = probs[t].copy()
            dlogits[targets[t]] -= 1.0
            grads["Wy"] += np.outer(dlogits, hs[t + 1])
            grads["by"] += dlogits
            dh = dh + p["Wy"].T @ dlogits
            dz = dh * (1.0 - hs[t + 1] ** 2)
            grads["Wx"][:, inputs[t]] += dz
            grads["Wh"] += np.outer(dz, hs[t])
            grads["bh"] += dz
            dh = p["Wh"].T @ dz
        return loss, grads, hs[-1]
