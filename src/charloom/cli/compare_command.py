"""The command `compare`: shows runs side by side, and draws their curves into one picture."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charloom.cli.completion import run_names
from charloom.cli.options import Json, choice_option, given_path, path_option
from charloom.cli.terminal import say, show, show_json
from charloom.cli.waiting import waiting_line

if TYPE_CHECKING:
    from charloom.api.run_comparison import RunComparison

SomeRuns = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN",
        parser=given_path,
        autocompletion=run_names,
        help="Run directories, at least two, or folders that hold runs.",
    ),
]
Picture = Annotated[
    Path | None,
    path_option(help="draw the curves of all runs into this file, which ends in .svg or .png"),
]
Over = Annotated[
    str,
    choice_option(
        choices=("characters", "updates", "epochs", "seconds"),
        help="the horizontal axis of the picture",
        show_default=True,
    ),
]
Intervals = Annotated[
    bool,
    typer.Option(
        "--intervals/--no-intervals",
        help="evaluate the model of each run on its whole validation part, for the 95 % interval of its bits and of the "
        "difference to the best; without, show the bits that the runs recorded",
    ),
]
TERMINAL_COLUMNS: Final = 80  # of the table if stdout is not a terminal
TERMINAL_LINES: Final = 24


def compare(
    run: SomeRuns,
    picture: Picture = None,
    over: Over = "characters",
    intervals: Intervals = True,
    as_json: Json = False,
) -> None:
    """Compare runs: the settings that differ, bits per character and seconds.

    The bits are those of the model on its validation part. "above the best" is the
    difference to the best run with the same validation text, with the 95 % interval
    of the difference in parentheses. --picture draws the smooth and the validation
    losses of all runs.

    \b
    Example:
      charloom compare runs/book-1 runs/book-2 --picture comparison.svg
    """
    from charloom.api.compare_runs import comparison_of, paths_to_compare
    from charloom.config import require_one_of
    from charloom.report.comparison_curves import COMPARISON_AXES

    require_one_of("over", over, tuple(COMPARISON_AXES))
    if picture is not None:
        from charloom.report.plot_files import require_image

        require_image(picture)
    unread: list[str] = []
    paths = paths_to_compare(run, unread)
    for message in unread:
        say(message)
    found = comparison_of(paths, intervals, waiting_line)
    if picture is not None:
        found.save_picture(picture, over)
    if as_json:
        show_json({**found.to_dict(), "picture": None if picture is None else str(picture)})
    else:
        show_comparison(found, picture)


def show_comparison(found: "RunComparison", picture: Path | None) -> None:
    """Print the table to stdout, and the notes and the path of the picture to stderr."""
    width = (
        shutil.get_terminal_size((TERMINAL_COLUMNS, TERMINAL_LINES)).columns
        if sys.stdout.isatty()
        else TERMINAL_COLUMNS
    )
    for line in found.lines(width):
        show(line)
    for note in found.notes:
        say(note)
    if picture is not None:
        say(f"wrote {picture}.")
