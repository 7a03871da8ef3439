"""The command line: `charloom COMMAND`. It parses, calls the Python interface, and shows.

What a command needs is imported when it runs, so that `--help` is quick.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from charloom.cli import about, checks, doctor, exchange, inside, models, runs, serving
from charloom.cli.guard import Guarded
from charloom.cli.options import Grouped
from charloom.cli.terminal import show

app = typer.Typer(
    name="charloom",
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Help as rich would draw it takes twice as long to start, and an error is more than a line.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The matrices are small: more threads than one make NumPy slower, many times so on a busy machine.
ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

COMMANDS: Final = (
    runs.reproduce,
    runs.train,
    runs.resume,
    runs.report,
    runs.control,
    models.sample,
    models.evaluate,
    models.score,
    inside.neurons,
    serving.serve,
    exchange.export,
    exchange.import_,
    checks.gradcheck,
    doctor.doctor,
    checks.bench,
    about.corpora,
    about.recipes,
    about.info,
)
for command in COMMANDS:
    # A command that Python has a word for is called import_ here.
    app.command(command.__name__.rstrip("_"), cls=Grouped)(command)


def show_version(wanted: bool) -> None:
    """Show the version and leave."""
    if wanted:
        from charloom.store import charloom_version

        show(f"charloom {charloom_version()}")
        raise typer.Exit


@app.callback()
def charloom(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="the version")
    ] = False,
) -> None:
    """Character-level recurrent language models: gradients checked, training fast
    on a CPU, with a report that explains what was done.

    \b
    Start with:
      charloom reproduce
    and open its report; it takes 11 to 75 seconds of one core.
    """


def main() -> None:
    """The entry point of the command `charloom`."""
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us: what is said goes nowhere
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, nowhere)
        # A terminal that cannot show a character shows its number; nothing ends for it.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    app()
