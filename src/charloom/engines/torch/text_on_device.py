"""The ids of a text for the engine: on the device if they fit there, else read window by window."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from charloom.engines.base import Ids
from charloom.engines.checked_arguments import checked_text

LARGEST_SHARE: Final = 0.25  # of the GPU's free memory that a text may take


class TextOnDevice:
    """A text of ids. The array of ids may be a memory map that is larger than the memory."""

    def __init__(self, tokens: Ids, device: torch.device, upload: bool = True) -> None:
        self.ids, self._device = checked_text(tokens), device
        self.length = len(self.ids)
        self._whole: torch.Tensor | None = None
        self._largest = 0  # the largest id, known only if the text is on the device
        if upload and device.type == "cuda" and self.length:
            self._upload()

    def _upload(self) -> None:
        """Copy the ids to the device if they fit there."""
        ids = self.ids
        wide = ids.dtype != np.uint8  # PyTorch has no index of uint16
        free, _ = torch.cuda.mem_get_info(self._device)
        if self.length * (4 if wide else 1) <= LARGEST_SHARE * free:
            self._largest = int(ids.max())
            array = ids.astype(np.int32) if wide else np.array(ids)
            self._whole = torch.from_numpy(array).to(self._device)

    def windows(
        self, begins: NDArray[np.int64], steps: int, characters: int
    ) -> Callable[[int], torch.Tensor | None]:
        """Return a function that reads the window of an update, int64 of shape (T + 1, B), on the device.

        Its argument is the number of the update in the plan, from 0. It returns None if the window has an id
        outside the vocabulary.

        Args:
            begins: where the windows begin in the text, shape (updates, B).
            steps: T.
            characters: the number of characters in the vocabulary, K.
        """
        whole = self._whole
        if whole is not None and self._largest < characters:
            places = torch.from_numpy(begins).to(self._device)
            ahead = torch.arange(steps + 1, device=self._device).unsqueeze(1)
            return lambda u: whole[places[u] + ahead].long()
        ahead_here = np.arange(steps + 1)[:, np.newaxis]

        def read(u: int) -> torch.Tensor | None:
            ids = self.ids[begins[u] + ahead_here].astype(np.int64)
            return None if ids.max() >= characters else torch.from_numpy(ids).to(self._device)

        return read
