import torch
import torch.nn as nn
import torch.nn.functional as F


class CharModel(nn.Module):
    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        self.vocab_size = vocab_size
        self.cell = nn.RNNCell(vocab_size, hidden_size)
        self.out = nn.Linear(hidden_size, vocab_size)

    def forward(self, x, h):
        """x: (N, T) ids, h: (N, H). Returns logits (N, T, K)."""
        outputs = []
        for t in range(x.size(1)):
            xt = F.one_hot(x[:, t], self.vocab_size).to(h.dtype)
            h = self.cell(xt, h)
            outputs.append(self.out(h))
        return torch.stack(outputs, dim=1)


def loss_and_grads(model, x, y, h0):
    model.zero_grad()
    logits = model(x, h0)
    loss = F.cross_entropy(logits.reshape(-1, logits.size(-1)), y.reshape(-1))
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}
