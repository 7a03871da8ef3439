# Names (dinosaurs, towns, ...) letter by letter. Everything is in dictionaries, as in the course.
import numpy as np


def initialize_parameters(n_a, n_x, n_y):
    np.random.seed(1)
    return {
        "Wax": np.random.randn(n_a, n_x) * 0.01,
        "Waa": np.random.randn(n_a, n_a) * 0.01,
        "Wya": np.random.randn(n_y, n_a) * 0.01,
        "b": np.zeros((n_a, 1)),
        "by": np.zeros((n_y, 1)),
    }


def rnn_forward(X, Y, a0, parameters, vocab_size=27):
    caches = []
    loss = 0.0
    a_prev = a0
    for letter, wanted in zip(X, Y):
        xt = np.zeros((vocab_size, 1))
        if letter is not None:
            xt[letter] = 1
        zt = parameters["Wax"] @ xt + parameters["Waa"] @ a_prev + parameters["b"]
        at = np.tanh(zt)
        logits = parameters["Wya"] @ at + parameters["by"]
        yt = np.exp(logits) / np.sum(np.exp(logits))
        loss += -np.log(yt[wanted, 0])
        caches.append({"xt": xt, "a_prev": a_prev, "at": at, "yt": yt})
        a_prev = at
    return loss, caches


def rnn_backward(X, Y, parameters, caches):
    gradients = {
        "dWax": np.zeros_like(parameters["Wax"]),
        "dWaa": np.zeros_like(parameters["Waa"]),
        "dWya": np.zeros_like(parameters["Wya"]),
        "db": np.zeros_like(parameters["b"]),
        "dby": np.zeros_like(parameters["by"]),
    }
    Waa_T = parameters["Waa"].T
    Wya_T = parameters["Wya"].T
    da_next = 0
    for wanted, cache in zip(reversed(Y), reversed(caches)):
        dlogits = cache["yt"].copy()
        dlogits[wanted] = dlogits[wanted] - 1
        gradients["dWya"] += dlogits @ cache["at"].T
        gradients["dby"] += dlogits
        da = Wya_T @ dlogits + da_next
        dz = da * (1 - np.square(cache["at"]))
        gradients["dWax"] += dz @ cache["xt"].T
        gradients["dWaa"] += dz @ cache["a_prev"].T
        gradients["db"] += dz
        da_next = Waa_T @ dz
    return gradients


def optimize(X, Y, a_prev, parameters, vocab_size=27):
    loss, caches = rnn_forward(X, Y, a_prev, parameters, vocab_size)
    gradients = rnn_backward(X, Y, parameters, caches)
    return loss, gradients, caches[-1]["at"]
