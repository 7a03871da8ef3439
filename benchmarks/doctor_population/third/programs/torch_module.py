import torch
import torch.nn as nn
import torch.nn.functional as F


class CharModel(nn.Module):
    """A character model with its own GRU cell built from nn.Linear."""

    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        self.vocab_size = vocab_size
        self.x2h = nn.Linear(vocab_size, 3 * hidden_size)
        self.h2h = nn.Linear(hidden_size, 3 * hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def step(self, x, h):
        xr, xz, xn = self.x2h(x).chunk(3, dim=-1)
        hr, hz, hn = self.h2h(h).chunk(3, dim=-1)
        r = torch.sigmoid(xr + hr)
        z = torch.sigmoid(xz + hz)
        n = torch.tanh(xn + r * hn)
        return (1 - z) * n + z * h

    def forward(self, x, h):
        """x: (T,) ids, h: (H,) -> logits (T, K), last h"""
        x = F.one_hot(x, self.vocab_size).to(h.dtype)
        logits = []
        for t in range(x.shape[0]):
            h = self.step(x[t], h)
            logits.append(self.out(h))
        return torch.stack(logits), h


def loss_and_gradients(model, x, y, h):
    model.zero_grad()
    logits, h = model(x, h)
    loss = F.cross_entropy(logits, y, reduction="sum")
    loss.backward()
    return loss, {name: p.grad for name, p in model.named_parameters()}
