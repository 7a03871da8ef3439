import numpy as np


def sigma(q):
    return 1 / (1 + np.exp(-q))


def f(params, x, y):
    """Summed loss and gradients of an LSTM that starts from zeros. Gates in rows: i, f, o, g."""
    Wx, Wh, b = params["Wx"], params["Wh"], params["b"]
    Wy, by = params["Wy"], params["by"]
    n, T = Wh.shape[1], len(x)
    h, c = [np.zeros(n)], [np.zeros(n)]
    I, F, O, G, D = [], [], [], [], []
    loss = 0.0
    for t in range(T):
        q = (Wx[:, x[t]] + Wh @ h[t] + b).reshape(4, n)
        I.append(sigma(q[0]))
        F.append(sigma(q[1]))
        O.append(sigma(q[2]))
        G.append(np.tanh(q[3]))
        c.append(F[t] * c[t] + I[t] * G[t])
        h.append(O[t] * np.tanh(c[t + 1]))
        logit = Wy @ h[t + 1] + by
        logit -= logit.max()
        logp = logit - np.log(np.exp(logit).sum())
        loss -= logp[y[t]]
        d = np.exp(logp)
        d[y[t]] -= 1
        D.append(d)

    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dh, dc = np.zeros(n), np.zeros(n)
    for t in reversed(range(T)):
        grads["Wy"] += np.outer(D[t], h[t + 1])
        grads["by"] += D[t]
        dh = dh + Wy.T @ D[t]
        tc = np.tanh(c[t + 1])
        dc = dc + dh * O[t] * (1 - tc ** 2)
        dq = np.concatenate((
            dc * G[t] * I[t] * (1 - I[t]),
            dc * c[t] * F[t] * (1 - F[t]),
            dh * tc * O[t] * (1 - O[t]),
            dc * I[t] * (1 - G[t] ** 2),
        ))
        grads["Wx"][:, x[t]] += dq
        grads["Wh"] += np.outer(dq, h[t])
        grads["b"] += dq
        dh = Wh.T @ dq
        dc = dc * F[t]
    return loss, grads
