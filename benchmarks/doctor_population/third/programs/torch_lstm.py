"""Torch counterpart of the assignment: X one-hot (d x tau), column-major, y as ids."""
import torch


def compute_loss(model, X, y, h0, c0):
    W, U, b, V, c = model["W"], model["U"], model["b"], model["V"], model["c"]
    m = h0.shape[0]
    h, s = h0, c0
    H = []
    for t in range(X.shape[1]):
        a = W @ h + U @ X[:, t : t + 1] + b
        i = torch.sigmoid(a[:m])
        f = torch.sigmoid(a[m : 2 * m])
        g = torch.tanh(a[2 * m : 3 * m])
        o = torch.sigmoid(a[3 * m :])
        s = f * s + i * g
        h = o * torch.tanh(s)
        H.append(h)
    O = V @ torch.hstack(H) + c
    P = torch.softmax(O, dim=0)
    loss = -torch.log(P[y, torch.arange(X.shape[1])]).sum()
    return loss


def compute_gradients_with_torch(X, y, h0, c0, RNN):
    net = {k: torch.tensor(v, requires_grad=True) for k, v in RNN.items()}
    loss = compute_loss(net, torch.tensor(X), torch.tensor(y), torch.tensor(h0), torch.tensor(c0))
    loss.backward()
    return loss.item(), {k: v.grad.numpy() for k, v in net.items()}
