"""The command `trace`: shows every value of a small network over one window, and checks a student's numbers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cell_table import CELL_NAMES
from charloom.cli import model_options
from charloom.cli.completion import model_names
from charloom.cli.error_exit import CHECK_FAILED
from charloom.cli.model_commands import require_one_text
from charloom.cli.options import Json, Texts, choice_option, given_path, path_option
from charloom.cli.terminal import explain_terminal_input, say, show, show_json
from charloom.errors import ConfigError

if TYPE_CHECKING:
    from charloom.network_trace import NumberCheck, Trace

TracedModel = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        parser=given_path,
        autocompletion=model_names,
        help="use the weights of this run or model file, from the zero state, instead of random ones",
    ),
]
OWN: Final = "; not with --model"
TracedCell = Annotated[
    str | None,
    choice_option("--cell", choices=CELL_NAMES, help=f"the recurrent cell [default: rnn]{OWN}"),
]
TracedLayers = Annotated[int | None, typer.Option("--layers", help=f"layers L [default: 1]{OWN}")]
TracedUnits = Annotated[
    int | None, typer.Option("--hidden-size", help=f"hidden units H [default: 2]{OWN}")
]
TracedSteps = Annotated[
    int | None,
    typer.Option("--seq-length", help="steps T [default: 3; with --text, all its characters]"),
]
TracedVocabulary = Annotated[
    int | None,
    typer.Option("--vocabulary-size", help="number K of ids [default: 3]; only without a text"),
]
TracedState = Annotated[
    str | None,
    choice_option(
        "--state",
        choices=("zero", "non-zero"),
        help=f"the initial state [default: non-zero]{OWN}",
    ),
]
TracedSeed = Annotated[int, typer.Option("--seed", help="seed of the random numbers")]
OwnNumbers = Annotated[
    Path | None,
    path_option(
        "--check",
        help="check your own numbers in FILE (.json, .npz or .csv) instead of showing all",
    ),
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        help="largest difference of a right number [default: by the number of digits that you give]"
    ),
]
TracePage = Annotated[Path | None, path_option("--html", help="also write an HTML page")]


def trace(
    text: Texts = None,
    string: model_options.TextItself = None,
    model: TracedModel = None,
    cell: TracedCell = None,
    layers: TracedLayers = None,
    hidden_size: TracedUnits = None,
    seq_length: TracedSteps = None,
    vocabulary_size: TracedVocabulary = None,
    state: TracedState = None,
    seed: TracedSeed = 0,
    check: OwnNumbers = None,
    tolerance: Tolerance = None,
    html: TracePage = None,
    as_json: Json = False,
) -> None:
    """Show every number of a small network, forward and backward.

    Each value has its name and its equation from the specification. With --check,
    your own numbers are compared with it: h_1, da_3, dW and so on. It says which
    are wrong, and which of them is the first in the order of the computation. A
    wrong number gives exit code 1.

    \b
    Example:
      charloom trace --cell lstm --hidden-size 2 --seq-length 2
      charloom trace --text abca --html trace.html
    """
    from charloom import api

    require_one_text(bool(text), string)
    if tolerance is not None and check is None:
        raise ConfigError("--tolerance is for your own numbers: name their file with --check.")
    explain_terminal_input(text or [])
    found = api.trace(
        text or None,
        string=string,
        model=model,
        cell=cell,
        layers=layers,
        hidden_size=hidden_size,
        seq_length=seq_length,
        vocabulary_size=vocabulary_size,
        state=state,
        seed=seed,
    )
    checked = None if check is None else found.check(check, tolerance)
    show_trace(found, checked, as_json)
    if html is not None:
        from charloom.report import write_trace

        say(f"the page is in {write_trace(found, html, checked)}")
    if checked is not None and not checked.passed:
        raise typer.Exit(CHECK_FAILED)


def show_trace(found: "Trace", checked: "NumberCheck | None", as_json: bool) -> None:
    """Print the verdicts on the student's numbers; without any, print the trace."""
    result: Any = found if checked is None else checked
    if as_json:
        show_json(result.to_dict())
    else:
        show(str(result))
