"""A class with random parameters that the doctor does not know is judged with fixed random numbers."""

import pytest

from charloom.diagnosis import doctor

SOURCE = """
import numpy as np


class RNN:
    def __init__(self, vocab_size, hidden_size):
        self.Wxh = np.random.randn(hidden_size, vocab_size) * 0.01
        self.Whh = np.random.randn(hidden_size, hidden_size) * 0.01
        self.Why = np.random.randn(vocab_size, hidden_size) * 0.01
        self.bh = np.zeros((hidden_size, 1))
        self.by = np.zeros((vocab_size, 1))
        self.leak = 0.5 + 0.1 * np.random.rand(hidden_size, 1)

    def loss(self, inputs, targets, hprev):
        hs, ps, loss = {-1: hprev}, {}, 0
        for t in range(len(inputs)):
            a = self.Wxh[:, [inputs[t]]] + self.Whh @ hs[t - 1] + self.bh
            hs[t] = np.tanh(self.leak * a)
            y = self.Why @ hs[t] + self.by
            ps[t] = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
            loss -= np.log(ps[t][targets[t], 0])
        dWxh, dWhh, dWhy = (np.zeros_like(w) for w in (self.Wxh, self.Whh, self.Why))
        dbh, dby = np.zeros_like(self.bh), np.zeros_like(self.by)
        dhnext = np.zeros_like(hprev)
        for t in reversed(range(len(inputs))):
            dy = ps[t].copy()
            dy[targets[t]] -= 1
            dWhy += dy @ hs[t].T
            dby += dy
            da = (self.Why.T @ dy + dhnext) * (1 - hs[t] ** 2) * self.leak
            dbh += da
            dWxh[:, [inputs[t]]] += da
            dWhh += da @ hs[t - 1].T
            dhnext = self.Whh.T @ da
        return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]
"""


@pytest.mark.parametrize("wrong", [False, True])
def test_random_parameters_that_are_not_known_are_no_mistake(tmp_path, wrong):
    source = SOURCE.replace("* self.leak\n", "\n") if wrong else SOURCE
    file = tmp_path / "submission.py"
    file.write_text(source, encoding="utf-8")
    found = doctor(str(file))
    assert found.verdict == ("wrong" if wrong else "right for its own network")
    assert "answers-differ" not in found.mistakes
    assert any("sets their seed" in note for note in found.notes)
