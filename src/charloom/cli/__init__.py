"""The command line, `charloom COMMAND`: parses options, calls the Python interface, prints results.

Each command imports its modules only when it runs, so that `--help` is quick.
"""

import os
import sys
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from charloom.cli import (
    check_commands,
    classify_command,
    compare_command,
    doctor_command,
    evaluate_command,
    exchange_commands,
    fixed_points_command,
    info_commands,
    memorized_command,
    neurons_command,
    run_commands,
    runs_commands,
    sample_command,
    score_command,
    serve_command,
    study_commands,
    trace_command,
)
from charloom.cli.cell_file_option import with_cell_file
from charloom.cli.error_exit import ErrorReportingGroup
from charloom.cli.process_start import START
from charloom.cli.setting_options import CommandWithHeadings
from charloom.cli.terminal import show
from charloom.cpu_limits import keep_numpy_to_one_thread
from charloom.errors import ConfigError

CHECKS: Final = (
    "check is not a command. gradcheck checks charloom's gradients, doctor checks your own code, and trace --check your "
    "own numbers."
)


class Commands(ErrorReportingGroup):
    """The group of all commands, which the help lists in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name_of(command) for command in COMMANDS]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first word names. Three commands check, so `check` names all of them."""
        if args[:1] == ["check"]:
            raise ConfigError(CHECKS)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="charloom",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Do not use the library rich: with it, help takes twice as long to start, and an error takes more than
    # one line.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: Final = (
    run_commands.reproduce,
    run_commands.train,
    run_commands.resume,
    run_commands.report,
    run_commands.control,
    runs_commands.runs,
    compare_command.compare,
    study_commands.study,
    sample_command.sample,
    evaluate_command.evaluate,
    score_command.score,
    classify_command.classify,
    memorized_command.memorized,
    neurons_command.neurons,
    fixed_points_command.fixed_points,
    serve_command.serve,
    exchange_commands.export,
    exchange_commands.push,
    exchange_commands.import_,
    check_commands.gradcheck,
    doctor_command.doctor,
    trace_command.trace,
    check_commands.bench,
    info_commands.corpora,
    info_commands.recipes,
    info_commands.info,
)

# The commands that train or open networks, whose cells may be registered by files of the user.
WITH_CELLS: Final = frozenset(
    {
        run_commands.train,
        run_commands.resume,
        run_commands.report,
        compare_command.compare,
        sample_command.sample,
        evaluate_command.evaluate,
        score_command.score,
        classify_command.classify,
        memorized_command.memorized,
        neurons_command.neurons,
        fixed_points_command.fixed_points,
        serve_command.serve,
        exchange_commands.export,
        exchange_commands.push,
    }
)


def name_of(command: Callable[..., None] | typer.Typer) -> str:
    """Return the name of a command or of a group of commands, such as train or fixed-points."""
    if isinstance(command, typer.Typer):
        return str(command.info.name)
    return command.__name__.replace("_", "-")


for command in COMMANDS:
    if isinstance(command, typer.Typer):
        app.add_typer(command)
    else:
        function = with_cell_file(command) if command in WITH_CELLS else command
        app.command(name_of(command), cls=CommandWithHeadings)(function)


def show_version(wanted: bool) -> None:
    """If `wanted`, print the version and exit."""
    if wanted:
        from charloom.store import charloom_version

        show(f"charloom {charloom_version()}")
        raise typer.Exit


@app.callback()
def charloom(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    """Train character-level recurrent language models on a CPU, with checked
    gradients and a report that explains the training run.

    \b
    Start with:
      charloom reproduce
    It takes about a minute on one core. Then open the report that it names.
    """


def main(start: float | None = None) -> None:
    """Run the command `charloom`.

    `start` is the time of `time.monotonic` at which the process started; None if it is not known.
    """
    context = copy_context()  # so that the next command of this process does not have this start
    if start is not None:
        context.run(START.set, start)
    keep_numpy_to_one_thread()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the parent process closed this stream: discard output
            null_device = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, null_device)
        # Where an encoding lacks a character, print its code instead of failing.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    context.run(app)
