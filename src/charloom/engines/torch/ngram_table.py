"""Computes the n-grams' probabilities of many contexts at a time, on a device (spec/mathematics.md: N-grams)."""

import torch

from charloom.engines.torch.tensors import to_device
from charloom.model.ngrams import LEAST_PROBABILITY, NGrams


class NgramTable:
    """The n-grams of a model on a device.

    The contexts are numbered as in `NGrams`: the children of all contexts follow one another, so the numbers
    "parent times K plus first id" of contexts 1, 2, … ascend.
    """

    def __init__(self, ngrams: NGrams, device: torch.device) -> None:
        self._order, self._characters = ngrams.order, ngrams.characters
        self._followers = to_device(ngrams.followers.astype("int64"), device)
        self._follower_ids = to_device(ngrams.follower_ids.astype("int64"), device)
        self._shares = to_device(ngrams.shares, device)
        self._factors = to_device(ngrams.factors, device)
        children = to_device(ngrams.children.astype("int64"), device)
        parents = torch.arange(len(children) - 1, device=device)
        parents = torch.repeat_interleave(parents, children.diff())
        child_ids = to_device(ngrams.child_ids[1:].astype("int64"), device)
        self._keys = parents * self._characters + child_ids

    def log_probabilities(
        self, contexts: torch.Tensor, columns: torch.Tensor | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the logarithm of the probability of each character after each context, (T, B, K).

        Args:
            contexts: the ids before each target, (T, B, D), the latest last; -1 for no id.
            columns: the column of the n-grams for each target, (T, B); None for column 0.
            dtype: the dtype of the computation and of the result.
        """
        T, B, D = contexts.shape
        K, flat = self._characters, contexts.reshape(T * B, D)
        at = torch.arange(T * B, device=flat.device)  # the contexts that the tree still has
        column = torch.zeros_like(at) if columns is None else columns.reshape(-1)
        q = torch.full((T * B, K), 1 / K, dtype=dtype, device=flat.device)
        node = torch.zeros_like(at)
        for length in range(self._order):
            self._mix(q, at, node, column[at])
            if length + 1 < self._order:
                found, child = self._children(node, flat[at, D - 1 - length])
                at, node = at[found], child[found]
        return q.clamp_(min=LEAST_PROBABILITY).log_().view(T, B, K)

    def _mix(
        self, q: torch.Tensor, at: torch.Tensor, node: torch.Tensor, column: torch.Tensor
    ) -> None:
        """Multiply the rows `at` of q by the factors of their contexts, and add the shares of their entries."""
        q[at] *= self._factors[column, node].to(q.dtype).unsqueeze(1)
        first = self._followers[node]
        counts = self._followers[node + 1] - first
        which = torch.repeat_interleave(torch.arange(len(at), device=at.device), counts)
        before = counts.cumsum(0) - counts
        entry = torch.arange(len(which), device=at.device) + (first - before)[which]
        places = at[which], self._follower_ids[entry]
        q[places] = q[places] + self._shares[column[which], entry].to(q.dtype)

    def _children(
        self, node: torch.Tensor, before: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which contexts have a child with the id `before` in front, and the children."""
        if not len(self._keys):
            return torch.zeros_like(node, dtype=torch.bool), node
        wanted = node * self._characters + before
        place = torch.searchsorted(self._keys, wanted).clamp(max=len(self._keys) - 1)
        return (self._keys[place] == wanted) & (before >= 0), place + 1
