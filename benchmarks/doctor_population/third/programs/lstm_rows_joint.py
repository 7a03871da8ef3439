"""One joint matrix for all gates: a = Wg [h; x] + bg, rows in the order f, i, o, c."""
import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def unroll(Wg, bg, Wy, by, inputs, h, c):
    n = h.shape[0]
    K = by.shape[0]
    frames = []
    for ix in inputs:
        x = np.zeros((K, 1))
        x[ix] = 1
        hx = np.vstack([h, x])
        a = Wg @ hx + bg
        f = logistic(a[0 * n : 1 * n])
        i = logistic(a[1 * n : 2 * n])
        o = logistic(a[2 * n : 3 * n])
        cbar = np.tanh(a[3 * n : 4 * n])
        c_old = c
        c = f * c_old + i * cbar
        tc = np.tanh(c)
        h = o * tc
        z = Wy @ h + by
        q = np.exp(z - z.max())
        frames.append(dict(hx=hx, f=f, i=i, o=o, cbar=cbar, c_old=c_old, tc=tc, h=h, q=q / q.sum()))
    return frames, h, c


def lossFun(inputs, targets, hprev, cprev, Wg, bg, Wy, by):
    frames, h, c = unroll(Wg, bg, Wy, by, inputs, hprev, cprev)
    loss = sum(-np.log(fr["q"][k, 0]) for fr, k in zip(frames, targets))
    dWg, dbg, dWy, dby = np.zeros_like(Wg), np.zeros_like(bg), np.zeros_like(Wy), np.zeros_like(by)
    n = hprev.shape[0]
    dhnext, dcnext = np.zeros_like(hprev), np.zeros_like(cprev)
    for fr, k in zip(frames[::-1], targets[::-1]):
        dz = fr["q"].copy()
        dz[k] -= 1
        dWy += dz @ fr["h"].T
        dby += dz
        dh = Wy.T @ dz + dhnext
        dc = dcnext + dh * fr["o"] * (1 - fr["tc"] ** 2)
        df = dc * fr["c_old"] * fr["f"] * (1 - fr["f"])
        di = dc * fr["cbar"] * fr["i"] * (1 - fr["i"])
        do = dh * fr["tc"] * fr["o"] * (1 - fr["o"])
        dcbar = dc * fr["i"] * (1 - fr["cbar"] ** 2)
        da = np.vstack([df, di, do, dcbar])
        dWg += da @ fr["hx"].T
        dbg += da
        dhnext = (Wg.T @ da)[:n]
        dcnext = dc * fr["f"]
    return loss, dWg, dbg, dWy, dby, h, c
