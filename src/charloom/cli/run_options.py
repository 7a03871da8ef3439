"""Options of the commands that work on runs: train, resume, report, control and serve."""

from pathlib import Path
from typing import Annotated

import typer

from charloom.cli.completion import model_names, one_of_choices, text_names
from charloom.cli.options import MINUTES_HELP, given_path, path_option
from charloom.config import help_of
from charloom.messages import for_command_line
from charloom.recipes import DEFAULT_RECIPE, RECIPES
from charloom.run_file_names import COMMANDS

FromModel = Annotated[
    Path | None,
    path_option(
        "--from",
        metavar="MODEL",
        autocompletion=model_names,
        help="start from the weights of this model; its vocabulary is kept. For a run: the best checkpoint "
        "if the run has a validation part, else the latest",
    ),
]
Exist = Annotated[
    str,
    typer.Option(
        "--exist",
        metavar="[refuse|resume]",
        autocompletion=one_of_choices(("refuse", "resume")),
        help="what to do if the run exists: refuse, or resume it if the settings and the text are the same",
    ),
]
TrainingMinutes = Annotated[
    float | None,
    typer.Option(
        help=f"{MINUTES_HELP} [default: {RECIPES[DEFAULT_RECIPE].minutes:g} with the recipe {DEFAULT_RECIPE}]",
        rich_help_panel="Training",
    ),
]
FindLearningRate = Annotated[
    bool,
    typer.Option(
        "--find-learning-rate",
        help=for_command_line(help_of("find_learning_rate")),
        rich_help_panel="Training",
    ),
]
# `resume` has this option only to explain why it cannot be given.
NoLearningRate = Annotated[bool, typer.Option("--find-learning-rate", hidden=True)]
MovedText = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        autocompletion=text_names,
        help="the new path of the text, if it was moved; repeatable",
    ),
]
UntilEpochs = Annotated[
    int | None,
    typer.Option(help="train until this number of epochs, counted from the start of the run"),
]
UntilUpdates = Annotated[
    int | None,
    typer.Option(help="train until this number of updates, counted from the start of the run"),
]
MoreMinutes = Annotated[float | None, typer.Option(help="continue for about this long")]
AllowOlder = Annotated[
    bool,
    typer.Option(
        "--allow-older",
        help="if checkpoints or records are damaged, continue from the last intact ones",
    ),
]
ReportFile = Annotated[
    Path | None, path_option(help="write the report to this file, and nothing into the run")
]
ControlCommand = Annotated[
    str | None,
    typer.Argument(
        metavar="COMMAND",
        autocompletion=one_of_choices(COMMANDS),
        help="'pause', 'stop', or 'run' to continue after a pause. Without COMMAND, print the state of the run.",
    ),
]
LearningRateFactor = Annotated[
    float | None,
    typer.Option(
        help="from the next update on, multiply the learning rate in the settings of the run by this number"
    ),
]
RunsFolder = Annotated[
    Path,
    typer.Argument(metavar="RUNS", parser=given_path, help="The directory that holds your runs."),
]
Host = Annotated[
    str,
    typer.Option(
        help="the address to listen on; if other machines can reach it, the page needs a token"
    ),
]
Port = Annotated[int, typer.Option(help="the port; 0 chooses a free port")]
OpenPage = Annotated[bool, typer.Option("--open/--no-open", help="open the page in a browser")]
