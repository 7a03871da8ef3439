import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_forward_backward(params, inputs, targets, h0):
    """
    GRU whose matrices Wz, Wr, Wh act on the stacked vector [h, x].
    Candidate: tanh(Wh [r*h, x] + bh). New state: (1 - z)*h + z*candidate.
    """
    Wz, Wr, Wh, Wy = params["Wz"], params["Wr"], params["Wh"], params["Wy"]
    bz, br, bh, by = params["bz"], params["br"], params["bh"], params["by"]
    H = bz.shape[0]
    K = by.shape[0]

    h = {-1: h0}
    hx, rhx, z, r, hhat, prob = {}, {}, {}, {}, {}, {}
    loss = 0
    for t in range(len(inputs)):
        x = np.zeros((K, 1))
        x[inputs[t]] = 1
        hx[t] = np.vstack((h[t-1], x))
        z[t] = sigmoid(Wz @ hx[t] + bz)
        r[t] = sigmoid(Wr @ hx[t] + br)
        rhx[t] = np.vstack((r[t] * h[t-1], x))
        hhat[t] = np.tanh(Wh @ rhx[t] + bh)
        h[t] = (1 - z[t]) * h[t-1] + z[t] * hhat[t]
        s = Wy @ h[t] + by
        prob[t] = np.exp(s - np.max(s)) / np.sum(np.exp(s - np.max(s)))
        loss -= np.log(prob[t][targets[t], 0])

    dWz, dWr, dWh, dWy = np.zeros_like(Wz), np.zeros_like(Wr), np.zeros_like(Wh), np.zeros_like(Wy)
    dbz, dbr, dbh, dby = np.zeros_like(bz), np.zeros_like(br), np.zeros_like(bh), np.zeros_like(by)
    dhnext = np.zeros((H, 1))
    for t in range(len(inputs) - 1, -1, -1):
        ds = np.copy(prob[t])
        ds[targets[t]] -= 1
        dWy += ds @ h[t].T
        dby += ds
        dh = Wy.T @ ds + dhnext

        dhhat = dh * z[t]
        dhhat_raw = dhhat * (1 - hhat[t] ** 2)
        dWh += dhhat_raw @ rhx[t].T
        dbh += dhhat_raw
        drhx = Wh.T @ dhhat_raw
        drh = drhx[:H]

        dr = drh * h[t-1]
        dr_raw = dr * r[t] * (1 - r[t])
        dWr += dr_raw @ hx[t].T
        dbr += dr_raw

        dz = dh * (hhat[t] - h[t-1])
        dz_raw = dz * z[t] * (1 - z[t])
        dWz += dz_raw @ hx[t].T
        dbz += dz_raw

        dhnext = dh * (1 - z[t])
        dhnext = dhnext + drh * r[t]
        dhnext = dhnext + (Wz.T @ dz_raw)[:H]
        dhnext = dhnext + (Wr.T @ dr_raw)[:H]

    grads = {"Wz": dWz, "Wr": dWr, "Wh": dWh, "Wy": dWy, "bz": dbz, "br": dbr, "bh": dbh, "by": dby}
    return loss, grads
