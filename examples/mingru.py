"""A cell of your own: the minGRU of "Were RNNs All We Needed?" (Feng and others 2024, arXiv:2410.01201).

python examples/mingru.py checks it; charloom train book.txt --cell-file examples/mingru.py --cell mingru trains it.
"""

import torch
from torch.nn.functional import linear

import charloom


@charloom.register_cell("mingru")
class MinGRU:
    """z_t = σ(W_z x_t + b_z),  n_t = W_n x_t + b_n,  h_t = (1 - z_t) h_{t-1} + z_t n_t."""

    title = "a minGRU"

    def parameters(self, input_size, hidden_size):
        return {"weight_ih": (2 * hidden_size, input_size), "bias_ih": (2 * hidden_size,)}

    def gates(self, x, state, parameters):
        z, n = linear(x, parameters["weight_ih"], parameters["bias_ih"]).chunk(2, -1)
        return {"z": torch.sigmoid(z), "n": n}

    def step(self, x, state, parameters):
        gates = self.gates(x, state, parameters)
        return {"h": (1 - gates["z"]) * state["h"] + gates["z"] * gates["n"]}

    # Optional: no gate reads h, so all steps of a window can be computed together, in log2(T) rounds.
    def layer(self, x, state, parameters):
        gates = self.gates(x, state, parameters)
        a, b = 1 - gates["z"], gates["z"] * gates["n"]  # h_t = a_t h_{t-1} + b_t
        b = torch.cat([b[:1] + a[:1] * state["h"], b[1:]])
        reach = 1  # step t has the steps from t - reach + 1 to t combined
        while reach < len(x):
            b = torch.cat([b[:reach], b[reach:] + a[reach:] * b[:-reach]])
            a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
            reach *= 2
        return {"h": b}
