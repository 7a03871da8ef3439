import torch
from torch import nn


class LSTMModel(nn.Module):
    """Character LSTM written with two linear maps per step (gates i, f, g, o), and its own decoder."""

    def __init__(self, n_chars, n_hidden):
        super().__init__()
        self.n_hidden = n_hidden
        self.x2h = nn.Linear(n_chars, 4 * n_hidden)
        self.h2h = nn.Linear(n_hidden, 4 * n_hidden, bias=False)
        self.decoder = nn.Linear(n_hidden, n_chars)

    def step(self, x, h, c):
        i, f, g, o = (self.x2h(x) + self.h2h(h)).chunk(4, dim=1)
        i, f, o = torch.sigmoid(i), torch.sigmoid(f), torch.sigmoid(o)
        g = torch.tanh(g)
        c = f * c + i * g
        h = o * torch.tanh(c)
        return h, c

    def loss(self, inputs, targets, state):
        """inputs: (N, T, K) one-hot, targets: (N, T). Loss: summed over time, mean over the batch."""
        h, c = state
        total = 0
        for t in range(inputs.shape[1]):
            h, c = self.step(inputs[:, t], h, c)
            total = total + nn.functional.cross_entropy(self.decoder(h), targets[:, t])
        return total


def gradients(model, inputs, targets, state):
    model.zero_grad()
    loss = model.loss(inputs, targets, state)
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters()}
