import torch


class RNNStep(torch.autograd.Function):
    """h = tanh(U x + W h_prev + b), with the derivative by hand."""

    @staticmethod
    def forward(ctx, x, h_prev, U, W, b):
        h = torch.tanh(U @ x + W @ h_prev + b)
        ctx.save_for_backward(x, h_prev, U, W, h)
        return h

    @staticmethod
    def backward(ctx, dh):
        x, h_prev, U, W, h = ctx.saved_tensors
        da = dh * (1 - h * h)
        dx = U.t() @ da
        dh_prev = W.t() @ da
        dU = torch.outer(da, x)
        dW = torch.outer(da, h_prev)
        return dx, dh_prev, dU, dW, da


class SoftmaxLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        p = torch.softmax(logits, dim=0)
        ctx.save_for_backward(p)
        ctx.target = target
        return -torch.log(p[target])

    @staticmethod
    def backward(ctx, dloss):
        (p,) = ctx.saved_tensors
        d = p.clone()
        d[ctx.target] -= 1
        return dloss * d, None


def loss_and_grads(params, inputs, targets, h0):
    P = {k: torch.tensor(v, requires_grad=True) for k, v in params.items()}
    eye = torch.eye(len(params["c"]), dtype=P["c"].dtype)
    h = torch.tensor(h0)
    loss = 0
    for ix, iy in zip(inputs, targets):
        h = RNNStep.apply(eye[ix], h, P["U"], P["W"], P["b"])
        loss = loss + SoftmaxLoss.apply(P["V"] @ h + P["c"], iy)
    loss.backward()
    return loss.item(), {k: v.grad.numpy() for k, v in P.items()}
