"""Writes a table of texts: one for each temperature and top-p, all from the same prompt, seed and random numbers.

So the texts differ only in how sharp the probabilities are made (temperature) and how many of the unlikely characters
are left out (top-p, nucleus sampling).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from charloom.config import GRID_TEMPERATURES, GRID_TOP_PS, require_number
from charloom.engines import Engine, Sampler
from charloom.errors import ConfigError
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.model import Learner
from charloom.notebook_html import card, text_table
from charloom.sampling import DEFAULT_OPTIONS, SampleOptions, Writing
from charloom.text.vocabulary import Unknowns
from charloom.wrapped_table import table_of_texts

MOST_GRID_VALUES: Final = 20  # temperatures of a table, and values of top-p
TERMINAL_WIDTH: Final = 80  # of a table whose reader's terminal is not known


@dataclass(frozen=True)
class GridAxes:
    """The temperatures and the values of top-p of a table of texts, in the order in which they are shown.

    Attributes:
        temperatures: the temperature of each row.
        top_ps: the probability of the nucleus of each column.

    Raises:
        ConfigError: a list is empty or too long, or a value is out of its range.
    """

    temperatures: Sequence[float] = GRID_TEMPERATURES
    top_ps: Sequence[float] = GRID_TOP_PS

    def __post_init__(self) -> None:
        bounds = {
            "temperatures": {"least": 0.0, "most": 1e6},
            "top_ps": {"above": 0.0, "most": 1.0},
        }
        for name, limits in bounds.items():
            values = require_values(name, getattr(self, name))
            checked = tuple(require_number(name, value, **limits) for value in values)
            object.__setattr__(self, name, checked)

    @property
    def heads(self) -> list[str]:
        """The headings of the columns."""
        return [f"top-p {top_p:g}" for top_p in self.top_ps]

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        return [f"temperature {temperature:g}" for temperature in self.temperatures]

    def samplers(self, sampler: Sampler) -> list[list[Sampler]]:
        """Return a sampler for each place of the table, row by row: `sampler` with another temperature and top-p."""
        return [
            [
                dataclasses.replace(sampler, temperature=temperature, top_p=top_p)
                for top_p in self.top_ps
            ]
            for temperature in self.temperatures
        ]


def require_values(name: str, values: object) -> Sequence[float]:
    """Return `values`, the list of numbers that a user gave for the argument `name`.

    Raises:
        ConfigError: it is not a list of numbers, or has none or too many.
    """
    if not isinstance(values, str) and hasattr(values, "__iter__"):
        found = tuple(values)
        if 1 <= len(found) <= MOST_GRID_VALUES:
            return found
    raise ConfigError(
        f"{argument(name)} is {shortened(values)}; it must be a list of 1 to {MOST_GRID_VALUES} numbers."
    )


DEFAULT_AXES: Final = GridAxes()


@dataclass(frozen=True)
class SampleGrid:
    """A table of texts that a model wrote from one prompt and seed. A terminal and a notebook show it as a table.

    Attributes:
        prompt: the text that the model read first.
        options: how the texts were written. The temperature and top-p of its sampler are those of no text.
        axes: the temperatures of the rows, and the values of top-p of the columns.
        texts: for each temperature, the texts for each value of top-p, without the prompt.
        ended: why each text ended, "length" or "stop", in the order of `texts`.
        unknowns: the characters of the prompt that were skipped or replaced.
    """

    prompt: str
    options: SampleOptions
    axes: GridAxes
    texts: Sequence[Sequence[str]]
    ended: Sequence[Sequence[str | None]]
    unknowns: Unknowns

    def __getitem__(self, place: tuple[float, float]) -> str:
        """Return the text for a temperature and a value of top-p, such as grid[0.8, 0.95], without the prompt.

        Raises:
            ConfigError: the table has no such temperature or value of top-p.
        """
        row = index_of("temperature", place[0], self.axes.temperatures)
        return self.texts[row][index_of("top_p", place[1], self.axes.top_ps)]

    def lines(self, width: int = TERMINAL_WIDTH) -> list[str]:
        """Return the table as lines of text that are at most `width` wide."""
        rows = list(zip(self.axes.names, self.texts, strict=True))
        return table_of_texts(self.axes.heads, rows, width)

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        """Return the table as HTML for a notebook."""
        rows = [[name, *texts] for name, texts in zip(self.axes.names, self.texts, strict=True)]
        title = f"{counted(self.count, 'text')} from seed {self.options.seed}"
        before = f"after the prompt {shortened(self.prompt)}" if self.prompt else "without a prompt"
        return card(f"{title}, {before}", text_table(["", *self.axes.heads], rows))

    @property
    def count(self) -> int:
        """The number of texts."""
        return len(self.axes.temperatures) * len(self.axes.top_ps)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as plain data: the temperatures, the values of top-p, and a list of the texts."""
        return {
            "temperatures": list(self.axes.temperatures),
            "top_ps": list(self.axes.top_ps),
            "texts": [
                {
                    "temperature": temperature,
                    "top_p": top_p,
                    "text": self.texts[row][column],
                    "ended": self.ended[row][column],
                }
                for row, temperature in enumerate(self.axes.temperatures)
                for column, top_p in enumerate(self.axes.top_ps)
            ],
        }


def index_of(name: str, value: float, values: Sequence[float]) -> int:
    """Return the index of `value` in `values`; raise ConfigError if it is not one of them."""
    if value not in values:
        raise ConfigError(
            f"{argument(name)} is {shortened(value)}; the table has {', '.join(f'{each:g}' for each in values)}."
        )
    return values.index(value)


def grid_writings(
    learner: Learner,
    engine: Engine,
    prompt: str = "",
    options: SampleOptions = DEFAULT_OPTIONS,
    axes: GridAxes = DEFAULT_AXES,
) -> list[list[Writing]]:
    """Return, for each temperature, an iterator over the pieces of each text of a table.

    Nothing is written before the first piece is requested. Each text is that of `Writing` with this temperature
    and top-p; `options` and the errors are also those of `Writing`.
    """
    return [
        [
            Writing(learner, engine, prompt, dataclasses.replace(options, sampler=sampler))
            for sampler in row
        ]
        for row in axes.samplers(options.sampler)
    ]


def write_grid(
    learner: Learner,
    engine: Engine,
    prompt: str = "",
    options: SampleOptions = DEFAULT_OPTIONS,
    axes: GridAxes = DEFAULT_AXES,
) -> SampleGrid:
    """Return a table of texts. The arguments and errors are those of `grid_writings`."""
    writings = grid_writings(learner, engine, prompt, options, axes)
    texts = [["".join(writing) for writing in row] for row in writings]
    ended = [[writing.ended for writing in row] for row in writings]
    return SampleGrid(prompt, options, axes, texts, ended, writings[0][0].unknowns)
