"""Says how much memory a process may still take, and whether a network fits into it.

A limit of the address space (`ulimit -v`), of the data (`ulimit -d`) or of a control group, such as
a container's, counts as well as what the machine has.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.messages import argument
from charloom.model.optimizers import SLOTS
from charloom.model.parameters import parameter_shapes

GROUPS: Final = Path("/sys/fs/cgroup")
# The limits of a process, and the number in /proc/self/statm of pages that count against each.
LIMITS: Final = {"RLIMIT_AS": 0, "RLIMIT_DATA": 5}


def require_memory(config: Config, vocabulary_size: int, memory: float | None = None) -> None:
    """Refuse a network that cannot be trained in so many bytes of memory.

    Counted are its parameters, their gradients and what the optimizer keeps: training takes more,
    and what is refused here could only fail later.

    Args:
        config: of the network.
        vocabulary_size: K.
        memory: None takes what this process may have.

    Raises:
        ConfigError: it does not fit.
    """
    memory = available_memory() if memory is None else memory
    numbers = parameter_count(config, vocabulary_size)
    needed = numbers * np.dtype(config.dtype).itemsize * (2 + len(SLOTS[config.optimizer]))
    if needed > memory:
        raise ConfigError(
            f"{argument('hidden_size')} {config.hidden_size:,} and {argument('layers')} {config.layers:,} make {numbers:,} "
            f"parameters; they and what trains them take {needed / 1e9:,.3g} GB, and charloom "
            f"can have {memory / 1e9:,.3g} GB here. Use a smaller network."
        )


def parameter_count(config: Config, vocabulary_size: int) -> int:
    """How many numbers the parameters of a network are; all layers above the first are alike."""
    one, two = (
        sum(map(math.prod, parameter_shapes(config.replace(layers=n), vocabulary_size).values()))
        for n in (1, 2)
    )
    return one + (config.layers - 1) * (two - one)


def available_memory() -> float:
    """Bytes that this process may have at most; infinite where the system does not tell."""
    return min(physical_memory(), *process_limits(), *group_limits())


def physical_memory() -> float:
    """Bytes of memory that this machine has; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def process_limits() -> Iterator[float]:
    """What each limit of this process leaves, in bytes; nothing where there is none."""
    try:
        import resource

        used = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except (ImportError, OSError):
        return
    for name, place in LIMITS.items():
        limit, _ = resource.getrlimit(getattr(resource, name))
        if limit != resource.RLIM_INFINITY:
            yield max(float(limit - int(used[place]) * resource.getpagesize()), 0.0)


def group_limits(groups: Path = GROUPS, own: Path = Path("/proc/self/cgroup")) -> Iterator[float]:
    """The limit of each control group that this process is in, in bytes; of both versions."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers not in ("", "memory"):
            continue
        base = groups / controllers
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                yield _number_in(folder / name)


def _number_in(path: Path) -> float:
    """The number in a file of the system; infinite where there is none."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # "max"
        return math.inf
