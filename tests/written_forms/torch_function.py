"""The counterpart with autograd: one-hot columns X (K, T), ids y, and a dict of NumPy arrays."""

import numpy as np
import torch


def compute_grads_with_torch(X, y, h0, RNN):
    tau = X.shape[1]
    Xt = torch.from_numpy(X)
    ht = torch.from_numpy(h0)
    net = {name: torch.tensor(RNN[name], requires_grad=True) for name in RNN}
    Hs = torch.empty(h0.shape[0], X.shape[1], dtype=torch.float64)
    hprev = ht
    for t in range(tau):
        hprev = torch.tanh(net["U"] @ Xt[:, t : t + 1] + net["W"] @ hprev + net["b"])
        Hs[:, t : t + 1] = hprev
    Os = torch.matmul(net["V"], Hs) + net["c"]
    P = torch.softmax(Os, dim=0)
    loss = torch.sum(-torch.log(P[y, np.arange(tau)]))
    loss.backward()
    grads = {}
    for name in RNN:
        grads[name] = net[name].grad.numpy()
    return loss, grads
