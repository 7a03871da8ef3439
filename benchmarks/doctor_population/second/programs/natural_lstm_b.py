import numpy as np


def loss_grad(params, inputs, targets, init):
    """Gates in the order i, f, g, o. Everything that depends on no state is done for all steps at once."""
    U = params['U']
    W = params['W']
    b = params['b']
    V = params['V']
    c = params['c']
    n = W.shape[1]
    T = len(inputs)
    inputs = np.array(inputs)
    targets = np.array(targets)

    hs = np.zeros((T + 1, n))
    cs = np.zeros((T + 1, n))
    hs[0], cs[0] = init
    gates = np.zeros((T, 4, n))
    tanh_cs = np.zeros((T, n))
    pre = U.T[inputs] + b
    for t in range(T):
        a = (pre[t] + np.dot(W, hs[t])).reshape(4, n)
        gates[t] = 1 / (1 + np.exp(-a))
        gates[t, 2] = np.tanh(a[2])
        i, f, g, o = gates[t]
        cs[t + 1] = f * cs[t] + i * g
        tanh_cs[t] = np.tanh(cs[t + 1])
        hs[t + 1] = o * tanh_cs[t]

    scores = np.dot(hs[1:], V.T) + c
    scores -= scores.max(axis=1, keepdims=True)
    probs = np.exp(scores)
    probs /= probs.sum(axis=1, keepdims=True)
    loss = -np.log(probs[range(T), targets]).sum()

    dscores = probs.copy()
    dscores[range(T), targets] -= 1
    dhs = np.dot(dscores, V)

    # derivatives of the four nonlinearities
    slopes = gates * (1 - gates)
    slopes[:, 2] = 1 - gates[:, 2] ** 2

    da = np.zeros((T, 4, n))
    dh = np.zeros(n)
    dc = np.zeros(n)
    for t in range(T - 1, -1, -1):
        i, f, g, o = gates[t]
        dh = dh + dhs[t]
        dc = dc + dh * o * (1 - tanh_cs[t] ** 2)
        da[t, 0] = dc * g
        da[t, 1] = dc * cs[t]
        da[t, 2] = dc * i
        da[t, 3] = dh * tanh_cs[t]
        da[t] *= slopes[t]
        dc = dc * f
        dh = np.dot(W.T, da[t].reshape(-1))

    da = da.reshape(T, 4 * n)
    dU = np.zeros_like(U)
    for t in range(T):
        dU[:, inputs[t]] += da[t]
    return loss, {
        'U': dU,
        'W': np.dot(da.T, hs[:-1]),
        'b': da.sum(axis=0),
        'V': np.dot(dscores.T, hs[1:]),
        'c': dscores.sum(axis=0),
    }
