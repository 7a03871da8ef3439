import torch


def rnn_loss(params, xs, ys, h0):
    """xs, ys: sequences of ids; params: dict of tensors."""
    h = h0
    loss = 0
    for t in range(len(xs)):
        x = torch.zeros(params["Wxh"].shape[1], dtype=h.dtype)
        x[xs[t]] = 1
        h = torch.tanh(params["Wxh"] @ x + params["Whh"] @ h + params["bh"])
        logits = params["Why"] @ h + params["by"]
        loss = loss - torch.log_softmax(logits, dim=0)[ys[t]]
    return loss, h


def loss_and_grads(params, xs, ys, h0):
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in params.items()}
    loss, h = rnn_loss(leaves, xs, ys, torch.tensor(h0))
    loss.backward()
    grads = {k: v.grad.numpy() for k, v in leaves.items()}
    return loss.item(), grads, h.detach().numpy()
