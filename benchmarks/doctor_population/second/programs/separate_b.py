from typing import NamedTuple

import numpy as np


class StepCache(NamedTuple):
    x: int
    target: int
    h_prev: np.ndarray
    h: np.ndarray
    p: np.ndarray


def step_forward(x, target, h_prev, Wxh, Whh, Why, bh, by):
    h = np.tanh(Wxh[:, x] + Whh @ h_prev + bh)
    s = Why @ h + by
    s = s - s.max()
    log_p = s - np.log(np.exp(s).sum())
    return h, -log_p[target], StepCache(x, target, h_prev, h, np.exp(log_p))


def step_backward(dh, cache, Whh, Why):
    """dh: gradient of the later losses with respect to the state after this step."""
    ds = cache.p.copy()
    ds[cache.target] -= 1
    dWhy = np.outer(ds, cache.h)
    dby = ds
    dh = dh + Why.T @ ds
    da = (1 - cache.h ** 2) * dh
    dWhh = np.outer(da, cache.h_prev)
    dbh = da
    dh_prev = Whh.T @ da
    return dh_prev, da, dWhh, dWhy, dbh, dby


def sequence_loss(inputs, targets, hprev, Wxh, Whh, Why, bh, by):
    caches = []
    h = hprev
    loss = 0
    for x, target in zip(inputs, targets):
        h, step_loss, cache = step_forward(x, target, h, Wxh, Whh, Why, bh, by)
        loss += step_loss
        caches.append(cache)
    loss /= len(inputs)

    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby = np.zeros_like(bh), np.zeros_like(by)
    dh = np.zeros_like(hprev)
    for cache in caches[::-1]:
        dh, dx, dWhh_t, dWhy_t, dbh_t, dby_t = step_backward(dh, cache, Whh, Why)
        dWxh[:, cache.x] += dx
        dWhh += dWhh_t
        dWhy += dWhy_t
        dbh += dbh_t
        dby += dby_t
    for d in (dWxh, dWhh, dWhy, dbh, dby):
        d /= len(inputs)
    return loss, (dWxh, dWhh, dWhy, dbh, dby), h
