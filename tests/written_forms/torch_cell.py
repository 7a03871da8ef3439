"""A module with nn.LSTMCell that loops over the time itself; x is (B, T)."""

import torch
from torch import nn
from torch.nn import functional as F


class CharModel(nn.Module):
    def __init__(self, vocab_size, hidden_size, num_layers=1):
        super().__init__()
        self.vocab_size, self.hidden_size = vocab_size, hidden_size
        self.cell = nn.LSTMCell(vocab_size, hidden_size)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, x, state=None):
        h, c = state if state is not None else (torch.zeros(x.shape[0], self.hidden_size),) * 2
        out = []
        for t in range(x.shape[1]):
            one_hot = F.one_hot(x[:, t], self.vocab_size).to(h.dtype)
            h, c = self.cell(one_hot, (h, c))
            out.append(self.head(h))
        return torch.stack(out, dim=1), (h, c)
