"""The place of this process among the processes that train one run together. Knows nothing about PyTorch.

PyTorch's launcher `torchrun` passes it in environment variables.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Self

# The processes on this machine that train the run of this process, and all of them on all machines.
LOCAL_PROCESSES: Final[ContextVar[int]] = ContextVar("LOCAL_PROCESSES", default=1)
PROCESSES: Final[ContextVar[int]] = ContextVar("PROCESSES", default=1)

NUMBERS: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


@dataclass(frozen=True)
class ProcessRank:
    """The place of a process among the processes that train one run.

    Attributes:
        rank: the number of this process, from 0. Process 0 leads: it alone reads the text and writes the run.
        size: the number of processes.
        local_rank: the number of this process on its machine, from 0.
        local_size: the number of processes on its machine.
        host: the name or address of the machine where all processes meet.
        port: the port there.
        serves: True if process 0 must open that port; False if the launcher opened it.
        attempt: how often the launcher has started the processes again.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    host: str
    port: int
    serves: bool = False
    attempt: int = 0

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] = os.environ) -> Self | None:
        """Return the place that torchrun gave this process; None if torchrun did not start it."""
        try:
            rank, size, local_rank, local_size = (int(variables[name]) for name in NUMBERS)
            host, port = variables["MASTER_ADDR"], int(variables["MASTER_PORT"])
            attempt = int(variables.get("TORCHELASTIC_RESTART_COUNT", "0"))
        except (KeyError, ValueError):
            return None
        serves = variables.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        return cls(rank, size, local_rank, local_size, host, port, serves, attempt)

    def to_environment(self) -> dict[str, str]:
        """Return the environment variables that give a process this place."""
        numbers = (self.rank, self.size, self.local_rank, self.local_size)
        return {
            **dict(zip(NUMBERS, map(str, numbers), strict=True)),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_USE_AGENT_STORE": str(not self.serves),
            "TORCHELASTIC_RESTART_COUNT": str(self.attempt),
        }


def stream_slices(streams: int, size: int) -> list[slice]:
    """Return the streams of each of `size` processes. Their numbers differ by at most one."""
    ends = [streams * (rank + 1) // size for rank in range(size)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]
