import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_loss(params, inputs, targets, h0):
    """GRU with Wz, Wr, Wh (input), Uz, Ur, Uh (recurrent) and three biases; column vectors."""
    Wz, Uz, bz = params["Wz"], params["Uz"], params["bz"]
    Wr, Ur, br = params["Wr"], params["Ur"], params["br"]
    Wh, Uh, bh = params["Wh"], params["Uh"], params["bh"]
    Wy, by = params["Wy"], params["by"]
    vocab_size = by.shape[0]
    x, z, r, h_hat, h, p = {}, {}, {}, {}, {-1: h0}, {}
    loss = 0
    for t in range(len(inputs)):
        x[t] = np.zeros((vocab_size, 1))
        x[t][inputs[t]] = 1
        z[t] = sigmoid(np.dot(Wz, x[t]) + np.dot(Uz, h[t - 1]) + bz)
        r[t] = sigmoid(np.dot(Wr, x[t]) + np.dot(Ur, h[t - 1]) + br)
        h_hat[t] = np.tanh(np.dot(Wh, x[t]) + np.dot(Uh, np.multiply(r[t], h[t - 1])) + bh)
        h[t] = np.multiply(z[t], h[t - 1]) + np.multiply(1 - z[t], h_hat[t])
        y = np.dot(Wy, h[t]) + by
        p[t] = np.exp(y) / np.sum(np.exp(y))
        loss += -np.sum(np.log(p[t][targets[t]]))

    grads = {k: np.zeros_like(v) for k, v in params.items()}
    dhnext = np.zeros_like(h0)
    for t in reversed(range(len(inputs))):
        dy = np.copy(p[t])
        dy[targets[t]] -= 1
        grads["Wy"] += np.dot(dy, h[t].T)
        grads["by"] += dy

        dh = np.dot(Wy.T, dy) + dhnext
        dh_hat = np.multiply(dh, 1 - z[t])
        dh_hat_l = dh_hat * (1 - h_hat[t] ** 2)
        grads["Wh"] += np.dot(dh_hat_l, x[t].T)
        grads["Uh"] += np.dot(dh_hat_l, np.multiply(r[t], h[t - 1]).T)
        grads["bh"] += dh_hat_l

        drhp = np.dot(Uh.T, dh_hat_l)
        dr = np.multiply(drhp, h[t - 1])
        dr_l = dr * r[t] * (1 - r[t])
        grads["Wr"] += np.dot(dr_l, x[t].T)
        grads["Ur"] += np.dot(dr_l, h[t - 1].T)
        grads["br"] += dr_l

        dz = np.multiply(dh, h[t - 1] - h_hat[t])
        dz_l = dz * z[t] * (1 - z[t])
        grads["Wz"] += np.dot(dz_l, x[t].T)
        grads["Uz"] += np.dot(dz_l, h[t - 1].T)
        grads["bz"] += dz_l

        dh_fz_inner = np.dot(Uz.T, dz_l)
        dh_fz = np.multiply(dh, z[t])
        dh_fhh = np.multiply(drhp, r[t])
        dh_fr = np.dot(Ur.T, dr_l)
        dhnext = dh_fz_inner + dh_fz + dh_fhh + dh_fr
    return loss, grads, h[len(inputs) - 1]
