"""Finds the row of `pairs.weight` for each pair of characters, on a device (spec/mathematics.md: Pairs)."""

import torch

from charloom.engines.torch.tensors import to_device
from charloom.model.input_pairs import NO_ROW, InputPairs, codes_of


class PairTable:
    """The pairs of a model, sorted, on a device."""

    def __init__(self, pairs: InputPairs, device: torch.device) -> None:
        used = pairs.ids[: pairs.used]
        codes = to_device(codes_of(used[:, 0], used[:, 1], pairs.characters), device)
        self._characters = pairs.characters
        self._codes, self._rows = torch.sort(codes)

    def rows(self, previous: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return the row of each pair; -1 for a pair without a row, and where the previous id is -1."""
        if not len(self._codes):
            return torch.full_like(present, NO_ROW)
        wanted = previous * self._characters + present
        place = torch.searchsorted(self._codes, wanted.contiguous())
        place = place.clamp(max=len(self._codes) - 1)
        return torch.where(self._codes[place] == wanted, self._rows[place], NO_ROW)
