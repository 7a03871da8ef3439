# char-level rnn, numpy only
import numpy as np

raw = open("input.txt").read()
vocab = list(set(raw))
vocab.sort()
vocab_size = len(vocab)
lookup = {ch: k for k, ch in enumerate(vocab)}

hidden_size, seq_length, learning_rate = 128, 20, 0.1

# row vectors: h = tanh(x Wxh + h Whh + bh)
Wxh = np.random.normal(0, 0.05, (vocab_size, hidden_size))
Whh = np.random.normal(0, 0.05, (hidden_size, hidden_size))
Why = np.random.normal(0, 0.05, (hidden_size, vocab_size))
bh = np.zeros((1, hidden_size))
by = np.zeros((1, vocab_size))


def lossFun(inputs, targets, hprev):
    T = len(inputs)
    X = np.zeros((T, Wxh.shape[0]))
    X[np.arange(T), inputs] = 1
    hs = [hprev]
    for t in range(T):
        hs.append(np.tanh(X[t:t+1] @ Wxh + hs[-1] @ Whh + bh))
    Hs = np.concatenate(hs[1:], axis=0)
    scores = Hs @ Why + by
    scores = scores - np.max(scores, axis=1, keepdims=True)
    probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
    loss = -np.sum(np.log(probs[np.arange(T), targets])) / T

    # now backwards
    dscores = probs.copy()
    dscores[np.arange(T), targets] -= 1
    dscores = dscores / T
    dWhy = Hs.T @ dscores
    dby = np.sum(dscores, axis=0, keepdims=True)
    dHs = dscores @ Why.T
    dWxh = np.zeros_like(Wxh)
    dWhh = np.zeros_like(Whh)
    dbh = np.zeros_like(bh)
    dnext = np.zeros_like(hprev)
    for t in reversed(range(T)):
        dtotal = dHs[t:t+1] + dnext
        dpre = dtotal * (1 - hs[t+1] ** 2)
        dWxh += X[t:t+1].T @ dpre
        dWhh += hs[t].T @ dpre
        dbh += dpre
        dnext = dpre @ Whh.T
    for grad in (dWxh, dWhh, dWhy, dbh, dby):
        np.clip(grad, -5, 5, out=grad)
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[-1]


it = 0
p = 0
memory = {}
while True:
    if it == 0 or p + seq_length + 1 > len(raw):
        h = np.zeros((1, hidden_size))
        p = 0
    a = [lookup[ch] for ch in raw[p:p + seq_length]]
    b = [lookup[ch] for ch in raw[p + 1:p + seq_length + 1]]
    loss, dWxh, dWhh, dWhy, dbh, dby, h = lossFun(a, b, h)
    for name, param, grad in [("Wxh", Wxh, dWxh), ("Whh", Whh, dWhh), ("Why", Why, dWhy),
                              ("bh", bh, dbh), ("by", by, dby)]:
        memory[name] = memory.get(name, 0) + grad ** 2
        param -= learning_rate * grad / np.sqrt(memory[name] + 1e-8)
    if it % 200 == 0:
        print(it, loss)
    p += seq_length
    it += 1
