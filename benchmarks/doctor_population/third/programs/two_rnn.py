import numpy as np


def two_layer_loss(p, inputs, targets, h1_0, h2_0):
    """Two recurrent layers with tanh; the second reads the first. Vectors are 1-D."""
    h1, h2, probs = {-1: h1_0}, {-1: h2_0}, {}
    loss = 0.0
    for t in range(len(inputs)):
        h1[t] = np.tanh(p["Wx1"][:, inputs[t]] + p["Wh1"] @ h1[t - 1] + p["b1"])
        h2[t] = np.tanh(p["Wx2"] @ h1[t] + p["Wh2"] @ h2[t - 1] + p["b2"])
        y = p["Wy"] @ h2[t] + p["by"]
        e = np.exp(y - y.max())
        probs[t] = e / e.sum()
        loss -= np.log(probs[t][targets[t]])

    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh1_next = np.zeros_like(h1_0)
    dh2_next = np.zeros_like(h2_0)
    for t in reversed(range(len(inputs))):
        dy = probs[t].copy()
        dy[targets[t]] -= 1
        g["Wy"] += np.outer(dy, h2[t])
        g["by"] += dy
        dh2 = p["Wy"].T @ dy + dh2_next
        da2 = dh2 * (1 - h2[t] ** 2)
        g["Wx2"] += np.outer(da2, h1[t])
        g["Wh2"] += np.outer(da2, h2[t - 1])
        g["b2"] += da2
        dh2_next = p["Wh2"].T @ da2
        dh1 = p["Wx2"].T @ da2 + dh1_next
        da1 = dh1 * (1 - h1[t] ** 2)
        g["Wx1"][:, inputs[t]] += da1
        g["Wh1"] += np.outer(da1, h1[t - 1])
        g["b1"] += da1
        dh1_next = p["Wh1"].T @ da1
    return loss, g, h1[len(inputs) - 1], h2[len(inputs) - 1]
