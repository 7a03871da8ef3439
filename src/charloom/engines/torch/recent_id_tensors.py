"""The ids that each stream read last, on a device; contexts of n-grams and pairs of characters need them."""

import torch

from charloom.model.learner import NO_ID


def with_recent(recent: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the recent ids (B, D) of each stream, then the ids x (T, B); shape (D + T, B)."""
    return torch.cat([recent.t(), x])


def beginnings(x: torch.Tensor, boundary: int | None) -> torch.Tensor | None:
    """Return where the streams begin an item in the ids x (T, B); None without a boundary of items."""
    return None if boundary is None else x == boundary


def contexts_of(recent: torch.Tensor, x: torch.Tensor, boundary: int | None) -> torch.Tensor:
    """Return the ids that each stream read last after each step, (T, B, D), the latest last.

    If the vocabulary has a boundary of items, the ids before the last boundary are NO_ID.
    """
    T, D = len(x), recent.shape[1]
    ids = with_recent(recent, x)
    if not D:
        return ids.new_empty((*x.shape, 0))
    contexts = torch.stack([ids[n + 1 : n + 1 + T] for n in range(D)], dim=-1)
    return _without_earlier_items(contexts, boundary)


def recent_after(recent: torch.Tensor, x: torch.Tensor, boundary: int | None) -> torch.Tensor:
    """Return the recent ids (B, D) after reading x (T, B), as `contexts_of` does."""
    D = recent.shape[1]
    ids = with_recent(recent, x)
    return _without_earlier_items(ids[len(ids) - D :].t().contiguous(), boundary)


def _without_earlier_items(ids: torch.Tensor, boundary: int | None) -> torch.Tensor:
    """Return ids (…, D) with NO_ID in the place of those before the last boundary."""
    if boundary is None:
        return ids
    begins = (ids == boundary).long()
    later = begins.flip(-1).cumsum(-1).flip(-1) - begins  # the boundaries after each id
    return torch.where(later > 0, NO_ID, ids)


def previous_ids(recent: torch.Tensor, x: torch.Tensor, boundary: int | None) -> torch.Tensor:
    """Return the id before each id of x (T, B); -1 if there is none or x begins an item. D must be at least 1."""
    previous = with_recent(recent, x)[-len(x) - 1 : -1]
    begins = beginnings(x, boundary)
    return previous if begins is None else torch.where(begins, NO_ID, previous)
