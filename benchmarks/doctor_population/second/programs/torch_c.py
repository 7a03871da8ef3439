import torch


@torch.no_grad()
def manual_rnn(params, x, y, h0):
    """Backward pass by hand, without autograd. x, y: (T, N) ids; h0: (N, H)."""
    Wxh, Whh, bh = params["Wxh"], params["Whh"], params["bh"]  # (K, H), (H, H), (H,)
    Why, by = params["Why"], params["by"]  # (H, K), (K,)
    T, N = x.shape
    rows = torch.arange(N)

    hs = [h0]
    ps = []
    loss = torch.zeros((), dtype=h0.dtype)
    for t in range(T):
        h = torch.tanh(Wxh[x[t]] + hs[-1] @ Whh + bh)
        p = torch.softmax(h @ Why + by, dim=1)
        loss += -torch.log(p[rows, y[t]]).sum()
        hs.append(h)
        ps.append(p)
    loss /= N

    g = {k: torch.zeros_like(v) for k, v in params.items()}
    dh_next = torch.zeros_like(h0)
    for t in reversed(range(T)):
        do = ps[t].clone()
        do[rows, y[t]] -= 1
        do /= N
        g["Why"] += hs[t + 1].T @ do
        g["by"] += do.sum(dim=0)
        dh = do @ Why.T + dh_next
        dz = dh * (1 - hs[t + 1].square())
        g["Wxh"].index_add_(0, x[t], dz)
        g["Whh"] += hs[t].T @ dz
        g["bh"] += dz.sum(dim=0)
        dh_next = dz @ Whh.T
    return loss.item(), g
