"""GRU in the layout of torch.nn.GRU: rows r, z, n; two biases for the candidate."""
import numpy as np


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru_loss_and_grads(params, x, y, h0):
    U, W, b, d = params["U"], params["W"], params["b"], params["d"]
    V, c = params["V"], params["c"]
    H, T = h0.size, len(x)
    Wr, Wz, Wn = W[:H], W[H : 2 * H], W[2 * H :]
    h = [h0]
    R, Z, N, Q, P = [], [], [], [], []
    loss = 0.0
    for t in range(T):
        a = U[:, x[t]] + b
        r = sigmoid(a[:H] + Wr @ h[t])
        z = sigmoid(a[H : 2 * H] + Wz @ h[t])
        q = Wn @ h[t] + d
        n = np.tanh(a[2 * H :] + r * q)
        h.append((1 - z) * n + z * h[t])
        o = V @ h[t + 1] + c
        o = o - o.max()
        loss += np.log(np.exp(o).sum()) - o[y[t]]
        R.append(r), Z.append(z), N.append(n), Q.append(q), P.append(np.exp(o) / np.exp(o).sum())

    dU, dW, db, dd = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), np.zeros_like(d)
    dV, dc = np.zeros_like(V), np.zeros_like(c)
    dh_next = np.zeros(H)
    for t in reversed(range(T)):
        r, z, n, q = R[t], Z[t], N[t], Q[t]
        do = P[t]
        do[y[t]] -= 1
        dV += np.outer(do, h[t + 1])
        dc += do
        dh = V.T @ do + dh_next
        dn = dh * (1 - z) * (1 - n ** 2)
        dz = dh * (h[t] - n) * z * (1 - z)
        dr = dn * q * r * (1 - r)
        dq = dn * r
        da = np.concatenate([dr, dz, dn])
        dU[:, x[t]] += da
        db += da
        dd += dq
        dwa = np.concatenate([dr, dz, dq])
        dW += np.outer(dwa, h[t])
        dh_next = dh * z + W.T @ dwa
    return loss, {"U": dU, "W": dW, "b": db, "d": dd, "V": dV, "c": dc}, h[T]
