"""The ids that each stream read last, on a device; contexts of n-grams and pairs of characters need them."""

import torch


def with_recent(recent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the recent ids (B, D) of each stream, then the ids x (T, B); shape (D + T, B)."""
    return torch.cat([recent.t(), x])


def contexts_of(recent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the ids that each stream read last after each step, (T, B, D), the latest last."""
    T, D = len(x), recent.shape[1]
    ids = with_recent(recent, x)
    if not D:
        return ids.new_empty((*x.shape, 0))
    return torch.stack([ids[n + 1 : n + 1 + T] for n in range(D)], dim=-1)


def recent_after(recent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the recent ids (B, D) after reading x (T, B)."""
    D = recent.shape[1]
    ids = with_recent(recent, x)
    return ids[len(ids) - D :].t().contiguous()


def previous_ids(recent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the id before each id of x (T, B); -1 if there is none. D must be at least 1."""
    return with_recent(recent, x)[-len(x) - 1 : -1]
