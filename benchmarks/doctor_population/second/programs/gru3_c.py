import numpy as np


def sigm(a):
    return 1 / (1 + np.exp(-a))


def gru_loss_and_grads(theta, X, Y, H0):
    """
    GRU in the cuDNN style: the reset gate acts after the product with the state,
        n = tanh(x Wn + bn + r * (h Un + dn)).
    X, Y: (N, T) integer arrays; H0: (N, H). Mean over the N*T predictions.
    """
    Wr, Wz, Wn = theta["Wr"], theta["Wz"], theta["Wn"]  # (K, H)
    Ur, Uz, Un = theta["Ur"], theta["Uz"], theta["Un"]  # (H, H)
    br, bz, bn, dn = theta["br"], theta["bz"], theta["bn"], theta["dn"]
    Wo, bo = theta["Wo"], theta["bo"]
    N, T = X.shape

    H = [H0]
    R, Z, C, Q, P = [], [], [], [], []
    loss = 0.0
    for t in range(T):
        h = H[-1]
        r = sigm(Wr[X[:, t]] + h @ Ur + br)
        z = sigm(Wz[X[:, t]] + h @ Uz + bz)
        q = h @ Un + dn
        n = np.tanh(Wn[X[:, t]] + bn + r * q)
        new_h = z * h + (1 - z) * n
        o = new_h @ Wo + bo
        o -= o.max(axis=1, keepdims=True)
        p = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
        loss -= np.log(p[np.arange(N), Y[:, t]]).sum()
        H.append(new_h)
        R.append(r)
        Z.append(z)
        C.append(n)
        Q.append(q)
        P.append(p)
    loss = loss / (N * T)

    g = {k: np.zeros_like(v) for k, v in theta.items()}
    dh_next = np.zeros_like(H0)
    for t in range(T)[::-1]:
        h_prev, h, r, z, n, q = H[t], H[t + 1], R[t], Z[t], C[t], Q[t]
        do = P[t].copy()
        do[np.arange(N), Y[:, t]] -= 1
        do /= N * T
        g["Wo"] += h.T @ do
        g["bo"] += do.sum(0)

        dh = do @ Wo.T + dh_next
        dn_raw = dh * (1 - z) * (1 - n * n)
        dz_raw = dh * (h_prev - n) * z * (1 - z)
        dq = dn_raw * r
        dr_raw = dn_raw * q * r * (1 - r)

        np.add.at(g["Wr"], X[:, t], dr_raw)
        np.add.at(g["Wz"], X[:, t], dz_raw)
        np.add.at(g["Wn"], X[:, t], dn_raw)
        g["Ur"] += h_prev.T @ dr_raw
        g["Uz"] += h_prev.T @ dz_raw
        g["Un"] += h_prev.T @ dq
        g["br"] += dr_raw.sum(0)
        g["bz"] += dz_raw.sum(0)
        g["bn"] += dn_raw.sum(0)
        g["dn"] += dq.sum(0)

        dh_next = dh * z + dr_raw @ Ur.T + dz_raw @ Uz.T + dq @ Un.T
    return loss, g
