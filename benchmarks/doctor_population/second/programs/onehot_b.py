import numpy as np

# RNN is a dictionary with the arrays b, c, U, W, V (b and c are columns)


def synth_forward(RNN, X, Y, hprev):
    tau = X.shape[1]
    h = hprev
    hs, ps = [hprev], []
    loss = 0
    for t in range(tau):
        xt = X[:, t:t+1]
        yt = Y[:, t:t+1]
        a = np.dot(RNN['W'], h) + np.dot(RNN['U'], xt) + RNN['b']
        h = np.tanh(a)
        o = np.dot(RNN['V'], h) + RNN['c']
        o = o - np.max(o)
        p = np.exp(o) / np.sum(np.exp(o))
        loss = loss - np.log(np.dot(yt.T, p)).item()
        hs.append(h)
        ps.append(p)
    return loss, hs, ps


def synth_backward(RNN, X, Y, hs, ps):
    tau = X.shape[1]
    grads = {}
    for name in RNN:
        grads[name] = np.zeros(RNN[name].shape)
    grad_a = np.zeros((1, RNN['W'].shape[0]))
    for t in range(tau - 1, -1, -1):
        # gradients as rows, as in the lecture slides
        g = -(Y[:, t:t+1] - ps[t]).T
        grads['V'] += np.dot(g.T, hs[t + 1].T)
        grads['c'] += g.T
        grad_h = np.dot(g, RNN['V']) + np.dot(grad_a, RNN['W'])
        grad_a = np.dot(grad_h, np.diag(1 - hs[t + 1][:, 0] ** 2))
        grads['W'] += np.dot(grad_a.T, hs[t].T)
        grads['U'] += np.dot(grad_a.T, X[:, t:t+1].T)
        grads['b'] += grad_a.T
    return grads


def compute_grads(RNN, X, Y, h0):
    loss, hs, ps = synth_forward(RNN, X, Y, h0)
    grads = synth_backward(RNN, X, Y, hs, ps)
    return loss, grads
