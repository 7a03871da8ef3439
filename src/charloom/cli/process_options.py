"""Lets a command train on several processes: those that torchrun started, or those that --processes asks for."""

import inspect
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer

from charloom.cli.terminal import clear_line, say, say_sentence
from charloom.config import require_whole
from charloom.process_rank import ProcessRank

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
    from charloom.api.process_argument import (
        MOST_PROCESSES,
        choose_torch,
        dividing,
        started_by_torchrun,
    )

    if rank is None and processes is None:
        yield
        return
    if processes is not None:
        require_whole("processes", processes, least=1, below=MOST_PROCESSES + 1)
        if rank is not None:
            raise started_by_torchrun(processes, rank)
    if choose_torch(settings):
        say("several processes train with the engine torch.")
    with dividing(rank, processes or 1, say_loss, stop=True):
        yield


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
