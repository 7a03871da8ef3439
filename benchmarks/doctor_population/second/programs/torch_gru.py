import torch


def gru_loss_by_hand(p, x, y, h0):
    """GRU in torch tensors with a hand-written backward pass, columns. x, y: lists of ids, h0: (H,)."""
    h = [h0]
    saved = []
    loss = 0.0
    for t in range(len(x)):
        prev = h[-1]
        r = torch.sigmoid(p["Wr"][:, x[t]] + p["Ur"] @ prev + p["br"])
        z = torch.sigmoid(p["Wz"][:, x[t]] + p["Uz"] @ prev + p["bz"])
        n = torch.tanh(p["Wn"][:, x[t]] + p["Un"] @ (r * prev) + p["bn"])
        new = (1 - z) * n + z * prev
        prob = torch.softmax(p["Wy"] @ new + p["by"], dim=0)
        loss -= torch.log(prob[y[t]]).item()
        h.append(new)
        saved.append((r, z, n, prob))

    g = {name: torch.zeros_like(w) for name, w in p.items()}
    dh = torch.zeros_like(h0)
    for t in range(len(x) - 1, -1, -1):
        r, z, n, prob = saved[t]
        prev = h[t]
        ds = prob.clone()
        ds[y[t]] -= 1
        g["Wy"] += torch.outer(ds, h[t + 1])
        g["by"] += ds
        dh = dh + p["Wy"].T @ ds

        dn = dh * (1 - z) * (1 - n ** 2)
        dz = dh * (prev - n) * z * (1 - z)
        back_n = p["Un"].T @ dn
        dr = back_n * prev * r * (1 - r)
        for gate, d, seen in (("r", dr, prev), ("z", dz, prev), ("n", dn, r * prev)):
            g["W" + gate][:, x[t]] += d
            g["U" + gate] += torch.outer(d, seen)
            g["b" + gate] += d
        dh = dh * z + back_n * r + p["Ur"].T @ dr + p["Uz"].T @ dz
    return loss, g
