"""Lets a command train on several processes: those that torchrun started, or those that --processes asks for."""

import inspect
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any, Final

import typer

from charloom.cli.error_exit import fail
from charloom.cli.terminal import clear_line, say, say_sentence
from charloom.config import require_whole
from charloom.messages import argument
from charloom.process_rank import LOCAL_PROCESSES, PROCESSES, ProcessRank

MOST_PROCESSES: Final = 1_024

Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        help="divide the streams among this number of processes on this machine (engine torch)",
        rich_help_panel="Machine",
    ),
]


def may_use_processes(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that trains the option --processes. Under torchrun, only process 0 runs the command."""
    own = inspect.signature(command)
    option = inspect.Parameter(
        "processes", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Processes
    )

    @wraps(command)
    def run(settings: dict[str, Any], processes: int | None = None, **values: Any) -> None:
        rank = ProcessRank.from_environment()
        if rank is not None and rank.rank:
            raise typer.Exit(follow_quietly(rank))
        with among_processes(rank, processes, settings):
            command(settings=settings, **values)

    signature = own.replace(parameters=[*own.parameters.values(), option])
    run.__signature__ = signature  # type: ignore[attr-defined]
    return run


@contextmanager
def among_processes(
    rank: ProcessRank | None, processes: int | None, settings: dict[str, Any]
) -> Iterator[None]:
    """Let the engine of a command divide its work among processes, if there are any.

    Args:
        rank: the place that torchrun gave this process; None if torchrun did not start it.
        processes: the number of processes that the user asked for; None if the user did not.
        settings: the settings that the user gave. The engine becomes torch.
    """
    if rank is None and processes is None:
        yield
        return
    if processes is not None:
        require_whole("processes", processes, least=1, below=MOST_PROCESSES + 1)
    if rank is not None and processes is not None:
        fail(
            f"--processes {processes} starts processes itself, but torchrun has already started {rank.size}. Leave out "
            f"--processes."
        )
    choose_torch(settings)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # no warnings about lost connections
    from charloom.engines.torch.training_processes import leading, leading_new

    lead = leading(rank, say_loss) if rank is not None else leading_new(processes or 1, say_loss)
    with lead as group:
        local, size = group.rank.local_size, group.rank.size
        tokens = LOCAL_PROCESSES.set(local), PROCESSES.set(size)
        try:
            yield
        finally:
            LOCAL_PROCESSES.reset(tokens[0])
            PROCESSES.reset(tokens[1])


def choose_torch(settings: dict[str, Any]) -> None:
    """Set the engine to torch, and say so; refuse another engine by name, and a missing PyTorch."""
    from charloom.engines import torch_problem
    from charloom.messages import pip_command

    named = settings.get("engine") or "auto"
    if named not in ("auto", "torch"):
        fail(
            f"{argument('engine')} is {named}, which trains in one process; several processes need "
            f"{argument('engine', 'torch')}."
        )
    problem = torch_problem()
    if problem is not None:
        fail(f"{problem}; install it {pip_command('torch')}.")
    if named == "auto":
        say("several processes train with the engine torch.")
    settings["engine"] = "torch"


def say_loss(reason: str) -> None:
    """Say why the processes cannot continue."""
    clear_line()
    say_sentence(reason)


def follow_quietly(rank: ProcessRank) -> int:
    """Do what process 0 says until it ends; return an exit code.

    torchrun and terminals send signals to all processes. Only process 0 obeys them, because it alone can save.
    """
    from charloom.training.stop_signals import available_signals

    for number in available_signals():
        signal.signal(number, signal.SIG_IGN)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from charloom.engines.torch.training_processes import follow

    return follow(rank, say_loss if rank.rank == 1 else ignore)


def ignore(reason: str) -> None:
    """Say nothing: process 1 speaks for all."""
