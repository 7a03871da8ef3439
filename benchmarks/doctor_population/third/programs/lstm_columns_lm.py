import numpy as np


def s(x):
    return 1 / (1 + np.exp(-x))


def lm_step(params, inputs, targets, state):
    """Row vectors, gates i|f|g|o in columns: Wx (K, 4H), Wh (H, 4H). Returns loss, grads, state."""
    Wx, Wh, b = params["Wx"], params["Wh"], params["b"]
    Wy, by = params["Wy"], params["by"]
    h, c = state
    H = h.shape[0]
    xs, hs, cs = list(inputs), [h], [c]
    acts, probs = [], []
    loss = 0.0
    for t, ix in enumerate(xs):
        a = Wx[ix] + h @ Wh + b
        ai, af, ag, ao = a[:H], a[H : 2 * H], a[2 * H : 3 * H], a[3 * H :]
        i, f, g, o = s(ai), s(af), np.tanh(ag), s(ao)
        c = c * f + i * g
        h = o * np.tanh(c)
        logits = h @ Wy + by
        logits = logits - np.max(logits)
        p = np.exp(logits) / np.sum(np.exp(logits))
        loss += -np.log(p[targets[t]])
        hs.append(h)
        cs.append(c)
        acts.append((i, f, g, o))
        probs.append(p)

    dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    dWy, dby = np.zeros_like(Wy), np.zeros_like(by)
    dh, dc = np.zeros(H), np.zeros(H)
    for t in range(len(xs) - 1, -1, -1):
        i, f, g, o = acts[t]
        dlogits = probs[t].copy()
        dlogits[targets[t]] -= 1
        dWy += np.outer(hs[t + 1], dlogits)
        dby += dlogits
        dh = dh + Wy @ dlogits
        tanh_c = np.tanh(cs[t + 1])
        dao = dh * tanh_c * o * (1 - o)
        dc = dc + dh * o * (1 - tanh_c * tanh_c)
        dai = dc * g * i * (1 - i)
        daf = dc * cs[t] * f * (1 - f)
        dag = dc * i * (1 - g * g)
        da = np.concatenate([dai, daf, dag, dao])
        dWx[xs[t]] += da
        dWh += np.outer(hs[t], da)
        db += da
        dh = Wh @ da
        dc = dc * f
    grads = {"Wx": dWx, "Wh": dWh, "b": db, "Wy": dWy, "by": dby}
    return loss, grads, (h, cs[-1])
