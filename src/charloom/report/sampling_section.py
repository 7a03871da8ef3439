"""Makes the optional section of the report with a table of texts by temperature and top-p.

The model of the run writes the texts when the report is made, because a run does not keep them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from charloom.engines import open_engine
from charloom.errors import DamagedError, NotAModelError
from charloom.formatting import capitalized, count, number_of, one_of
from charloom.messages import for_command_line, terminal_command
from charloom.sampling import SampleOptions
from charloom.sampling_grid import DEFAULT_AXES, GridAxes, SampleGrid, write_grid
from charloom.store import RunInspection, load_model


@dataclass(frozen=True)
class GridCell:
    """A text of the table, and the heading of its column, which a narrow page shows above the text."""

    heading: str
    text: str


@dataclass(frozen=True)
class GridRow:
    """A row of the table: its heading and its texts."""

    heading: str
    cells: Sequence[GridCell]


@dataclass(frozen=True)
class GridSection:
    """The section on temperature and nucleus sampling: paragraphs, and a table of texts.

    Attributes:
        paragraphs: what the rows and columns are, and how the texts were written.
        heads: the headings of the columns.
        rows: the rows of the table.
        command: the command that writes the same table.
    """

    paragraphs: Sequence[str]
    heads: Sequence[str]
    rows: Sequence[GridRow]
    command: str


def grid_section(view: RunInspection, axes: GridAxes, damage: list[str]) -> GridSection | None:
    """Let the model of a run write a table of texts, and return the section that shows it.

    Return None if the run has no model yet, or if its model is damaged. Then a message is added to `damage`.

    Args:
        view: the run.
        axes: the temperatures of the rows, and the values of top-p of the columns.
        damage: messages about files of the run that cannot be used.

    Raises:
        NewerFormatError: a later version of charloom wrote the model.
        ReadError: the disk failed while reading.
    """
    try:
        learner = load_model(view.path)
    except (DamagedError, NotAModelError) as error:
        damage.append(
            f"The table of texts needs the model of the run. {capitalized(error.message)}"
        )
        return None
    engine = open_engine("auto", learner.config.threads, cell=learner.config.cell)
    grid = write_grid(learner, engine, options=SampleOptions(), axes=axes)
    return GridSection(
        paragraphs=story(view, grid, learner.update),
        heads=axes.heads,
        rows=[
            GridRow(name, [GridCell(*pair) for pair in zip(axes.heads, texts, strict=True)])
            for name, texts in zip(axes.names, grid.texts, strict=True)
        ],
        command=repeating_command(view, axes),
    )


def story(view: RunInspection, grid: SampleGrid, update: int) -> list[str]:
    """Return the paragraphs of the section. `update` is the update of the model that wrote the texts."""
    unit = one_of(view.config.tokens)
    return [
        f"The temperature divides the logits before the softmax: below 1, likely {view.config.tokens} become likelier "
        f"still; above 1, the probabilities become more equal. Nucleus sampling then draws only from the likeliest "
        f"{view.config.tokens} that together have the probability top-p. With temperature 1 and top-p 1, each {unit} is "
        f"drawn with the probability that the model predicts.",
        f"The model of update {count(update)} wrote {number_of(grid.count, 'text')} of {count(grid.options.length)} "
        f"{view.config.tokens} from seed {grid.options.seed}. All of them use the same random numbers, so they differ only "
        f"because of the two settings.",
    ]


def repeating_command(view: RunInspection, axes: GridAxes) -> str:
    """Return the command that writes the same table."""
    changed = {} if axes == DEFAULT_AXES else {
        "temperatures": ",".join(f"{value:g}" for value in axes.temperatures),
        "top_ps": ",".join(f"{value:g}" for value in axes.top_ps),
    }  # fmt: skip
    return for_command_line(terminal_command("sample", view.path, grid=True, **changed))
