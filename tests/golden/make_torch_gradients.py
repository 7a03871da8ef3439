"""Makes torch_gradients.json: a small network's loss and gradients as PyTorch's autograd has them.

The inputs come from a formula in whole numbers, so that nothing random stands between this file
and its reader. Run again (only if the inputs change) with PyTorch installed:

    python tests/golden/make_torch_gradients.py
"""

import json
from pathlib import Path

STEPS, STREAMS, HIDDEN, CHARACTERS = 7, 2, 4, 6
GOLDEN = Path(__file__).with_name("torch_gradients.json")


def number(place, row, column=0):
    """A number in [-0.5, 0.5], exact in binary: a multiple of 1/128."""
    return (37 * place + 29 * row + 53 * column + 17 * row * column) % 129 / 128 - 0.5


def inputs():
    """Parameters, ids and start state by formula."""
    H, K, T, B = HIDDEN, CHARACTERS, STEPS, STREAMS
    return {
        "U": [[number(1, i, k) for k in range(K)] for i in range(H)],
        "W": [[number(2, i, j) for j in range(H)] for i in range(H)],
        "b": [number(3, i) for i in range(H)],
        "V": [[number(4, k, i) for i in range(H)] for k in range(K)],
        "c": [number(5, k) for k in range(K)],
        "x": [[(5 * t * t + 3 * s + t) % K for s in range(B)] for t in range(T)],
        "y": [[(5 * (t + 1) ** 2 + 3 * s + t + 1) % K for s in range(B)] for t in range(T)],
        "h": [[number(6, s, i) for i in range(H)] for s in range(B)],
    }


def torch_gradients(values):
    """Loss, gradients and last h by torch.nn.RNN, cross_entropy and autograd, in float64."""
    import torch

    H, K = len(values["b"]), len(values["c"])
    rnn = torch.nn.RNN(K, H, dtype=torch.float64)
    linear = torch.nn.Linear(H, K, dtype=torch.float64)
    ours = {
        "U": rnn.weight_ih_l0,
        "W": rnn.weight_hh_l0,
        "b": rnn.bias_ih_l0,
        "V": linear.weight,
        "c": linear.bias,
    }
    with torch.no_grad():
        rnn.bias_hh_l0.zero_()
        for name, parameter in ours.items():
            parameter.copy_(torch.tensor(values[name], dtype=torch.float64))
    x, y = torch.tensor(values["x"]), torch.tensor(values["y"])
    one_hot = torch.nn.functional.one_hot(x, K).double()
    h, h_last = rnn(one_hot, torch.tensor(values["h"], dtype=torch.float64)[None])
    logits = linear(h).reshape(-1, K)
    loss = torch.nn.functional.cross_entropy(logits, y.reshape(-1), reduction="sum") / x.shape[1]
    loss.backward()
    return {
        "loss": loss.item(),
        "gradients": {name: parameter.grad.tolist() for name, parameter in ours.items()},
        "h_last": h_last[0].tolist(),
    }


def main():
    values = inputs()
    golden = {"inputs": values, **torch_gradients(values)}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
