"""Trains and samples in PyTorch, so that benchmarks can time it.

Each function uses the fastest form of the code that was found (docs/LOG.md).
"""

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.bench.contestant_text import streams_of, windows_of
from charloom.bench.interleaved import Work
from charloom.cell_table import CELLS
from charloom.config import Config


def updates(config: Config, K: int, tokens: NDArray[np.uint8]) -> Work:
    """Return a function of n that does n classic updates in eager PyTorch.

    An update uses nn.RNN, nn.Linear, cross-entropy summed over T, clip_grad_value_ and Adagrad. `K`
    is the vocabulary size.
    """
    import torch

    torch.set_num_threads(1)
    T, H = config.seq_length, config.hidden_size
    rnn, linear = torch.nn.RNN(K, H), torch.nn.Linear(H, K)
    parameters = [*rnn.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adagrad(parameters, lr=config.learning_rate, eps=config.epsilon)
    one_hot = torch.eye(K)
    windows = windows_of(tokens, T)
    h = torch.zeros(1, 1, H)

    def work(count: int) -> None:
        nonlocal h
        for _ in range(count):
            x, y = next(windows)
            optimizer.zero_grad()
            outputs, h_next = rnn(one_hot[torch.from_numpy(x).long()], h)
            target = torch.from_numpy(y[:, 0]).long()
            loss = torch.nn.functional.cross_entropy(linear(outputs[:, 0]), target, reduction="sum")
            loss.backward()
            torch.nn.utils.clip_grad_value_(parameters, config.clip)
            optimizer.step()
            h = h_next.detach()

    return work


def sampling(config: Config, K: int) -> Work:
    """Return a function of n that samples n characters from a plain RNN in PyTorch.

    The function uses RNNCell, Linear, softmax and multinomial, without gradients. `K` is the
    vocabulary size.
    """
    import torch

    torch.set_num_threads(1)
    cell, linear = torch.nn.RNNCell(K, config.hidden_size), torch.nn.Linear(config.hidden_size, K)
    one_hot = torch.eye(K)

    def work(count: int) -> None:
        with torch.inference_mode():
            h, x = torch.zeros(1, config.hidden_size), one_hot[:1]
            for _ in range(count):
                h = cell(x, h)
                id = torch.multinomial(torch.softmax(linear(h), dim=1), 1)
                x = one_hot[id[0]]

    return work


def steps(
    config: Config, K: int, tokens: NDArray[np.uint8], threads: int, device: str = "cpu"
) -> Work:
    """Return a function of n that does n training steps of the network in `config` in PyTorch.

    A step uses the mean loss, clipping by the norm (unless `clip` is 0) and fused Adam. The input is one-hot, because an
    nn.Embedding needs an additional gradient and is never faster. PyTorch uses oneDNN or cuDNN where it can, and on a
    GPU no TF32, as the engine torch. The text is on the device, and after the n steps nothing is left to do there.
    `K` is the vocabulary size.
    """
    import torch

    from charloom.engines.torch.devices import used_device

    T, B, H = config.seq_length, config.batch_size, config.hidden_size
    place = torch.device(device)
    rnn = getattr(torch.nn, CELLS[config.cell].torch_class)(K, H, num_layers=config.layers)
    linear = torch.nn.Linear(H, K)
    parameters = [*rnn.to(place).parameters(), *linear.to(place).parameters()]
    optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    one_hot = torch.eye(K, device=place)
    inputs, targets = (torch.from_numpy(ids).to(place) for ids in streams_of(tokens, T, B))
    windows = cycle(range(0, len(inputs), T))
    state: Any = None

    def step(e: int) -> None:
        nonlocal state
        x, y = inputs[e : e + T].long(), targets[e : e + T].long()
        optimizer.zero_grad()
        outputs, last = rnn(one_hot[x], state)
        logits = linear(outputs).reshape(T * B, K)
        torch.nn.functional.cross_entropy(logits, y.reshape(-1)).backward()
        if config.clip:
            torch.nn.utils.clip_grad_norm_(parameters, config.clip, foreach=True)
        optimizer.step()
        state = tuple(s.detach() for s in last) if isinstance(last, tuple) else last.detach()

    def work(count: int) -> None:
        torch.set_num_threads(threads)
        with used_device(place):
            for _ in range(count):
                step(next(windows))
            if place.type == "cuda":
                torch.cuda.synchronize(place)

    return work


def cell_loop(config: Config, K: int, threads: int) -> Work:
    """Return a function of n that samples n characters of one stream from an LSTM.

    The function calls `torch.lstm_cell`, which is faster than the class LSTMCell. `K` is the
    vocabulary size.
    """
    import torch

    H = config.hidden_size
    cells = [torch.nn.LSTMCell(H if layer else K, H) for layer in range(config.layers)]
    weights = [(c.weight_ih, c.weight_hh, c.bias_ih, c.bias_hh) for c in cells]
    linear = torch.nn.Linear(H, K)
    one_hot = torch.eye(K)

    def work(count: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            states = [(torch.zeros(1, H), torch.zeros(1, H)) for _ in cells]
            ids, x = torch.empty(count, dtype=torch.long), one_hot[:1]
            for n in range(count):
                for layer, arrays in enumerate(weights):
                    states[layer] = torch.lstm_cell(x, states[layer], *arrays)
                    x = states[layer][0]
                id = torch.multinomial(torch.softmax(linear(x), dim=1), 1)[0]
                ids[n : n + 1] = id
                x = one_hot[id]

    return work


def row_loop(config: Config, K: int, threads: int) -> Work:
    """Return a function of n that samples n characters of one stream from an LSTM.

    The function uses `row_step`, which computes the equations of the LSTM without torch.nn. `K` is
    the vocabulary size.
    """
    import torch

    module = torch.nn.LSTM(K, config.hidden_size, num_layers=config.layers)
    linear = torch.nn.Linear(config.hidden_size, K)
    weights = row_weights(module)

    def work(count: int) -> None:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            step = row_step(weights, linear)
            ids, id = torch.empty(count, dtype=torch.long), torch.zeros(1, dtype=torch.long)
            for n in range(count):
                id = torch.multinomial(torch.softmax(step(id), dim=0), 1)
                ids[n : n + 1] = id

    return work


def row_weights(module: Any) -> list[tuple[Any, Any]]:
    """Return the weights of an nn.LSTM as `row_step` needs them: a pair of tensors for each layer.

    Let b be the sum of a layer's two biases. The pair of the first layer is W, and Uᵀ with b added
    to each row. The pair of a higher layer is the matrix [U W], and b.
    """
    import torch

    weights = []
    for layer in range(module.num_layers):
        U, W, b_ih, b_hh = (
            getattr(module, f"{name}_l{layer}").detach()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        b = b_ih + b_hh
        weights.append((torch.cat([U, W], 1), b) if layer else (W, (U.T + b).contiguous()))
    return weights


def row_step(weights: list[tuple[Any, Any]], linear: Any) -> Callable[[Any], Any]:
    """Return a function that reads an id, shape (1,), and returns the logits of the next id, shape (K,).

    The network is an LSTM with the output layer `linear`. `weights` are the weights of the LSTM, as
    `row_weights` returns them. The function keeps a hidden state, which is zero at first. The first
    layer looks up a column of U instead of multiplying U by a one-hot vector. A higher layer needs
    one matrix product, because U and W are one matrix.
    """
    import torch

    L, H = len(weights), linear.in_features
    h, cells, a = torch.zeros(L * H), torch.zeros(L, H), torch.empty(4 * H)

    def step(id: Any) -> Any:
        for layer, (W, rest) in enumerate(weights):
            # Layer 0 multiplies W by its own h. A higher layer multiplies the matrix [U W] by the h of
            # the layer below, followed by its own h.
            before = h[max(0, layer - 1) * H : (layer + 1) * H]
            torch.addmv(rest if layer else rest.index_select(0, id)[0], W, before, out=a)
            gates, cell = torch.sigmoid(a), cells[layer]
            cell.mul_(gates[H : 2 * H]).addcmul_(gates[:H], torch.tanh(a[2 * H : 3 * H]))
            torch.mul(gates[3 * H :], torch.tanh(cell), out=h[layer * H : (layer + 1) * H])
        return torch.addmv(linear.bias, linear.weight, h[-H:])

    return step
