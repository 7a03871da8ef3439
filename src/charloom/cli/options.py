"""Arguments and options that commands of several modules share, as annotated types of parameters."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from charloom.cli.completion import model_names, one_of_choices, run_names, text_names
from charloom.config import help_of, refuse_empty_path
from charloom.messages import for_command_line


def given_path(text: str | Path) -> Path:
    """Return `text`, which the user typed, as a path; raise typer.BadParameter if it is empty."""
    refuse_empty_path(text, error=typer.BadParameter)
    return Path(text)


def path_option(*names: str, metavar: str = "FILE", help: str, **options: Any) -> Any:
    """Return an option whose value is a path. The arguments are those of typer.Option."""
    return typer.Option(*names, metavar=metavar, parser=given_path, help=help, **options)


def choice_option(*names: str, choices: Iterable[str], **options: Any) -> Any:
    """Return an option whose value is one of `choices`. The other arguments are those of typer.Option."""
    choices = tuple(choices)
    metavar = f"[{'|'.join(choices)}]"
    return typer.Option(*names, metavar=metavar, autocompletion=one_of_choices(choices), **options)


Texts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TEXT",
        autocompletion=text_names,
        help="Files, directories, quoted patterns such as '**/*.txt', - for standard input, or names of "
        "built-in texts. Several are joined in the given order.",
    ),
]
Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", parser=given_path, autocompletion=run_names, help="A run directory."
    ),
]
NewRun = Annotated[
    Path | None,
    path_option("--run", metavar="DIR", help="the run directory to create [default: runs/TEXT-N]"),
]
AModel = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        parser=given_path,
        autocompletion=model_names,
        help="A run, a checkpoint directory, a model file, or a directory from export --to hub.",
    ),
]
Which = Annotated[
    str | None,
    choice_option(
        choices=("latest", "best"),
        help="for a run: the latest or the best checkpoint [default: best if the run has a "
        "validation part, else latest]",
    ),
]
MINUTES_HELP: Final = for_command_line(help_of("minutes"))
Minutes = Annotated[float | None, typer.Option(help=MINUTES_HELP, rich_help_panel="Training")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
