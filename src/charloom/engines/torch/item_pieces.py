"""Cuts a window where items begin, so that PyTorch's kernels read each piece as a sequence of its own.

See spec/mathematics.md: Items. PyTorch's kernels have no resets inside a sequence, but they read packed sequences of
different lengths: all first rows, then all second rows of the sequences that have one, and so on, with the longest
sequence first. This module knows no cell.
"""

from dataclasses import dataclass

import torch

from charloom.engines.torch.tensors import Tensors


@dataclass(frozen=True)
class ItemPieces:
    """The pieces of a window of T steps of B streams; no item begins inside a piece, except at its first step.

    Attributes:
        order: the row of the window, t·B + s, that each packed row has, (T·B,).
        places: the packed row that each row of the window has, (T·B,).
        sizes: how many pieces are longer than k steps, for each k, int64 on the processor.
        first: the piece that begins each stream, (B,).
        last: the piece that ends each stream, (B,).
        begins: True for the streams whose first piece begins an item, (B,).
    """

    order: torch.Tensor
    places: torch.Tensor
    sizes: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    begins: torch.Tensor

    @classmethod
    def of(cls, begins: torch.Tensor) -> "ItemPieces":
        """Return the pieces of a window. `begins` is True where a stream begins an item, (T, B)."""
        T, B = begins.shape
        cuts = begins.t().clone()
        cuts[:, 0] = True
        flat = cuts.flatten()  # stream after stream
        starts = flat.nonzero().flatten()
        piece = flat.cumsum(0) - 1  # of each step, counted in the order of the streams
        step = torch.arange(len(flat), device=flat.device) - starts[piece]  # within its piece
        lengths = torch.bincount(piece, minlength=len(starts))
        rank = torch.empty_like(starts)
        by_length = torch.sort(lengths, descending=True, stable=True).indices
        rank[by_length] = torch.arange(len(starts), device=flat.device)
        packed = torch.argsort(step * len(starts) + rank[piece])
        order = packed % T * B + packed // T
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order), device=flat.device)
        of_stream = rank[piece].view(B, T)
        sizes = torch.bincount(step).cpu()
        return cls(order, places, sizes, of_stream[:, 0], of_stream[:, -1], begins[0])

    def packed(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rows of x, (T, B, N), in the order of packed sequences, (T·B, N)."""
        return x.flatten(0, 1)[self.order]

    def unpacked(self, rows: torch.Tensor) -> torch.Tensor:
        """Return packed rows, (T·B, N), as a window (T, B, N)."""
        return rows[self.places].view(-1, len(self.first), rows.shape[1])

    def first_states(self, carried: torch.Tensor) -> torch.Tensor:
        """Return the state before each piece, (pieces, H): that of its stream, (B, H), or zero at an item's beginning."""
        states = carried.new_zeros(int(self.sizes[0]), carried.shape[1])
        states[self.first] = torch.where(self.begins.unsqueeze(1), 0, carried)
        return states

    def last_states(self, states: torch.Tensor) -> torch.Tensor:
        """Return the state after the window of each stream, (B, H), from the states after each piece."""
        return states[self.last]


def reset(carried: Tensors, begins: torch.Tensor | None) -> Tensors:
    """Return the states of one layer, (B, H) or (T, B, H), with zeros where a stream begins an item, `begins` (B,) or (T, B).

    None is a window of a learner without a boundary of items, which changes nothing.
    """
    if begins is None:
        return dict(carried)
    return {
        name: torch.where(begins.unsqueeze(-1), 0, array).to(array.dtype)
        for name, array in carried.items()
    }
