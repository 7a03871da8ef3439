"""LSTM from scratch: forward(x, h_prev, C_prev, p) and backward(...) per time step, column vectors."""
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dsigmoid(y):
    return y * (1 - y)


def tanh(x):
    return np.tanh(x)


def dtanh(y):
    return 1 - y * y


def forward(x, h_prev, C_prev, p):
    z = np.vstack((h_prev, x))
    f = sigmoid(np.dot(p["W_f"], z) + p["b_f"])
    i = sigmoid(np.dot(p["W_i"], z) + p["b_i"])
    C_bar = tanh(np.dot(p["W_C"], z) + p["b_C"])
    C = f * C_prev + i * C_bar
    o = sigmoid(np.dot(p["W_o"], z) + p["b_o"])
    h = o * tanh(C)
    v = np.dot(p["W_v"], h) + p["b_v"]
    y = np.exp(v) / np.sum(np.exp(v))
    return z, f, i, C_bar, C, o, h, y


def backward(target, dh_next, dC_next, C_prev, z, f, i, C_bar, C, o, h, y, p, d):
    dv = np.copy(y)
    dv[target] -= 1
    d["W_v"] += np.dot(dv, h.T)
    d["b_v"] += dv

    dh = np.dot(p["W_v"].T, dv)
    dh += dh_next

    do = dh * tanh(C)
    do = dsigmoid(o) * do
    d["W_o"] += np.dot(do, z.T)
    d["b_o"] += do

    dC = np.copy(dC_next)
    dC += dh * o * dtanh(tanh(C))

    dC_bar = dC * i
    dC_bar = dtanh(C_bar) * dC_bar
    d["W_C"] += np.dot(dC_bar, z.T)
    d["b_C"] += dC_bar

    di = dC * C_bar
    di = dsigmoid(i) * di
    d["W_i"] += np.dot(di, z.T)
    d["b_i"] += di

    df = dC * C_prev
    df = dsigmoid(f) * df
    d["W_f"] += np.dot(df, z.T)
    d["b_f"] += df

    dz = np.dot(p["W_f"].T, df) + np.dot(p["W_i"].T, di) + np.dot(p["W_C"].T, dC_bar) + np.dot(p["W_o"].T, do)
    dh_prev = dz[: h.shape[0], :]
    dC_prev = f * dC
    return dh_prev, dC_prev


def forward_backward(inputs, targets, h_prev, C_prev, parameters):
    vocab = parameters["W_v"].shape[0]
    tape = {}
    hs, Cs = {-1: np.copy(h_prev)}, {-1: np.copy(C_prev)}
    loss = 0
    for t in range(len(inputs)):
        x = np.zeros((vocab, 1))
        x[inputs[t]] = 1
        tape[t] = forward(x, hs[t - 1], Cs[t - 1], parameters)
        Cs[t], hs[t] = tape[t][4], tape[t][6]
        loss += -np.log(tape[t][7][targets[t], 0])

    grads = {k: np.zeros_like(v) for k, v in parameters.items()}
    dh_next = np.zeros_like(hs[0])
    dC_next = np.zeros_like(Cs[0])
    for t in reversed(range(len(inputs))):
        dh_next, dC_next = backward(targets[t], dh_next, dC_next, Cs[t - 1], *tape[t], parameters, grads)
    for g in grads.values():
        np.clip(g, -5, 5, out=g)
    return loss, grads, hs[len(inputs) - 1], Cs[len(inputs) - 1]
