"""Runs an update as a CUDA graph: one launch instead of hundreds. Not measured: no GPU was available.

The first updates run as usual, on a stream of their own, as PyTorch requires before a capture. If the capture fails,
all updates run as usual.
"""

from collections.abc import Callable
from typing import Final

import torch

from charloom.errors import EngineError

WARM_UPS: Final = 3  # updates before the capture


class CapturedUpdate:
    """Calls a function that works on fixed tensors; from the fourth call on, replays its kernels as a graph."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._refused = False  # the capture failed

    def __call__(self) -> None:
        """Do one update."""
        self._calls += 1
        if self._graph is None and self._calls > WARM_UPS and not self._refused:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._run_beside()

    def _run_beside(self) -> None:
        """Run the function on a stream of its own, after everything before and before everything after."""
        beside, current = torch.cuda.Stream(), torch.cuda.current_stream()
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            self._run()
        current.wait_stream(beside)

    def _capture(self) -> None:
        """Capture the kernels of the function, which does not run them."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._run()
        except (
            RuntimeError,
            EngineError,
        ):  # an operation, perhaps of a registered cell, that cannot be captured
            self._refused = True
            torch.cuda.synchronize()
        else:
            self._graph = graph
