"""Lets the engine torch divide the work of one call among several processes, until the call ends."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from charloom.api.python_warnings import warn_user
from charloom.config import require_whole
from charloom.errors import ConfigError, MissingPartError
from charloom.messages import argument, pip_command
from charloom.process_rank import LOCAL_PROCESSES, PROCESSES, ProcessRank

MOST_PROCESSES: Final = 1_024


@contextmanager
def several_processes(number: int | None, settings: dict[str, Any]) -> Iterator[None]:
    """Divide the work in a `with` block among `number` processes on this machine, which end with it.

    If another process dies while this one does not train, the next update raises. None does nothing.

    Args:
        number: the number of processes with this one.
        settings: the settings that the user gave. The engine becomes torch.

    Raises:
        ConfigError: the number is out of range, `settings` name another engine, or torchrun started this process.
        MissingPartError: PyTorch is not installed.
    """
    if number is None:
        yield
        return
    require_whole("processes", number, least=1, below=MOST_PROCESSES + 1)
    rank = ProcessRank.from_environment()
    if rank is not None:
        raise started_by_torchrun(number, rank)
    choose_torch(settings)
    with dividing(None, number, warn_user, stop=False):
        yield


@contextmanager
def dividing(
    rank: ProcessRank | None, number: int, on_loss: Callable[[str], object], stop: bool
) -> Iterator[None]:
    """Divide the work in a `with` block among processes: new ones, or those that torchrun started.

    Args:
        rank: the place that torchrun gave this process; None starts new processes.
        number: the number of new processes with this one.
        on_loss: called with a message, without a full stop, when another process was lost.
        stop: send SIGTERM to this process if another one was lost while this one evaluates or is paused, so that it
            saves and ends.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warnings about lost connections
    from charloom.engines.torch.training_processes import leading, leading_new

    with (
        leading(rank, on_loss, stop) if rank is not None else leading_new(number, on_loss, stop)
    ) as group:
        tokens = LOCAL_PROCESSES.set(group.rank.local_size), PROCESSES.set(group.rank.size)
        try:
            yield
        finally:
            LOCAL_PROCESSES.reset(tokens[0])
            PROCESSES.reset(tokens[1])


def choose_torch(settings: dict[str, Any]) -> bool:
    """Set the engine in `settings` to torch; return True if no engine was named.

    Raises:
        ConfigError: another engine was named.
        MissingPartError: PyTorch is not installed.
    """
    from charloom.engines import torch_problem

    named = settings.get("engine") or "auto"
    if named not in ("auto", "torch"):
        raise ConfigError(
            f"{argument('engine')} is {named}, which trains in one process; several processes need "
            f"{argument('engine', 'torch')}."
        )
    problem = torch_problem()
    if problem is not None:
        raise MissingPartError(f"{problem}; install it {pip_command('torch')}.")
    settings["engine"] = "torch"
    return bool(named == "auto")


def started_by_torchrun(number: int, rank: ProcessRank) -> ConfigError:
    """Return the error that a user asked for processes, although torchrun started some."""
    return ConfigError(
        f"{argument('processes', number)} starts processes itself, but torchrun has already started {rank.size}. "
        f"Leave out {argument('processes')}."
    )
