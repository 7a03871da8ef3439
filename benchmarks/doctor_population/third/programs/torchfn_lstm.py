import torch
import torch.nn.functional as F


class LSTMCellFunction(torch.autograd.Function):
    """Gates i, f, g, o from their pre-activations (4H,) and the old cell state."""

    @staticmethod
    def forward(ctx, a, c_prev):
        ai, af, ag, ao = a.chunk(4)
        i, f, g, o = torch.sigmoid(ai), torch.sigmoid(af), torch.tanh(ag), torch.sigmoid(ao)
        c = f * c_prev + i * g
        tc = torch.tanh(c)
        ctx.save_for_backward(c_prev, i, f, g, o, tc)
        return o * tc, c

    @staticmethod
    def backward(ctx, dh, dc_next):
        c_prev, i, f, g, o, tc = ctx.saved_tensors
        dc = dc_next + dh * o * (1 - tc ** 2)
        di = dc * g * i * (1 - i)
        df = dc * c_prev * f * (1 - f)
        dg = dc * i * (1 - g ** 2)
        do = dh * tc * o * (1 - o)
        return torch.cat([di, df, dg, do]), dc * f


def lstm_loss(params, x, y, h0, c0):
    """Returns loss and gradients by autograd through the hand-written cell."""
    P = {k: torch.as_tensor(v).clone().requires_grad_() for k, v in params.items()}
    h, c = torch.as_tensor(h0), torch.as_tensor(c0)
    logits = []
    for t in range(len(x)):
        a = P["weight_ih"][:, x[t]] + P["weight_hh"] @ h + P["bias"]
        h, c = LSTMCellFunction.apply(a, c)
        logits.append(P["weight_out"] @ h + P["bias_out"])
    loss = F.cross_entropy(torch.stack(logits), torch.as_tensor(y), reduction="sum")
    loss.backward()
    return float(loss), {k: v.grad.numpy() for k, v in P.items()}
