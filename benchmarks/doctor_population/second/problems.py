"""Small random problems on which each base program can be run and differentiated.

A problem knows how to call its program and how the program names its gradients. It does not know
which gradients are right.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

HIDDEN, VOCABULARY = 3, 4
Blocks = dict[str, np.ndarray]
Call = Callable[[], tuple[float, Blocks]]


@dataclass
class Problem:
    """The variables of a program's loss, and a way to start the program on copies of them.

    `blocks` has the variables by the names of their gradients. `start(namespace, blocks)` returns
    a function that calls the program once and returns its loss and gradients; calling it again
    calls the same program again with the same objects. `gates` has, for each gate, the blocks and
    the index of the gate's part in them.
    """

    blocks: Blocks
    start: Callable[[dict, Blocks], Call]
    gates: dict[str, list[tuple[str, object]]] = field(default_factory=dict)


def definitions(source: str, name: str):
    """Return a script's imports, functions and classes, compiled, without the statements that train."""
    tree = ast.parse(source)
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)
    tree.body = [node for node in tree.body if isinstance(node, kept)]
    return compile(tree, name, "exec")


def whole(source: str, name: str):
    """Return a module, compiled."""
    return compile(source, name, "exec")


def weights(rng, **shapes) -> Blocks:
    """Return random arrays, with weights so large that the nonlinearities matter."""
    return {
        name: rng.normal(0, 0.4 if len(shape) == 1 or 1 in shape else 0.7, shape)
        for name, shape in shapes.items()
    }


def ids(rng, *shape) -> np.ndarray:
    """Return random ids of characters."""
    return rng.integers(0, VOCABULARY, shape)


def onehot(numbers) -> np.ndarray:
    """Return one-hot vectors along a new last axis."""
    return np.eye(VOCABULARY)[numbers]


def prefixed(values: Blocks) -> Blocks:
    """Return the arrays with `d` before their names."""
    return {f"d{name}": value for name, value in values.items()}


def unprefixed(values: Blocks) -> Blocks:
    """Return the arrays without the `d` before their names."""
    return {name[1:]: value for name, value in values.items()}


def stacked(gates: str, blocks, axis: int) -> dict:
    """Return the parts of the gates in blocks that stack them along an axis."""
    parts = {}
    for number, gate in enumerate(gates):
        rows = slice(number * HIDDEN, (number + 1) * HIDDEN)
        parts[gate] = [
            (name, rows if axis == 0 or name.endswith("b") else (slice(None), rows))
            for name in blocks
        ]
    return parts


def separate(names: dict[str, str]) -> dict:
    """Return the parts of gates that have blocks of their own: names in a string for each gate."""
    return {gate: [(name, slice(None)) for name in text.split()] for gate, text in names.items()}


# Form 1 and form 10: a function of a dictionary, ids and the initial state.


def natural(function: str, cell: str = "rnn"):
    """Return the maker of problems for a natural function of a cell."""
    count = {"rnn": 1, "lstm": 4, "gru": 3}[cell]

    def make(rng, T, _N):
        H, K = HIDDEN, VOCABULARY
        shapes = {"U": (count * H, K), "W": (count * H, H), "b": (count * H,)}
        if cell == "gru":
            shapes["d"] = (H,)
        blocks = weights(rng, **shapes, V=(K, H), c=(K,))
        x, y = ids(rng, T), ids(rng, T)
        initial = rng.normal(0, 0.7, H), rng.normal(0, 0.7, H)

        def start(namespace, blocks):
            state = (initial[0].copy(), initial[1].copy()) if cell == "lstm" else initial[0].copy()
            return lambda: namespace[function](blocks, list(x), list(y), state)

        gates = {}
        if cell != "rnn":
            gates = stacked({"lstm": "ifgo", "gru": "rzn"}[cell], ["U", "W", "b"], 0)
        if cell == "gru":
            gates["n"].append(("d", slice(None)))
        return Problem(blocks, start, gates)

    return make


# Form 2: one-hot columns and an object or a dictionary.


def onehot_columns(function: str, holder: str):
    """Return the maker for a function of one-hot matrices; `holder`: class, dict or dataclass."""

    def make(rng, T, _N):
        H, K = HIDDEN, VOCABULARY
        blocks = weights(rng, U=(H, K), W=(H, H), V=(K, H), b=(H, 1), c=(K, 1))
        X, Y = onehot(ids(rng, T)).T, onehot(ids(rng, T)).T
        h0 = rng.normal(0, 0.7, (H, 1))

        def start(namespace, blocks):
            if holder == "class":
                net = namespace["RNN"](H, K)
                vars(net).update(blocks)
            elif holder == "dataclass":
                net = namespace["Params"](**blocks)
            else:
                net = blocks
            x, y, h = X.copy(), Y.copy(), h0.copy()

            def call():
                loss, grads = namespace[function](net, x, y, h)
                found = grads if holder == "dict" else vars(grads)
                return loss, {name: found[name] for name in blocks}

            return call

        return Problem(blocks, start)

    return make


# Form 3: a script's lossFun, whose parameters are global variables.


def script(orientation: str):
    """Return the maker for lossFun; `orientation` of vectors: column, flat or row."""

    def make(rng, T, _N):
        H, K = HIDDEN, VOCABULARY
        bias = {"column": lambda n: (n, 1), "flat": lambda n: (n,), "row": lambda n: (1, n)}
        shapes = {"Wxh": (H, K), "Whh": (H, H), "Why": (K, H)}
        if orientation == "row":
            shapes = {name: shape[::-1] for name, shape in shapes.items()}
        shapes |= {"bh": bias[orientation](H), "by": bias[orientation](K)}
        blocks = prefixed(weights(rng, **shapes))
        x, y = ids(rng, T).tolist(), ids(rng, T).tolist()
        h0 = rng.normal(0, 0.7, bias[orientation](H))

        def start(namespace, blocks):
            namespace |= unprefixed(blocks) | {"hidden_size": H, "vocab_size": K, "seq_length": T}
            namespace |= {"V": K, "H": H, "T": T, "learning_rate": 0.1, "lr": 0.1}
            h = h0.copy()

            def call():
                loss, *grads, _ = namespace["lossFun"](x, y, h)
                return loss, dict(zip(["dWxh", "dWhh", "dWhy", "dbh", "dby"], grads, strict=True))

            return call

        return Problem(blocks, start)

    return make


# Forms 4 and 5: layers over (N, T, D), alone or with an output layer.


def layers(prefix: str, count: int):
    """Return the maker for rnn_forward/rnn_backward or the LSTM's; the loss is a random sum of h."""

    def make(rng, T, N):
        H, D = HIDDEN, 5
        blocks = weights(rng, dWx=(D, count * H), dWh=(H, count * H), db=(count * H,))
        blocks |= {"dx": rng.normal(size=(N, T, D)), "dh0": rng.normal(0, 0.7, (N, H))}
        upstream = rng.normal(size=(N, T, H))

        def start(namespace, blocks):
            dh = upstream.copy()

            def call():
                order = [blocks[name] for name in ("dx", "dh0", "dWx", "dWh", "db")]
                h, cache = namespace[f"{prefix}_forward"](*order)
                loss = float((h * upstream).sum())
                grads = namespace[f"{prefix}_backward"](dh, cache)
                return loss, dict(zip(("dx", "dh0", "dWx", "dWh", "db"), grads, strict=True))

            return call

        gates = stacked("ifog", ["dWx", "dWh", "db"], 1) if count == 4 else {}
        return Problem(blocks, start, gates)

    return make


def layers_with_loss(function: str, count: int, output: str):
    """Return the maker for a loss over layers; `output` is the suffix of the output layer's names."""

    def make(rng, T, N):
        H, K = HIDDEN, VOCABULARY
        shapes = {"Wx": (K, count * H), "Wh": (H, count * H), "b": (count * H,)}
        shapes |= {f"W_{output}": (H, K), f"b_{output}": (K,)}
        blocks = weights(rng, **shapes) | {"h0": rng.normal(0, 0.7, (N, H))}
        x, y = onehot(ids(rng, N, T)), ids(rng, N, T)

        def start(namespace, blocks):
            return lambda: namespace[function](blocks, x.copy(), y.copy(), blocks["h0"])

        gates = stacked("ifog", ["Wx", "Wh", "b"], 1) if count == 4 else {}
        return Problem(blocks, start, gates)

    return make


# Form 6: classes.


def class_rnn_a(rng, T, N):
    """A class with params and loss, over a batch."""
    H, K = HIDDEN, VOCABULARY
    blocks = weights(rng, Wxh=(H, K), Whh=(H, H), bh=(H,), Why=(K, H), by=(K,))
    x, y, h0 = ids(rng, N, T), ids(rng, N, T), rng.normal(0, 0.7, (N, H))

    def start(namespace, blocks):
        net = namespace["CharRNN"](K, H)
        net.params = blocks
        h = h0.copy()
        return lambda: net.loss(x, y, h)

    return Problem(blocks, start)


def class_rnn_b(rng, T, _N):
    """A class with attributes, calculate_loss and bptt."""
    H, K = HIDDEN, VOCABULARY
    blocks = prefixed_dl(weights(rng, U=(H, K), V=(K, H), W=(H, H), b=(H,), c=(K,)))
    x, y, s0 = ids(rng, T), ids(rng, T), rng.normal(0, 0.7, H)

    def start(namespace, blocks):
        net = namespace["RNN"](K, H)
        vars(net).update({name[3:]: value for name, value in blocks.items()}, s0=s0.copy())

        def call():
            loss = net.calculate_loss(x, y)
            return loss, dict(zip(blocks, net.bptt(x, y), strict=True))

        return call

    return Problem(blocks, start)


def prefixed_dl(values: Blocks) -> Blocks:
    """Return the arrays with `dLd` before their names."""
    return {f"dLd{name}": value for name, value in values.items()}


def class_lstm(rng, T, _N):
    """A class with forward and backward, over one sequence."""
    H, K = HIDDEN, VOCABULARY
    gates = "figo"
    shapes = {f"W{gate}": (H, H + K) for gate in gates} | {f"b{gate}": (H, 1) for gate in gates}
    blocks = weights(rng, **shapes, Wv=(K, H), bv=(K, 1))
    x, y = ids(rng, T).tolist(), ids(rng, T).tolist()
    h0, c0 = rng.normal(0, 0.7, (2, H, 1))

    def start(namespace, blocks):
        net = namespace["LSTM"](K, H)
        vars(net).update(blocks)
        h, c = h0.copy(), c0.copy()

        def call():
            loss = net.forward(x, y, h, c)
            return loss, {name: value.copy() for name, value in net.backward().items()}

        return call

    return Problem(blocks, start, separate({g: f"W{g} b{g}" for g in gates}))


def class_gru(rng, T, N):
    """A class with forward and backward, over a batch."""
    H, K = HIDDEN, VOCABULARY
    shapes = {}
    for gate in "zrh":
        shapes |= {f"W{gate}": (K, H), f"U{gate}": (H, H), f"b{gate}": (H,)}
    blocks = prefixed(weights(rng, **shapes, V=(H, K), c=(K,)))
    x, y, h0 = ids(rng, T, N), ids(rng, T, N), rng.normal(0, 0.7, (N, H))

    def start(namespace, blocks):
        net = namespace["GRU"](K, H)
        vars(net).update(unprefixed(blocks))
        h = h0.copy()

        def call():
            loss = net.forward(x, y, h)
            grads = net.backward()
            return loss, {name: grads[name].copy() for name in blocks}

        return call

    gates = separate({"z": "dWz dUz dbz", "r": "dWr dUr dbr", "n": "dWh dUh dbh"})
    return Problem(blocks, start, gates)


# Form 7: dictionaries of the deep-learning course.


def course_dicts(bias: str, batched: bool = False, single: str | None = None):
    """Return the maker for rnn_forward and rnn_backward over dictionaries."""

    def make(rng, T, N):
        H, K = HIDDEN, VOCABULARY
        shapes = {"Wax": (H, K), "Waa": (H, H), "Wya": (K, H), bias: (H, 1), "by": (K, 1)}
        blocks = prefixed(weights(rng, **shapes))
        size = (N, T) if batched else (T,)
        x, y = ids(rng, *size), ids(rng, *size)
        a0 = rng.normal(0, 0.7, (H, N if batched else 1))
        if batched:
            blocks["da0"] = a0
        else:
            x, y = x.tolist(), y.tolist()

        def start(namespace, blocks):
            parameters = unprefixed({n: v for n, v in blocks.items() if n != "da0"})
            initial = blocks.get("da0", a0.copy())

            def call():
                if single:
                    loss, grads, _ = namespace[single](x, y, initial, parameters, K)
                else:
                    loss, cache = namespace["rnn_forward"](x, y, initial, parameters, K)
                    grads = namespace["rnn_backward"](x, y, parameters, cache)
                    grads = grads[0] if isinstance(grads, tuple) else grads
                return loss, {name: grads[name] for name in blocks}

            return call

        return Problem(blocks, start)

    return make


# Form 8: LSTM of four matrices.


def lstm4_a(rng, T, _N):
    """Dictionary with W_f, W_i, W_c, W_o over [h, x], columns."""
    H, K = HIDDEN, VOCABULARY
    shapes = {f"W_{g}": (H, H + K) for g in "fico"} | {f"b_{g}": (H, 1) for g in "fico"}
    blocks = weights(rng, **shapes, W_v=(K, H), b_v=(K, 1))
    x, y = ids(rng, T).tolist(), ids(rng, T).tolist()
    h0, c0 = rng.normal(0, 0.7, (2, H, 1))

    def start(namespace, blocks):
        h, c = h0.copy(), c0.copy()
        return lambda: namespace["lstm_loss"](blocks, x, y, h, c)

    names = {"f": "W_f b_f", "i": "W_i b_i", "g": "W_c b_c", "o": "W_o b_o"}
    return Problem(blocks, start, separate(names))


def lstm4_b(rng, T, _N):
    """Dictionary with Wf, Wi, Wc, Wo over [x, h], rows."""
    H, K = HIDDEN, VOCABULARY
    shapes = {f"W{g}": (K + H, H) for g in "fico"} | {f"b{g}": (1, H) for g in "fico"}
    blocks = weights(rng, **shapes, Wy=(H, K), by=(1, K))
    x, y = ids(rng, T).tolist(), ids(rng, T).tolist()
    h0, c0 = rng.normal(0, 0.7, (2, 1, H))

    def start(namespace, blocks):
        state = h0.copy(), c0.copy()
        return lambda: namespace["train_step"](blocks, x, y, state)

    names = {"f": "Wf bf", "i": "Wi bi", "g": "Wc bc", "o": "Wo bo"}
    return Problem(blocks, start, separate(names))


def lstm4_c(rng, T, N):
    """Object with Wf, Wi, Wc, Wo over [h, x], a column for each example of the batch."""
    H, K = HIDDEN, VOCABULARY
    shapes = {f"W{g}": (H, H + K) for g in "fico"} | {f"b{g}": (H, 1) for g in "fico"}
    blocks = weights(rng, **shapes, Why=(K, H), by=(K, 1))
    x, y = ids(rng, T, N), ids(rng, T, N)
    h0, c0 = rng.normal(0, 0.7, (2, H, N))

    def start(namespace, blocks):
        net = namespace["Parameters"](H, K, np.random.default_rng(0))
        vars(net).update(blocks)
        h, c = h0.copy(), c0.copy()
        return lambda: namespace["forward_backward"](net, x, y, h, c)

    names = {"f": "Wf bf", "i": "Wi bi", "g": "Wc bc", "o": "Wo bo"}
    return Problem(blocks, start, separate(names))


# Form 9: GRU of three matrices, or of separate ones.


def gru3_a(rng, T, _N):
    """Dictionary with Wz, Wr, Wh over [h, x]."""
    H, K = HIDDEN, VOCABULARY
    shapes = {f"W{g}": (H, H + K) for g in "zrh"} | {f"b{g}": (H, 1) for g in "zrh"}
    blocks = weights(rng, **shapes, Wy=(K, H), by=(K, 1))
    x, y, h0 = ids(rng, T).tolist(), ids(rng, T).tolist(), rng.normal(0, 0.7, (H, 1))

    def start(namespace, blocks):
        h = h0.copy()
        return lambda: namespace["gru_forward_backward"](blocks, x, y, h)

    return Problem(blocks, start, separate({"z": "Wz bz", "r": "Wr br", "n": "Wh bh"}))


def gru_separate(function: str, output=("V", "c"), torch_tensors: bool = False):
    """Return the maker for a GRU with W, U and b for each of the gates z, r, n, flat vectors."""

    def make(rng, T, _N):
        H, K = HIDDEN, VOCABULARY
        shapes = {}
        for gate in "zrn":
            shapes |= {f"W{gate}": (H, K), f"U{gate}": (H, H), f"b{gate}": (H,)}
        blocks = weights(rng, **shapes, **{output[0]: (K, H), output[1]: (K,)})
        x, y, h0 = ids(rng, T).tolist(), ids(rng, T).tolist(), rng.normal(0, 0.7, H)

        def start(namespace, blocks):
            h = h0.copy()
            if torch_tensors:
                h, tensors = tensor(h), {name: tensor(v) for name, v in blocks.items()}
                return lambda: as_numpy(namespace[function](tensors, x, y, h))
            return lambda: namespace[function](blocks, x, y, h)

        gates = separate({gate: f"W{gate} U{gate} b{gate}" for gate in "zrn"})
        return Problem(blocks, start, gates)

    return make


def gru3_c(rng, T, N):
    """A batch, rows, and the reset gate after the product."""
    H, K = HIDDEN, VOCABULARY
    shapes = {}
    for gate in "rzn":
        shapes |= {f"W{gate}": (K, H), f"U{gate}": (H, H), f"b{gate}": (H,)}
    blocks = weights(rng, **shapes, dn=(H,), Wo=(H, K), bo=(K,))
    x, y, h0 = ids(rng, N, T), ids(rng, N, T), rng.normal(0, 0.7, (N, H))

    def start(namespace, blocks):
        h = h0.copy()
        return lambda: namespace["gru_loss_and_grads"](blocks, x, y, h)

    names = {"r": "Wr Ur br", "z": "Wz Uz bz", "n": "Wn Un bn dn"}
    return Problem(blocks, start, separate(names))


# Form 11: separate arguments.


def separate_arguments(function: str, columns: bool):
    """Return the maker for f(inputs, targets, hprev, Wxh, Whh, Why, bh, by)."""

    def make(rng, T, _N):
        H, K = HIDDEN, VOCABULARY
        tail = (1,) if columns else ()
        shapes = {"Wxh": (H, K), "Whh": (H, H), "Why": (K, H), "bh": (H, *tail), "by": (K, *tail)}
        blocks = prefixed(weights(rng, **shapes))
        x, y, h0 = ids(rng, T).tolist(), ids(rng, T).tolist(), rng.normal(0, 0.7, (H, *tail))

        def start(namespace, blocks):
            h = h0.copy()

            def call():
                loss, *grads, _ = namespace[function](x, y, h, *blocks.values())
                grads = grads[0] if len(grads) == 1 else grads
                return loss, dict(zip(blocks, grads, strict=True))

            return call

        return Problem(blocks, start)

    return make


def separate_lstm(rng, T, _N):
    """f(inputs, targets, hprev, cprev, Wx, Wh, b, Why, by) with gates f, i, o, g."""
    H, K = HIDDEN, VOCABULARY
    shapes = {"Wx": (4 * H, K), "Wh": (4 * H, H), "b": (4 * H,), "Why": (K, H), "by": (K,)}
    blocks = prefixed(weights(rng, **shapes))
    x, y = ids(rng, T).tolist(), ids(rng, T).tolist()
    h0, c0 = rng.normal(0, 0.7, (2, H))

    def start(namespace, blocks):
        h, c = h0.copy(), c0.copy()

        def call():
            loss, *grads = namespace["loss_and_grads"](x, y, h, c, *blocks.values())
            return loss, dict(zip(blocks, grads, strict=True))

        return call

    return Problem(blocks, start, stacked("fiog", ["dWx", "dWh", "db"], 0))


# Form 12: PyTorch.


def tensor(array):
    """Return an array as a tensor that shares no memory with it."""
    import torch

    return torch.tensor(np.asarray(array))


def as_numpy(result) -> tuple[float, Blocks]:
    """Return a loss and gradients of PyTorch in NumPy; a missing gradient becomes an empty array."""
    loss, grads = result
    found = {
        name: np.empty(0) if grad is None else grad.detach().numpy().copy()
        for name, grad in grads.items()
    }
    return float(loss), found


def torch_a(rng, T, _N):
    """Autograd over a dictionary of tensors."""
    H, K = HIDDEN, VOCABULARY
    blocks = weights(rng, U=(H, K), W=(H, H), b=(H,), V=(K, H), c=(K,))
    x, y, h0 = ids(rng, T).tolist(), ids(rng, T).tolist(), rng.normal(0, 0.7, H)

    def start(namespace, blocks):
        tensors, h = {name: tensor(v) for name, v in blocks.items()}, tensor(h0)
        return lambda: as_numpy(namespace["rnn_loss"](tensors, x, y, h))

    return Problem(blocks, start)


def torch_c(rng, T, N):
    """A backward pass by hand in tensors, over a batch."""
    H, K = HIDDEN, VOCABULARY
    blocks = weights(rng, Wxh=(K, H), Whh=(H, H), bh=(H,), Why=(H, K), by=(K,))
    x, y, h0 = ids(rng, T, N), ids(rng, T, N), rng.normal(0, 0.7, (N, H))

    def start(namespace, blocks):
        tensors, h = {name: tensor(v) for name, v in blocks.items()}, tensor(h0)
        inputs, targets = tensor(x), tensor(y)
        return lambda: as_numpy(namespace["manual_rnn"](tensors, inputs, targets, h))

    return Problem(blocks, start)


def module(shapes: dict, gates: dict, build: Callable, call: Callable, states: int, hot: bool):
    """Return the maker for an nn.Module: `build(namespace)`, then `call(namespace, model, x, y, h)`."""

    def make(rng, T, N):
        import torch

        blocks = weights(rng, **{n.replace(".", "__"): shape for n, shape in shapes.items()})
        blocks = {name.replace("__", "."): value for name, value in blocks.items()}
        x, y = ids(rng, N, T), ids(rng, N, T)
        initial = rng.normal(0, 0.7, (states, N, HIDDEN))

        def start(namespace, blocks):
            model = build(namespace).double()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter.copy_(tensor(blocks[name]))
            inputs, targets = tensor(onehot(x) if hot else x), tensor(y)
            state = tuple(tensor(s) for s in initial)
            state = state if states > 1 else state[0]
            return lambda: as_numpy(call(namespace, model, inputs, targets, state))

        return Problem(blocks, start, gates)

    return make


def torch_b():
    """Return the maker for the module with nn.RNNCell."""
    H, K = HIDDEN, VOCABULARY
    shapes = {"cell.weight_ih": (H, K), "cell.weight_hh": (H, H), "cell.bias_ih": (H,)}
    shapes |= {"cell.bias_hh": (H,), "out.weight": (K, H), "out.bias": (K,)}
    return module(
        shapes, {},
        lambda space: space["CharModel"](K, H),
        lambda space, model, *rest: space["loss_and_grads"](model, *rest),
        1, hot=False,
    )  # fmt: skip


def torch_lstm():
    """Return the maker for the module with an LSTM of linear maps."""
    H, K = HIDDEN, VOCABULARY
    shapes = {"x2h.weight": (4 * H, K), "x2h.bias": (4 * H,), "h2h.weight": (4 * H, H)}
    shapes |= {"decoder.weight": (K, H), "decoder.bias": (K,)}
    return module(
        shapes, stacked("ifgo", ["x2h.weight", "x2h.bias", "h2h.weight"], 0),
        lambda space: space["LSTMModel"](K, H),
        lambda space, model, *rest: space["gradients"](model, *rest),
        2, hot=True,
    )  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A base program: its form, cell and entry point, and the maker of its problems.

    `function` is None if the program is used through several functions. `batched`: it takes a
    batch. `clip`: it clips its gradients to this bound.
    """

    form: int
    cell: str
    function: str | None
    make: Callable[..., Problem]
    batched: bool = False
    clip: float | None = None
    compiled: Callable = whole


BASES = {
    "natural_a": Base(1, "rnn", "rnn_loss", natural("rnn_loss")),
    "natural_b": Base(1, "rnn", "loss_and_grads", natural("loss_and_grads")),
    "natural_c": Base(1, "rnn", "bptt", natural("bptt")),
    "onehot_a": Base(2, "rnn", None, onehot_columns("compute_gradients", "class")),
    "onehot_b": Base(2, "rnn", None, onehot_columns("compute_grads", "dict")),
    "onehot_c": Base(2, "rnn", None, onehot_columns("loss_and_gradients", "dataclass")),
    "script_a": Base(3, "rnn", "lossFun", script("column"), clip=5.0, compiled=definitions),
    "script_b": Base(3, "rnn", "lossFun", script("flat"), clip=5.0, compiled=definitions),
    "script_c": Base(3, "rnn", "lossFun", script("row"), clip=5.0, compiled=definitions),
    "layers_rnn_a": Base(4, "rnn", None, layers("rnn", 1), batched=True),
    "layers_rnn_b": Base(4, "rnn", None, layers_with_loss("rnn_loss", 1, "vocab"), batched=True),
    "layers_rnn_c": Base(4, "rnn", None, layers("rnn", 1), batched=True),
    "layers_lstm_a": Base(5, "lstm", None, layers("lstm", 4), batched=True),
    "layers_lstm_b": Base(5, "lstm", None, layers_with_loss("char_lstm_loss", 4, "out"), batched=True),
    "layers_lstm_c": Base(5, "lstm", None, layers("lstm", 4), batched=True),
    "class_rnn_a": Base(6, "rnn", "CharRNN", class_rnn_a, batched=True),
    "class_rnn_b": Base(6, "rnn", "RNN", class_rnn_b),
    "class_lstm": Base(6, "lstm", "LSTM", class_lstm),
    "class_gru": Base(6, "gru", "GRU", class_gru, batched=True),
    "dicts_a": Base(7, "rnn", None, course_dicts("b")),
    "dicts_b": Base(7, "rnn", None, course_dicts("ba", batched=True), batched=True),
    "dicts_c": Base(7, "rnn", None, course_dicts("b", single="optimize")),
    "lstm4_a": Base(8, "lstm", "lstm_loss", lstm4_a),
    "lstm4_b": Base(8, "lstm", "train_step", lstm4_b),
    "lstm4_c": Base(8, "lstm", "forward_backward", lstm4_c, batched=True),
    "gru3_a": Base(9, "gru", "gru_forward_backward", gru3_a),
    "gru3_b": Base(9, "gru", "gru_loss", gru_separate("gru_loss")),
    "gru3_c": Base(9, "gru", "gru_loss_and_grads", gru3_c, batched=True),
    "natural_lstm_a": Base(10, "lstm", "lstm_loss", natural("lstm_loss", "lstm")),
    "natural_lstm_b": Base(10, "lstm", "loss_grad", natural("loss_grad", "lstm")),
    "natural_gru_a": Base(10, "gru", "gru_loss", natural("gru_loss", "gru")),
    "separate_a": Base(11, "rnn", "loss_fun", separate_arguments("loss_fun", columns=True)),
    "separate_b": Base(11, "rnn", "sequence_loss", separate_arguments("sequence_loss", columns=False)),
    "separate_c": Base(11, "lstm", "loss_and_grads", separate_lstm),
    "torch_a": Base(12, "rnn", "rnn_loss", torch_a),
    "torch_b": Base(12, "rnn", "loss_and_grads", torch_b(), batched=True),
    "torch_c": Base(12, "rnn", "manual_rnn", torch_c, batched=True),
    "torch_lstm": Base(12, "lstm", "gradients", torch_lstm(), batched=True),
    "torch_gru": Base(
        12, "gru", "gru_loss_by_hand",
        gru_separate("gru_loss_by_hand", ("Wy", "by"), torch_tensors=True),
    ),
}  # fmt: skip
