"""Finds how much memory this process may still use, and checks that a network fits into it.

The memory is limited by the machine's physical memory, by the limits of the address space (`ulimit
-v`) and of the data segment (`ulimit -d`), and by control groups, such as those of a container.
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
from charloom.model.optimizers import slot_names
from charloom.model.parameters import parameter_shapes

GROUPS: Final = Path("/sys/fs/cgroup")
# The memory limits of a process. /proc/self/statm is a list of page counts; for each limit, LIMITS has the index
# of the count that the limit restricts.
LIMITS: Final = {"RLIMIT_AS": 0, "RLIMIT_DATA": 5}


def require_memory(config: Config, vocabulary_size: int, memory: float | None = None) -> None:
    """Raise ConfigError if a network is too large to be trained in `memory` bytes.

    The estimate counts only the parameters, their gradients and the optimizer's arrays. Training needs more,
    so a network that is refused here would certainly fail later.

    Args:
        config: the network's settings.
        vocabulary_size: number of symbols in the vocabulary, K.
        memory: the available memory in bytes; None takes the result of `available_memory`.

    Raises:
        ConfigError: the network does not fit into the memory.
    """
    memory = available_memory() if memory is None else memory
    numbers = parameter_count(config, vocabulary_size)
    needed = training_bytes(config, vocabulary_size)
    if needed > memory:
        raise ConfigError(
            f"{argument('hidden_size')} {config.hidden_size:,} and {argument('layers')} {config.layers:,} make {numbers:,} "
            f"parameters. Training them needs at least {needed / 1e9:,.3g} GB, but charloom "
            f"can use only {memory / 1e9:,.3g} GB here. Use a smaller network."
        )


def require_memory_for_copies(
    config: Config, vocabulary_size: int, copies: int, rate_allowed: bool = True
) -> None:
    """Raise ConfigError if `copies` learners of a network do not fit into memory at the same time.

    Only one of them trains at a time, so the gradients count once. `rate_allowed` says whether the
    user may give `learning_rate` instead of a search; the message then says so. The other arguments are those
    of `require_memory`.
    """
    require_memory(config, vocabulary_size)
    arrays = copies * (1 + len(slot_names(config))) + 1
    memory, needed = available_memory(), arrays * parameter_bytes(config, vocabulary_size)
    if needed > memory:
        instead = f"{argument('learning_rate')} instead of {argument('find_learning_rate')}"
        advice = f"Give {instead}, or use a smaller" if rate_allowed else "Use a smaller"
        raise ConfigError(
            f"the search for a learning rate keeps up to {copies} copies of the network. They need at least "
            f"{needed / 1e9:,.3g} GB, but charloom can use only {memory / 1e9:,.3g} GB here. {advice} network."
        )


def training_bytes(config: Config, vocabulary_size: int) -> int:
    """Return the size of a network's parameters, their gradients and the optimizer's arrays in bytes."""
    return parameter_bytes(config, vocabulary_size) * (2 + len(slot_names(config)))


def parameter_bytes(config: Config, vocabulary_size: int) -> int:
    """Return the size of a network's parameters in bytes."""
    return parameter_count(config, vocabulary_size) * np.dtype(config.dtype).itemsize


def parameter_count(config: Config, vocabulary_size: int) -> int:
    """Return the number of entries of all parameters of a network together.

    All layers above the first have the same size. So the result for many layers is computed from the numbers for a
    network with one layer and a network with two layers.
    """
    if config.layers <= 2:
        return sum(map(math.prod, parameter_shapes(config, vocabulary_size).values()))
    one, two = (parameter_count(config.replace(layers=n), vocabulary_size) for n in (1, 2))
    return one + (config.layers - 1) * (two - one)


def available_memory() -> float:
    """Return the largest number of bytes of memory that this process may use.

    Return infinity if no limit is known.
    """
    return min((physical_memory(), *process_limits(), *group_limits()))


def unused_memory() -> float:
    """Return how many more bytes of memory this process may probably use; infinity if no limit is known.

    The machine's memory and that of a control group are shared with other processes. Only the memory that this
    process uses already is subtracted from them.
    """
    shared = min((physical_memory(), *group_limits())) - resident_memory()
    return max(0.0, min((shared, *process_limits())))


def resident_memory() -> float:
    """Return how many bytes of physical memory this process uses; 0 if this is not known."""
    try:
        import resource

        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (ImportError, OSError):
        return 0.0
    return float(int(pages) * resource.getpagesize())


def physical_memory() -> float:
    """Return the machine's physical memory in bytes; infinity if it is not known."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def process_limits() -> Iterator[float]:
    """Yield how many more bytes each memory limit of this process allows. Skip limits that are not set."""
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
    """Yield the memory limit in bytes of each control group (v1 and v2) to which this process belongs.

    Yield infinity for a group without a limit.

    Args:
        groups: the directory of all control groups.
        own: the file that lists the control groups of this process.
    """
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
    """Return the number in the file `path`; infinity if the file is missing or has no number."""
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # ValueError: the file contains "max", which means no limit
        return math.inf
