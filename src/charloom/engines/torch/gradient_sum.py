"""Adds up the gradients of the processes that train one run. Each of them has some of the B streams."""

from dataclasses import dataclass, replace

import torch

from charloom.engines.torch.process_group import ProcessGroup
from charloom.engines.torch.window_autograd import ReadPairs, WindowResult


@dataclass(frozen=True)
class GradientSum:
    """Adds up the gradients of all processes.

    Attributes:
        group: the processes.
        first_stream: the number of this process's first stream among all.
        streams: the number of all streams, B.
        most_rows: the largest number of pairs that a process reads in a window.
    """

    group: ProcessGroup
    first_stream: int
    streams: int
    most_rows: int

    @classmethod
    def of(cls, group: ProcessGroup, first_stream: int, streams: int, steps: int) -> "GradientSum":
        """Return the sum of the gradients of windows with a number of streams and of steps."""
        return cls(group, first_stream, streams, steps * -(-streams // group.rank.size))

    def add_up(self, gradient: torch.Tensor, result: WindowResult) -> torch.Tensor:
        """Replace a gradient by that of all streams; return the loss of all streams, without axes.

        Args:
            gradient: the gradient of the loss averaged over this process's streams, and one more entry, (N + 1,).
            result: the loss and the state of this process's streams.
        """
        gradient[-1] = result.loss
        gradient.mul_(self._share(result))
        self.group.add_up(gradient)
        return gradient[-1]

    def add_up_pairs(
        self, pairs: ReadPairs, result: WindowResult
    ) -> tuple[ReadPairs, WindowResult]:
        """Return the rows of the pairs that any process reads, and the gradient of their inputs for all streams."""
        own = result.pair_gradient
        assert own is not None
        padded = pairs.rows.new_full((self.most_rows,), -1)
        padded[: len(pairs.rows)] = pairs.rows
        rows = torch.unique(self.group.collect(padded))
        total = own.new_zeros(len(rows), own.shape[1])
        total[torch.searchsorted(rows, pairs.rows)] = own * self._share(result)
        self.group.add_up(total)
        return replace(pairs, rows=rows), replace(result, pair_gradient=total)

    def _share(self, result: WindowResult) -> float:
        """Return which part of all streams this process has."""
        return len(result.state["h"][0]) / self.streams
