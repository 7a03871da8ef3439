"""The programs: for each its layout, its network and the lines that call it."""

import numpy as np

from .bases import (
    Base,
    H,
    K,
    Problem,
    columns_too,
    joint,
    over,
    renamed,
    split,
    stacked,
)
from .oracle import Network

RNN, LSTM, GRU = Network("rnn"), Network("lstm"), Network("gru")
BEFORE = Network("gru", reset="before")
BASES: dict[str, Base] = {}


def add(name, form, network, function, layout, **options):
    """Register the decorated function as the one that starts a program."""

    def register(start):
        BASES[name] = Base(name, form, network, function, layout, start, **options)
        return start

    return register


def prefixed(grads: dict, names) -> dict:
    """Return the gradients `dW` under the names `W`."""
    return {name: grads["d" + name] for name in names if "d" + name in grads}


CHARS = {"Wxh": "U0", "Whh": "W0", "Why": "V", "bh": "b0|", "by": "c|"}


@add("globals_rnn", 1, RNN, "lossFun", renamed(**CHARS), clip=5.0)
def globals_rnn(ns, B, p):
    ns.update(B, hidden_size=H, vocab_size=K)
    h = p.column("h0")

    def call():
        out = ns["lossFun"](p.x1, p.y1, h)
        return out[0], dict(zip(B, out[1 : 1 + len(B)], strict=True))

    return call


LSTM_GLOBALS = ["Wxi", "Whi", "bi", "Wxf", "Whf", "bf", "Wxo", "Who", "bo"]
LSTM_GLOBALS += ["Wxc", "Whc", "bc", "Why", "by"]


@add(
    "globals_lstm", 1, LSTM, "lossFun",
    columns_too(split("Wx", "Wh", "b", "ifco", (0, 1, 2, 3), renamed(Why="V", by="c"))),
)  # fmt: skip
def globals_lstm(ns, B, p):
    ns.update(B, hidden_size=H, vocab_size=K)
    h, c = p.column("h0"), p.column("s0")

    def call():
        out = ns["lossFun"](p.x1, p.y1, h, c)
        return out[0], dict(zip(LSTM_GLOBALS, out[1], strict=True))

    return call


def scored(hidden: np.ndarray, p: Problem) -> tuple[float, np.ndarray]:
    """Return the loss of hidden states (N, T, H) under the problem's V and c, and its gradient."""
    o = hidden @ p.C["V"].T + p.C["c"]
    e = np.exp(o)
    probabilities = e / e.sum(axis=2, keepdims=True)
    onehot = np.eye(K)[p.y]
    loss = -np.log((probabilities * onehot).sum(axis=2)).sum()
    return loss, (probabilities - onehot) @ p.C["V"]


def layers_layout(C):
    return {
        "x": C["x"],
        "h0": C["h0"][0],
        "Wx": C["U0"].T,
        "Wh": C["W0"].T,
        "b": C["b0"],
    }


@add("layers_rnn", 2, RNN, None, layers_layout, batched=True)
def layers_rnn(ns, B, p):
    def call():
        hidden, cache = ns["rnn_forward"](B["x"], B["h0"], B["Wx"], B["Wh"], B["b"])
        loss, dh = scored(hidden, p)
        return loss, dict(zip(B, ns["rnn_backward"](dh, cache), strict=True))

    return call


PLAIN = {"U": "U0", "W": "W0", "b": "b0", "V": "V", "c": "c"}


@add("layers_lm", 2, RNN, "language_model_loss", renamed(**PLAIN))
def layers_lm(ns, B, p):
    h = p.state("h0")
    return lambda: ns["language_model_loss"](B, p.x1, p.y1, h)[:2]


def dict_layout(C):
    arrays = renamed(Wax="U0", Waa="W0", Wya="V", b="b0|", by="c|")(C)
    return arrays | {"a0": C["h0"][0].T}


@add("dict_rnn", 3, RNN, None, dict_layout)
def dict_rnn(ns, B, p):
    parameters = {k: v for k, v in B.items() if k != "a0"}

    def call():
        loss, cache = ns["rnn_forward"](p.x1, p.y1, B["a0"], parameters)
        gradients, _ = ns["rnn_backward"](p.x1, p.y1, parameters, cache)
        return loss, prefixed(gradients, parameters) | {"a0": gradients["da_next"]}

    return call


def dict_lstm_layout(C):
    arrays = columns_too(joint({"f": 1, "i": 0, "c": 2, "o": 3}, "W", "b", "hx", renamed()))(C)
    return arrays | {"a0": C["h0"][0].T, "x": np.transpose(C["x"], (2, 0, 1))}


@add("dict_lstm", 3, LSTM, None, dict_lstm_layout, batched=True, states=("h0",))
def dict_lstm(ns, B, p):
    parameters = {k: v for k, v in B.items() if k not in ("a0", "x")}
    parameters |= {"Wy": p.C["V"], "by": p.C["c"][:, None]}

    def call():
        a, _, _, caches = ns["lstm_forward"](B["x"], B["a0"], parameters)
        loss, dh = scored(np.transpose(a, (1, 2, 0)), p)
        gradients = ns["lstm_backward"](np.transpose(dh, (2, 0, 1)), caches)
        return loss, prefixed(gradients, B)

    return call


@add("class_rnn", 4, RNN, "CharRNN", renamed(Wx="U0", Wh="W0", bh="b0", Wy="V", by="c"))
def class_rnn(ns, B, p):
    model = ns["CharRNN"](K, H)
    model.params = B
    h = p.state("h0")
    return lambda: model.loss(p.x1, p.y1, h)[:2]


TAIL = renamed(Wy="V", by="c")
OUT = renamed(Wo="V", bo="c")


@add("class_gru", 4, BEFORE, "GRU", split("W", "U", "b", "rzn", (0, 1, 2), TAIL))
def class_gru(ns, B, p):
    model = ns["GRU"](K, H)
    vars(model).update(B)
    h = p.state("h0")
    return lambda: (model.forward(p.x1, p.y1, h), model.backward())


FOUR = joint({"f": 1, "i": 0, "c": 2, "o": 3}, "W", "b", "hx", TAIL)


@add("lstm_hx", 5, LSTM, "lstm_loss", FOUR)
def lstm_hx(ns, B, p):
    h, c = p.state("h0"), p.state("s0")
    return lambda: ns["lstm_loss"](B, p.x1, p.y1, h, c)[:2]


STEPWISE = joint({"f": 1, "i": 0, "C": 2, "o": 3}, "W_", "b_", "hx", renamed(W_v="V", b_v="c"))


@add("lstm_hx_steps", 5, LSTM, "forward_backward", columns_too(STEPWISE), clip=5.0)
def lstm_hx_steps(ns, B, p):
    h, c = p.column("h0"), p.column("s0")
    return lambda: ns["forward_backward"](p.x1, p.y1, h, c, B)[:2]


def lstm_xh_layout(C):
    arrays = joint({"f": 1, "i": 0, "g": 2, "o": 3}, "W", "b", "xh", TAIL)(C)
    return {k: v.T for k, v in arrays.items()}


@add("lstm_xh", 6, LSTM, "loss_and_grad", lstm_xh_layout)
def lstm_xh(ns, B, p):
    h, c = p.state("h0"), p.state("s0")
    return lambda: ns["loss_and_grad"](B, p.x1, p.y1, h, c)


XH = joint(
    {"forget": 1, "input": 0, "cand": 2, "output": 3}, "w_", "b_", "xh", renamed(w_y="V", b_y="c")
)


@add("lstm_xh_class", 6, LSTM, "LSTM", columns_too(XH))
def lstm_xh_class(ns, B, p):
    model = ns["LSTM"](K, H)
    vars(model).update(B)
    h, c = p.column("h0"), p.column("s0")
    return lambda: model.loss_and_gradients(p.x1, p.y1, h, c)[:2]


@add("lstm_rows", 7, LSTM, "loss_grad", renamed(**PLAIN))
def lstm_rows(ns, B, p):
    h, s = p.state("h0"), p.state("s0")
    return lambda: ns["loss_grad"](B, p.x1, p.y1, h, s)


def joint_rows_layout(C):
    order = (1, 0, 3, 2)
    return {
        "Wg": np.concatenate([over(C, index, "hx") for index in order]),
        "bg": stacked(C, "b0", order)[:, None],
        "Wy": C["V"],
        "by": C["c"][:, None],
    }


@add("lstm_rows_joint", 7, LSTM, "lossFun", joint_rows_layout)
def lstm_rows_joint(ns, B, p):
    h, c = p.column("h0"), p.column("s0")

    def call():
        out = ns["lossFun"](p.x1, p.y1, h, c, *B.values())
        return out[0], dict(zip(B, out[1 : 1 + len(B)], strict=True))

    return call


IFOG = (0, 1, 3, 2)


def columns_layout(C):
    return {
        "x": C["x"],
        "h0": C["h0"][0],
        "Wx": stacked(C, "U0", IFOG).T,
        "Wh": stacked(C, "W0", IFOG).T,
        "b": stacked(C, "b0", IFOG),
    }


@add("lstm_columns", 8, LSTM, None, columns_layout, batched=True, states=("h0",))
def lstm_columns(ns, B, p):
    def call():
        hidden, cache = ns["lstm_forward"](B["x"], B["h0"], B["Wx"], B["Wh"], B["b"])
        loss, dh = scored(hidden, p)
        return loss, dict(zip(B, ns["lstm_backward"](dh, cache), strict=True))

    return call


ROWWISE = renamed(Wx="U0^", Wh="W0^", b="b0", Wy="V^", by="c")


@add("lstm_columns_lm", 8, LSTM, "lm_step", ROWWISE)
def lstm_columns_lm(ns, B, p):
    state = (p.state("h0"), p.state("s0"))
    return lambda: ns["lm_step"](B, p.x1, p.y1, state)[:2]


@add("gru_three", 9, BEFORE, "gru_loss", columns_too(split("W", "U", "b", "rzh", (0, 1, 2), TAIL)))
def gru_three(ns, B, p):
    h = p.column("h0")
    return lambda: ns["gru_loss"](B, p.x1, p.y1, h)[:2]


SWAPPED = Network("gru", reset="before", swapped=True)
CONCAT = joint({"r": 0, "z": 1, "h": 2}, "W_", "b_", "hx", renamed(W_o="V", b_o="c"))


@add("gru_concat", 9, SWAPPED, "gru_fb", CONCAT)
def gru_concat(ns, B, p):
    h = p.state("h0")

    def call():
        out = ns["gru_fb"](p.x1, p.y1, h, **B)
        names = ("W_r", "b_r", "W_z", "b_z", "W_h", "b_h", "W_o", "b_o")
        return out[0], dict(zip(names, out[1:9], strict=True))

    return call


@add("gru_rows", 10, GRU, "gru_loss_and_grads", renamed(**PLAIN, d="d0"), absent=())
def gru_rows(ns, B, p):
    h = p.state("h0")
    return lambda: ns["gru_loss_and_grads"](B, p.x1, p.y1, h)[:2]


def gru_columns_layout(C):
    order = (1, 0, 2)
    return {
        "Wx": stacked(C, "U0", order).T,
        "Wh": stacked(C, "W0", order).T,
        "b": stacked(C, "b0", order),
        "Wy": C["V"].T,
        "by": C["c"],
    }


BEFORE_MEAN = Network("gru", reset="before", divide="N")


@add("gru_columns", 10, BEFORE_MEAN, "loss_and_grads", gru_columns_layout, batched=True)
def gru_columns(ns, B, p):
    h = p.C["h0"][0].copy()
    return lambda: ns["loss_and_grads"](B, p.ids, p.y, h)[:2]


@add("steps_rnn", 11, RNN, "run", renamed(**CHARS))
def steps_rnn(ns, B, p):
    h = p.column("h0")
    return lambda: ns["run"](B, p.x1, p.y1, h)[:2]


@add("steps_gru", 11, GRU, "gru_loss", split("W", "U", "b", "rzn", (0, 1, 2), TAIL))
def steps_gru(ns, B, p):
    h = p.state("h0")
    return lambda: ns["gru_loss"](B, p.x1, p.y1, h)[:2]


@add(
    "batch_rnn", 12, Network("rnn", divide="NT"), "rnn_lm",
    renamed(Wxh="U0^", Whh="W0^", bh="b0", Why="V^", by="c"), batched=True,
)  # fmt: skip
def batch_rnn(ns, B, p):
    h = p.C["h0"][0].copy()
    return lambda: ns["rnn_lm"](B, p.ids, p.y, h)[:2]


@add(
    "batch_lstm", 12, Network("lstm", divide="N"), "loss_and_grads",
    renamed(W_in="U0", W_rec="W0", b_rec="b0", W_out="V", b_out="c"), batched=True,
)  # fmt: skip
def batch_lstm(ns, B, p):
    h, c = p.C["h0"][0].copy(), p.C["s0"][0].copy()
    return lambda: ns["loss_and_grads"](B, p.ids, p.y, h, c)


TWO = {
    "Wx1": "U0",
    "Wh1": "W0",
    "b1": "b0",
    "Wx2": "U1",
    "Wh2": "W1",
    "b2": "b1",
    "Wy": "V",
    "by": "c",
}


@add("two_rnn", 13, Network("rnn", layers=2), "two_layer_loss", renamed(**TWO))
def two_rnn(ns, B, p):
    h1, h2 = p.state("h0"), p.state("h0", 1)
    return lambda: ns["two_layer_loss"](B, p.x1, p.y1, h1, h2)[:2]


DEEP = {"Wx.0": "U0", "Wh.0": "W0", "b.0": "b0", "Wx.1": "U1", "Wh.1": "W1", "b.1": "b1"}


@add("deep_lstm", 13, Network("lstm", layers=2), "deep_lstm", renamed(**DEEP, Wy="V", by="c"))
def deep_lstm(ns, B, p):
    layers = [{k: B[f"{k}.{level}"] for k in ("Wx", "Wh", "b")} for level in (0, 1)]
    hs, cs = [[p.state(name, level) for level in (0, 1)] for name in ("h0", "s0")]

    def call():
        out = ns["deep_lstm"](layers, B["Wy"], B["by"], p.x1, p.y1, hs, cs)
        grads = {f"{k}.{level}": out[1][level][k] for level in (0, 1) for k in layers[0]}
        return out[0], grads | {"Wy": out[2], "by": out[3]}

    return call


@add("lists_rnn", 14, RNN, "rnn_lists", renamed(**PLAIN))
def lists_rnn(ns, B, p):
    h = p.state("h0").tolist()
    arrays = {k: v.tolist() for k, v in B.items()}

    def call():
        out = ns["rnn_lists"](**arrays, xs=p.x1, ys=p.y1, h0=h)
        return out[0], dict(zip(B, out[1 : 1 + len(B)], strict=True))

    return call


@add("lists_gru", 14, BEFORE, "gru", split("W", "U", "b", "rzh", (0, 1, 2), OUT))
def lists_gru(ns, B, p):
    h = p.state("h0").tolist()
    arrays = {k: v.tolist() for k, v in B.items()}
    return lambda: ns["gru"](arrays, p.x1, p.y1, h)[:2]


@add("torch_rnn", 15, RNN, "loss_and_grads", renamed(Wxh="U0", Whh="W0", bh="b0", Why="V", by="c"))
def torch_rnn(ns, B, p):
    h = p.state("h0")
    return lambda: ns["loss_and_grads"](B, p.x1, p.y1, h)[:2]


def module_layout(C):
    return {
        "x2h.weight": C["U0"],
        "h2h.weight": C["W0"],
        "x2h.bias": C["b0"],
        "h2h.bias": np.concatenate([C["b0"][: 2 * H], C["d0"]]),
        "out.weight": C["V"],
        "out.bias": C["c"],
    }


@add("torch_module", 15, GRU, "CharModel", module_layout, absent=())
def torch_module(ns, B, p):
    import torch

    model = ns["CharModel"](K, H).double()
    state = {k: torch.tensor(v) for k, v in B.items()}
    if "x2h.bias" in B:  # both layers have the bias of r and z: the program adds them
        state["x2h.bias"][: 2 * H] -= torch.tensor(p.C["b0"][: 2 * H])
    model.load_state_dict(state)
    x, y, h = (torch.tensor(v) for v in (p.x1, p.y1, p.state("h0")))

    def call():
        loss, grads = ns["loss_and_gradients"](model, x, y, h)
        return loss.item(), {
            k: np.zeros(B[k].shape) if g is None else g.numpy().copy() for k, g in grads.items()
        }

    return call


@add(
    "torch_lstm", 15, LSTM, "compute_gradients_with_torch",
    renamed(W="W0", U="U0", b="b0|", V="V", c="c|"),
)  # fmt: skip
def torch_lstm(ns, B, p):
    h, c = p.column("h0"), p.column("s0")
    X, y = p.C["x"][0].T.copy(), p.y[0]
    return lambda: ns["compute_gradients_with_torch"](X, y, h, c, B)


def jitted(ns, name):
    """Return the compiled function of a program; compile it once."""
    import jax

    if "compiled" not in ns:
        ns["compiled"] = jax.jit(ns[name])
    return ns["compiled"]


@add("jax_rnn", 16, RNN, "loss_and_grad", renamed(Wxh="U0", Whh="W0", bh="b0", Why="V", by="c"))
def jax_rnn(ns, B, p):
    h = p.state("h0")
    return lambda: jitted(ns, "loss_and_grad")(B, p.ids[0], p.y[0], h)


@add(
    "jax_lstm",
    16,
    LSTM,
    "value_and_grad",
    joint({"f": 1, "i": 0, "g": 2, "o": 3}, "W", "b", "hx", TAIL),
)
def jax_lstm(ns, B, p):
    h, c = p.state("h0"), p.state("s0")
    return lambda: jitted(ns, "value_and_grad")(B, p.ids[0], p.y[0], h, c)


@add("torchfn_rnn", 17, RNN, "loss_and_grads", renamed(**PLAIN))
def torchfn_rnn(ns, B, p):
    h = p.state("h0")
    return lambda: ns["loss_and_grads"](B, p.x1, p.y1, h)


@add(
    "torchfn_lstm", 17, LSTM, "lstm_loss",
    renamed(weight_ih="U0", weight_hh="W0", bias="b0", weight_out="V", bias_out="c"),
)  # fmt: skip
def torchfn_lstm(ns, B, p):
    h, c = p.state("h0"), p.state("s0")
    return lambda: ns["lstm_loss"](B, p.x1, p.y1, h, c)


@add("script_rnn", 18, RNN, "fwd_bwd", renamed(W_xh="U0", W_hh="W0", b_h="b0", W_hy="V", b_y="c"))
def script_rnn(ns, B, p):
    ns.update(B)
    h = p.state("h0")

    def call():
        out = ns["fwd_bwd"](p.x1, p.y1, h)
        return out[0], dict(zip(B, out[1 : 1 + len(B)], strict=True))

    return call


@add("script_gru", 18, GRU, "gru_gradients", split("W", "U", "b", "rzh", (0, 1, 2), OUT))
def script_gru(ns, B, p):
    h = p.state("h0")
    return lambda: ns["gru_gradients"](B, p.x1, p.y1, h)


@add(
    "f_rnn", 19, Network("rnn", divide="T"), "f",
    renamed(W_in="U0", W_hid="W0", b_hid="b0", W_out="V", b_out="c"), states=(),
)  # fmt: skip
def f_rnn(ns, B, p):
    return lambda: ns["f"](B, p.x1, p.y1)


def f_lstm_layout(C):
    names = {"Wx": "U0", "Wh": "W0", "b": "b0"}
    return {k: stacked(C, v, IFOG) for k, v in names.items()} | TAIL(C)


@add("f_lstm", 19, LSTM, "f", f_lstm_layout, states=())
def f_lstm(ns, B, p):
    return lambda: ns["f"](B, p.x1, p.y1)
