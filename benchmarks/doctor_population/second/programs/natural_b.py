import numpy as np


def loss_and_grads(params, x, y, h0):
    """x, y: integer arrays of length T. The loss is the mean over the T characters."""
    x = np.asarray(x)
    y = np.asarray(y)
    U, W, b = params["U"], params["W"], params["b"]
    V, c = params["V"], params["c"]
    H, K = U.shape
    T = x.shape[0]
    steps = np.arange(T)

    # all the hidden states in one array; states[0] is the initial one
    states = np.empty((T + 1, H))
    states[0] = h0
    from_input = U.T[x] + b
    for t in range(T):
        states[t + 1] = np.tanh(from_input[t] + W.dot(states[t]))
    hidden = states[1:]
    previous = states[:-1]

    logits = hidden.dot(V.T) + c
    logits = logits - logits.max(axis=1, keepdims=True)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -log_probs[steps, y].mean()

    dlogits = np.exp(log_probs)
    dlogits[steps, y] -= 1.0
    dlogits /= T

    dhidden = dlogits.dot(V)
    da = np.empty((T, H))
    carried = np.zeros(H)
    for t in range(T - 1, -1, -1):
        da[t] = (dhidden[t] + carried) * (1.0 - hidden[t] * hidden[t])
        carried = W.T.dot(da[t])

    dU = np.zeros_like(U)
    np.add.at(dU.T, x, da)
    return loss, {
        "U": dU,
        "W": da.T.dot(previous),
        "b": da.sum(axis=0),
        "V": dlogits.T.dot(hidden),
        "c": dlogits.sum(axis=0),
    }
