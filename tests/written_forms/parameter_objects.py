"""An LSTM whose parameters are objects, each with its value and its gradient, in one module variable."""

import numpy as np

H_size, X_size = 8, 12


class Weight:
    def __init__(self, *shape):
        self.value = np.random.randn(*shape) * 0.1
        self.grad = np.zeros(shape)


class Store:
    def __init__(self):
        both = H_size + X_size
        self.W_f, self.W_i, self.W_C, self.W_o = (Weight(H_size, both) for _ in range(4))
        self.b_f, self.b_i, self.b_C, self.b_o = (Weight(H_size, 1) for _ in range(4))
        self.W_v, self.b_v = Weight(X_size, H_size), Weight(X_size, 1)


store = Store()


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def one_step(k, h, c, s=store):
    x = np.zeros((X_size, 1))
    x[k] = 1
    hx = np.concatenate([h, x])
    f = sigmoid(s.W_f.value @ hx + s.b_f.value)
    i = sigmoid(s.W_i.value @ hx + s.b_i.value)
    g = np.tanh(s.W_C.value @ hx + s.b_C.value)
    o = sigmoid(s.W_o.value @ hx + s.b_o.value)
    after = f * c + i * g
    return hx, f, i, g, o, c, after, o * np.tanh(after)


def add(weight, bias, da, hx):
    weight.grad += da @ hx.T
    bias.grad += da
    return weight.value.T @ da


def run_window(inputs, targets, h_prev, c_prev, s=store):
    for one in vars(s).values():
        one.grad[...] = 0
    h, c, kept, loss = h_prev, c_prev, [], 0
    for k, target in zip(inputs, targets):
        kept.append(one_step(k, h, c))
        c, h = kept[-1][-2:]
        e = np.exp(s.W_v.value @ h + s.b_v.value)
        kept[-1] += (e / e.sum(),)
        loss -= np.log(kept[-1][-1][target, 0])
    dh, dc = np.zeros_like(h_prev), np.zeros_like(c_prev)
    for target, (hx, f, i, g, o, before, after, h_t, p) in zip(reversed(targets), reversed(kept)):
        dv = p.copy()
        dv[target] -= 1
        dh = dh + add(s.W_v, s.b_v, dv, h_t)
        dc = dc + dh * o * (1 - np.tanh(after) ** 2)
        dhx = add(s.W_o, s.b_o, dh * np.tanh(after) * o * (1 - o), hx)
        dhx += add(s.W_f, s.b_f, dc * before * f * (1 - f), hx)
        dhx += add(s.W_i, s.b_i, dc * g * i * (1 - i), hx)
        dhx += add(s.W_C, s.b_C, dc * i * (1 - g**2), hx)
        dh, dc = dhx[: len(h)], dc * f
    return loss, h, c
