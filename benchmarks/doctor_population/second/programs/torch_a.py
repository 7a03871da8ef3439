import torch


def rnn_loss(params, x, y, h0):
    """params: dict of tensors U, W, b, V, c. Returns the loss and the gradients by autograd."""
    leaves = {k: v.detach().clone().requires_grad_(True) for k, v in params.items()}
    U, W, b, V, c = (leaves[k] for k in ("U", "W", "b", "V", "c"))
    h = h0
    loss = 0.0
    for t in range(len(x)):
        h = torch.tanh(U[:, x[t]] + W @ h + b)
        logits = V @ h + c
        loss = loss - torch.log_softmax(logits, dim=0)[y[t]]
    loss.backward()
    grads = {k: v.grad for k, v in leaves.items()}
    return loss.item(), grads
