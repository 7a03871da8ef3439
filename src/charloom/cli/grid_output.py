"""Writes a table of texts by temperature and top-p, for `charloom sample --grid`, and shows it."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charloom.cli.grid_values import given_numbers
from charloom.cli.terminal import say, show, show_json
from charloom.cli.waiting import waiting_line
from charloom.config import GRID_TEMPERATURES, GRID_TOP_PS
from charloom.errors import ConfigError
from charloom.formatting import counted, shortened

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.engines import Sampler
    from charloom.sampling import SampleOptions
    from charloom.sampling_grid import GridAxes, SampleGrid

USUAL_WIDTH: Final = 80  # of the table if stdout is no terminal, so that its width is not known


def axes_of(grid: bool, temperatures: str | None, top_ps: str | None) -> "GridAxes | None":
    """Return the temperatures and values of top-p that the user wants a table of; None if no table is wanted.

    Args:
        grid: the option --grid. Each of the other two options means it too.
        temperatures: the option --temperatures; None if it was not given.
        top_ps: the option --top-ps; None if it was not given.

    Raises:
        ConfigError: a list has a value that is not a number or out of its range.
    """
    if not grid and temperatures is None and top_ps is None:
        return None
    from charloom.sampling_grid import GridAxes

    return GridAxes(
        given_numbers("temperatures", temperatures, GRID_TEMPERATURES),
        given_numbers("top_ps", top_ps, GRID_TOP_PS),
    )


def require_no_other_values(sampler: "Sampler", samples: int) -> None:
    """Raise ConfigError if the user gave an option for one text together with those for a table.

    `sampler` and `samples` are those of the command's options for one text.
    """
    temperature, top_p = sampler.temperature, sampler.top_p
    if temperature != 1.0:
        raise ConfigError(
            f"--temperature {temperature:g} is for one text; a table has --temperatures, such as "
            f"--temperatures {temperature:g},1."
        )
    if top_p != 1.0:
        raise ConfigError(
            f"--top-p {top_p:g} is for one text; a table has --top-ps, such as --top-ps {top_p:g},1."
        )
    if samples != 1:
        raise ConfigError(
            f"--samples {samples} is without a table; a table has one text in each place. For other texts, give "
            f"another --seed."
        )


def write_table(
    opened: "Model", prompt: str, options: "SampleOptions", axes: "GridAxes"
) -> "SampleGrid":
    """Return the table of texts that a model writes. A terminal shows meanwhile how long it takes."""
    from charloom.sampling_grid import write_grid

    texts = counted(len(axes.temperatures) * len(axes.top_ps), "text")
    with waiting_line(f"writing {texts} of up to {counted(options.length, 'character')}"):
        return write_grid(opened.learner, opened.engine, prompt, options, axes)


def show_grid(grid: "SampleGrid", model: Path, stage: str) -> None:
    """Print a table of texts, as wide as the terminal.

    `stage` is the stage of the model in words, such as "the best model (update 138 of 2,000)".
    """
    say(f"{model}, {stage}, writes {counted(grid.count, 'text')} from seed {grid.options.seed}:")
    if grid.prompt:
        show(f"prompt: {shortened(grid.prompt)}")
    for line in grid.lines(width_of_output()):
        show(line)


def width_of_output() -> int:
    """Return the width of the terminal in characters; `USUAL_WIDTH` if stdout is not a terminal."""
    if not sys.stdout.isatty():
        return USUAL_WIDTH
    return shutil.get_terminal_size((USUAL_WIDTH, 24)).columns


def show_grid_json(grid: "SampleGrid", identity: dict[str, Any], options: dict[str, Any]) -> None:
    """Print a table of texts as JSON.

    Args:
        grid: the table.
        identity: the fields that name the model.
        options: the options of the texts by name; those of the table replace temperature and top_p.
    """
    common = {
        name: value for name, value in options.items() if name not in ("temperature", "top_p")
    }
    show_json({**identity, "prompt": grid.prompt, **common, **grid.to_dict()})
