import numpy as np


def tanh_layer(a):
    h = np.tanh(a)
    return h, h


def tanh_layer_back(dout, h):
    return dout * (1.0 - h * h)


def affine(x, W, b):
    return W @ x + b, (x, W)


def affine_back(dout, cache):
    x, W = cache
    return W.T @ dout, np.outer(dout, x), dout


def recurrent(x, h, U, W, b):
    a = U @ x + W @ h + b
    return a, (x, h, U, W)


def recurrent_back(da, cache):
    x, h, U, W = cache
    dU = np.outer(da, x)
    dW = np.outer(da, h)
    dh = W.T @ da
    return dh, dU, dW, da


def softmax_cross_entropy(scores, target):
    shifted = scores - scores.max()
    probs = np.exp(shifted) / np.exp(shifted).sum()
    dscores = probs.copy()
    dscores[target] -= 1
    return -np.log(probs[target]), dscores


def language_model_loss(params, inputs, targets, h0):
    """Forward through all layers, then backward in the opposite order."""
    K = params["V"].shape[0]
    h = h0
    caches = []
    loss = 0.0
    for x_id, y_id in zip(inputs, targets):
        x = np.zeros(K)
        x[x_id] = 1.0
        a, rec_cache = recurrent(x, h, params["U"], params["W"], params["b"])
        h, act_cache = tanh_layer(a)
        scores, out_cache = affine(h, params["V"], params["c"])
        step_loss, dscores = softmax_cross_entropy(scores, y_id)
        loss += step_loss
        caches.append((rec_cache, act_cache, out_cache, dscores))

    grads = {name: np.zeros_like(value) for name, value in params.items()}
    dh_next = np.zeros_like(h0)
    for rec_cache, act_cache, out_cache, dscores in reversed(caches):
        dh, dV, dc = affine_back(dscores, out_cache)
        grads["V"] += dV
        grads["c"] += dc
        dh = dh + dh_next
        da = tanh_layer_back(dh, act_cache)
        dh_next, dU, dW, db = recurrent_back(da, rec_cache)
        grads["U"] += dU
        grads["W"] += dW
        grads["b"] += db
    return loss, grads, h
