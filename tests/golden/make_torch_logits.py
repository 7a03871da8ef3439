"""Makes torch_logits.json: the logits of a small nn.RNN, nn.LSTM and nn.GRU.

`state_dict` computes the weights from whole numbers, so nothing is random. The test uses the same function.
Run it again, with PyTorch installed, only if the inputs change:

    python tests/golden/make_torch_logits.py
"""

import json
from pathlib import Path

HIDDEN, CHARACTERS, LAYERS = 3, 5, 2
IDS = [0, 3, 1, 4, 2, 2, 0]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
GOLDEN = Path(__file__).with_name("torch_logits.json")


def number(place, row, column=0):
    """Return a number in [-1, 1]: a multiple of 1/64, which is exact in binary."""
    return (37 * place + 29 * row + 53 * column + 17 * row * column) % 129 / 64 - 1


def state_dict(cell):
    """Return every weight and bias as nested lists, by PyTorch's names. No bias is zero."""
    rows, inputs = GATES[cell] * HIDDEN, (CHARACTERS, HIDDEN)
    values = {}
    for layer in range(LAYERS):
        for kind, columns in (("ih", inputs[layer > 0]), ("hh", HIDDEN)):
            place = len(values) + 1
            values[f"rnn.weight_{kind}_l{layer}"] = [
                [number(place, i, j) for j in range(columns)] for i in range(rows)
            ]
        for kind in ("ih", "hh"):
            place = len(values) + 1
            values[f"rnn.bias_{kind}_l{layer}"] = [number(place, i) for i in range(rows)]
    values["head.weight"] = [[number(20, k, i) for i in range(HIDDEN)] for k in range(CHARACTERS)]
    values["head.bias"] = [number(21, k) for k in range(CHARACTERS)]
    return values


def torch_logits(cell):
    """Return the logits after each of IDS, in float64."""
    import torch

    kinds = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
    network = torch.nn.ModuleDict(
        {
            "rnn": kinds[cell](CHARACTERS, HIDDEN, num_layers=LAYERS),
            "head": torch.nn.Linear(HIDDEN, CHARACTERS),
        }
    ).double()
    network.load_state_dict({name: torch.tensor(v) for name, v in state_dict(cell).items()})
    x = torch.nn.functional.one_hot(torch.tensor(IDS), CHARACTERS).double()
    return network["head"](network["rnn"](x)[0]).tolist()


def main():
    golden = {cell: torch_logits(cell) for cell in GATES}
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
