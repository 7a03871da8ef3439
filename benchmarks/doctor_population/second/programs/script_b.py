import numpy as np

with open("input.txt") as f:
    data = f.read()
chars = sorted(list(set(data)))
V = len(chars)
stoi = {c: i for i, c in enumerate(chars)}
itos = dict(enumerate(chars))

H = 64
T = 30
lr = 0.05

rng = np.random.RandomState(0)
Wxh = rng.uniform(-0.1, 0.1, (H, V))
Whh = rng.uniform(-0.1, 0.1, (H, H))
Why = rng.uniform(-0.1, 0.1, (V, H))
bh = np.zeros((H,))
by = np.zeros((V,))


def softmax(v):
    v = np.exp(v - np.max(v))
    return v / v.sum()


def lossFun(inputs, targets, hprev):
    n = len(inputs)
    h = np.zeros((n + 1, len(bh)))
    p = np.zeros((n, len(by)))
    h[0] = hprev
    loss = 0.0
    for t, (i, j) in enumerate(zip(inputs, targets)):
        h[t + 1] = np.tanh(Wxh[:, i] + Whh.dot(h[t]) + bh)
        p[t] = softmax(Why.dot(h[t + 1]) + by)
        loss -= np.log(p[t, j])

    dWxh = np.zeros_like(Wxh)
    dWhh = np.zeros_like(Whh)
    dWhy = np.zeros_like(Why)
    dbh = np.zeros_like(bh)
    dby = np.zeros_like(by)
    dh_later = np.zeros_like(hprev)
    for t in range(n - 1, -1, -1):
        dy = p[t].copy()
        dy[targets[t]] -= 1.0
        dWhy += np.outer(dy, h[t + 1])
        dby += dy
        dh = Why.T.dot(dy) + dh_later
        dz = dh * (1.0 - h[t + 1] ** 2)
        dWxh[:, inputs[t]] += dz
        dWhh += np.outer(dz, h[t])
        dbh += dz
        dh_later = Whh.T.dot(dz)

    dWxh, dWhh, dWhy, dbh, dby = [np.clip(g, -5, 5) for g in (dWxh, dWhh, dWhy, dbh, dby)]
    return loss, dWxh, dWhh, dWhy, dbh, dby, h[n]


step = 0
while True:
    hprev = np.zeros(H)
    for start in range(0, len(data) - T - 1, T):
        xs = [stoi[c] for c in data[start:start + T]]
        ys = [stoi[c] for c in data[start + 1:start + T + 1]]
        loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(xs, ys, hprev)
        Wxh -= lr * dWxh
        Whh -= lr * dWhh
        Why -= lr * dWhy
        bh -= lr * dbh
        by -= lr * dby
        step += 1
        if step % 500 == 0:
            print(step, loss / T)
