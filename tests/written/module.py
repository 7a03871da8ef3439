"""The classic network as somebody writes it in PyTorch: a module and its loss."""

import torch
from torch import nn
from torch.nn import functional


class Model(nn.Module):
    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        self.vocab_size = vocab_size
        self.rnn = nn.RNN(vocab_size, hidden_size)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, x, targets, h0):
        onehot = functional.one_hot(x, self.vocab_size).to(h0.dtype)
        states, last = self.rnn(onehot.unsqueeze(1), h0)
        logits = self.head(states.squeeze(1))
        return functional.cross_entropy(logits, targets, reduction="sum")
