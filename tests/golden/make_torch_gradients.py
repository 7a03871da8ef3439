"""Makes torch_gradients.json: what PyTorch's autograd and optimizers compute for small problems.

A formula in whole numbers gives the inputs, so nothing is random. Run it again, with PyTorch installed, only
if the inputs change:

    python tests/golden/make_torch_gradients.py
"""

import json
from pathlib import Path

STEPS, STREAMS, LAYERS, HIDDEN, CHARACTERS = 5, 2, 2, 3, 5
CELLS = {"rnn": 1, "lstm": 4, "gru": 3}
OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw")
GOLDEN = Path(__file__).with_name("torch_gradients.json")


def number(place, row, column=0):
    """Return a number in [-0.5, 0.5]: a multiple of 1/128, which is exact in binary."""
    return (37 * place + 29 * row + 53 * column + 17 * row * column) % 129 / 128 - 0.5


def inputs(cell, ngrams=False):
    """Return the parameters by name, the ids and the initial state of a window, computed by a formula.

    With `ngrams`, also return `logs`, the logarithms of the n-grams' probabilities, nested lists (T, B, K).
    """
    H, K, T, B, G = HIDDEN, CHARACTERS, STEPS, STREAMS, CELLS[cell]
    shapes = {}
    for layer in range(LAYERS):
        shapes[f"layers.{layer}.U"] = (G * H, H if layer else K)
        shapes[f"layers.{layer}.W"] = (G * H, H)
        shapes[f"layers.{layer}.b"] = (G * H,)
        if cell == "gru":
            shapes[f"layers.{layer}.d"] = (H,)
    shapes |= {"V": (K, H), "c": (K,)}
    if ngrams:
        shapes |= {"ngram.weight": (1, H), "ngram.bias": (1,)}
    logs = [[[4 * number(t, s, k) - 3 for k in range(K)] for s in range(B)] for t in range(T)]
    parameters = {
        name: [
            [number(place, i, k) for k in range(shape[1])] if len(shape) == 2 else number(place, i)
            for i in range(shape[0])
        ]
        for place, (name, shape) in enumerate(shapes.items())
    }
    states = ("h", "cell") if cell == "lstm" else ("h",)
    return {
        "parameters": parameters,
        "x": [[(5 * t * t + 3 * s + t) % K for s in range(B)] for t in range(T)],
        "y": [[(5 * (t + 1) ** 2 + 3 * s + t + 1) % K for s in range(B)] for t in range(T)],
        "state": {
            name: [[[number(20 + place + n, s, i) for i in range(H)] for s in range(B)]
                   for n in range(LAYERS)]
            for place, name in enumerate(states)
        },
    } | ({"logs": logs} if ngrams else {})  # fmt: skip


class TorchNetwork:
    """PyTorch's own network with given parameters, in float64.

    Layer 0 has an input for each character, or `inputs` inputs, which `loss` then needs too. Its redundant biases are zero. For a GRU, bias_hh is zero except the candidate's part, which is d.
    """

    def __init__(self, cell, parameters, inputs=None):
        import torch

        self.cell, self.torch = cell, torch
        K, H = len(parameters["V"]), len(parameters["V"][0])
        self.layers = sum(name.endswith(".W") for name in parameters)
        kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell]
        self.recurrent = kind(inputs or K, H, self.layers, dtype=torch.float64)
        self.linear = torch.nn.Linear(H, K, dtype=torch.float64)
        self.mixes = "ngram.weight" in parameters
        self.weight = torch.nn.Linear(H, 1, dtype=torch.float64)  # of the n-grams
        self.H, self.K = H, K
        with torch.no_grad():
            for name, tensor in self.named().items():
                tensor.copy_(torch.tensor(parameters[name], dtype=torch.float64))
            for layer in range(self.layers):
                bias = getattr(self.recurrent, f"bias_hh_l{layer}")
                bias.zero_()
                if cell == "gru":
                    d = torch.tensor(parameters[f"layers.{layer}.d"], dtype=torch.float64)
                    bias[2 * H :] = d

    def named(self):
        """Return its tensors by charloom's names, except d."""
        pairs = {"U": "weight_ih", "W": "weight_hh", "b": "bias_ih"}
        return {
            f"layers.{layer}.{ours}": getattr(self.recurrent, f"{theirs}_l{layer}")
            for layer in range(self.layers)
            for ours, theirs in pairs.items()
        } | self.output()

    def output(self):
        """Return the tensors of the output by charloom's names."""
        found = {"V": self.linear.weight, "c": self.linear.bias}
        if self.mixes:
            found |= {"ngram.weight": self.weight.weight, "ngram.bias": self.weight.bias}
        return found

    def trained(self):
        """Return the tensors that training may change, which excludes the redundant biases."""
        if self.cell != "gru":
            return list(self.named().values())
        biases = [getattr(self.recurrent, f"bias_hh_l{layer}") for layer in range(self.layers)]
        for bias in biases:
            bias.register_hook(
                lambda g: self.torch.cat([self.torch.zeros_like(g[: 2 * self.H]), g[2 * self.H :]])
            )
        return [*self.named().values(), *biases]

    def loss(self, x, y, state, logs=None, inputs=None):
        """Return the loss, summed over T and averaged over B, and the state after the window.

        `logs` are the logarithms of the n-grams' probabilities, (T, B, K). `inputs` are the inputs of layer 0;
        None takes the ids `x` in one-hot form.
        """
        x, y = self.torch.tensor(x), self.torch.tensor(y)
        if inputs is None:
            inputs = self.torch.nn.functional.one_hot(x, self.K).double()
        start = [self.torch.as_tensor(array, dtype=self.torch.float64) for array in state.values()]
        h, last = self.recurrent(inputs, tuple(start) if self.cell == "lstm" else start[0])
        logits = self.linear(h)
        if self.mixes:
            logits = logits + self.weight(h) * self.torch.tensor(logs, dtype=self.torch.float64)
        logits = logits.reshape(-1, self.K)
        total = self.torch.nn.functional.cross_entropy(logits, y.reshape(-1), reduction="sum")
        last = last if self.cell == "lstm" else (last,)
        return total / x.shape[1], dict(zip(state, last, strict=True))

    def collect(self, of):
        """Return `of(tensor)` for each tensor as nested lists, by charloom's names."""
        found = {name: of(tensor).tolist() for name, tensor in self.named().items()}
        if self.cell == "gru":
            for layer in range(self.layers):
                bias = getattr(self.recurrent, f"bias_hh_l{layer}")
                found[f"layers.{layer}.d"] = of(bias)[2 * self.H :].tolist()
        return found


def torch_gradients(cell, values):
    """Return loss, gradients and the state after the window, computed by PyTorch's autograd in float64."""
    network = TorchNetwork(cell, values["parameters"])
    loss, state = network.loss(values["x"], values["y"], values["state"], values.get("logs"))
    loss.backward()
    return {
        "loss": loss.item(),
        "gradients": network.collect(lambda tensor: tensor.grad),
        "state": {name: tensor.tolist() for name, tensor in state.items()},
    }


def torch_optimizer(name, tensors, *, learning_rate, weight_decay):
    """Return PyTorch's optimizer for charloom's name, with charloom's defaults."""
    import torch

    kind, settings = {
        "sgd": (torch.optim.SGD, {"momentum": 0.9}),
        "rmsprop": (torch.optim.RMSprop, {"alpha": 0.99, "eps": 1e-8}),
        "adam": (torch.optim.Adam, {"betas": (0.9, 0.999), "eps": 1e-8}),
        "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.999), "eps": 1e-8}),
    }[name]
    return kind(tensors, lr=learning_rate, weight_decay=weight_decay, **settings)


def gradients_to_step_by():
    """Return six gradients of four entries. Some entries are zero."""
    return [[number(3, n, i) * (0 if (n + i) % 4 == 3 else 1) for i in range(4)] for n in range(6)]


def torch_steps(name, weight_decay):
    """Return the parameter after each of six updates by PyTorch."""
    import torch

    tensor = torch.tensor([number(1, i) for i in range(4)], dtype=torch.float64, requires_grad=True)
    optimizer = torch_optimizer(name, [tensor], learning_rate=0.05, weight_decay=weight_decay)
    found = []
    for gradient in gradients_to_step_by():
        tensor.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        found.append(tensor.tolist())
    return found


def main():
    golden = {
        "networks": {cell: torch_gradients(cell, inputs(cell)) for cell in CELLS},
        "ngrams": {cell: torch_gradients(cell, inputs(cell, ngrams=True)) for cell in CELLS},
        "optimizers": {
            name: {str(decay): torch_steps(name, decay) for decay in (0.0, 0.1)}
            for name in OPTIMIZERS
        },
    }
    text = json.dumps(golden, indent=None, separators=(",", ":"))
    GOLDEN.write_text(text.replace("],", "],\n") + "\n", encoding="utf-8")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
