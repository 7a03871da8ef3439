from math import exp, log, tanh


def sigmoid(x):
    return 1.0 / (1.0 + exp(-x))


def matvec(M, v):
    return [sum(m * x for m, x in zip(row, v)) for row in M]


def matTvec(M, v):
    return [sum(M[i][j] * v[i] for i in range(len(M))) for j in range(len(M[0]))]


def add_outer(M, u, v):
    for i in range(len(u)):
        for j in range(len(v)):
            M[i][j] += u[i] * v[j]


def add_to(v, u):
    for i in range(len(v)):
        v[i] += u[i]


def zeros_like(A):
    return [[0.0] * len(row) for row in A] if isinstance(A[0], list) else [0.0] * len(A)


def gru(params, inputs, targets, h0):
    """params: dict of nested lists Wr, Ur, br, Wz, Uz, bz, Wh, Uh, bh, Wo, bo; reset before the product."""
    P = params
    H, K = len(h0), len(P["bo"])
    R = range(H)
    h = list(h0)
    tape = []
    loss = 0.0
    for ix, iy in zip(inputs, targets):
        x = [1.0 if k == ix else 0.0 for k in range(K)]
        ar, az = matvec(P["Ur"], h), matvec(P["Uz"], h)
        xr, xz, xh = matvec(P["Wr"], x), matvec(P["Wz"], x), matvec(P["Wh"], x)
        r = [sigmoid(xr[j] + ar[j] + P["br"][j]) for j in R]
        z = [sigmoid(xz[j] + az[j] + P["bz"][j]) for j in R]
        rh = [r[j] * h[j] for j in R]
        ah = matvec(P["Uh"], rh)
        n = [tanh(xh[j] + ah[j] + P["bh"][j]) for j in R]
        new = [(1 - z[j]) * n[j] + z[j] * h[j] for j in R]
        o = [s + b for s, b in zip(matvec(P["Wo"], new), P["bo"])]
        e = [exp(v) for v in o]
        p = [v / sum(e) for v in e]
        loss -= log(p[iy])
        tape.append((x, iy, h, r, z, rh, n, new, p))
        h = new

    G = {k: zeros_like(v) for k, v in P.items()}
    dh_next = [0.0] * H
    for x, iy, hp, r, z, rh, n, new, p in reversed(tape):
        do = p[:]
        do[iy] -= 1.0
        add_outer(G["Wo"], do, new)
        add_to(G["bo"], do)
        dh = [a + b for a, b in zip(matTvec(P["Wo"], do), dh_next)]
        dn = [dh[j] * (1 - z[j]) * (1 - n[j] ** 2) for j in R]
        dz = [dh[j] * (hp[j] - n[j]) * z[j] * (1 - z[j]) for j in R]
        drh = matTvec(P["Uh"], dn)
        dr = [drh[j] * hp[j] * r[j] * (1 - r[j]) for j in R]
        for name, d, hidden in (("r", dr, hp), ("z", dz, hp), ("h", dn, rh)):
            add_outer(G["W" + name], d, x)
            add_outer(G["U" + name], d, hidden)
            add_to(G["b" + name], d)
        from_r, from_z = matTvec(P["Ur"], dr), matTvec(P["Uz"], dz)
        dh_next = [dh[j] * z[j] + drh[j] * r[j] + from_r[j] + from_z[j] for j in R]
    return loss, G, h
