"""Finds the fixed points of a model for a constant input, and compares them with the states that it visits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.api.evaluation_text import TextChoice
from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, as_path
from charloom.api.unit_search import SearchText, open_search_text
from charloom.config import require_string, require_whole
from charloom.errors import ConfigError, TextError
from charloom.formatting import count, counted, shortened
from charloom.hidden_units.fixed_points import ON_CIRCLE, find_fixed_points
from charloom.hidden_units.state_map import StateMap
from charloom.messages import argument, for_python
from charloom.model import zero_state
from charloom.notebook_html import card, sentence, table
from charloom.text import UnknownPolicy

STARTS: Final = 64  # states from which the search begins, by default
VISITED: Final = 4_096  # characters that the model reads to visit states
SHOWN_POINTS: Final = 20  # points that a table shows

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoints:
    """The fixed points of a model for a constant input. `print` and a notebook show them as a table.

    A point is a state of all layers. Points are sorted by how many searches found them, most first. F is the number
    of points, L of layers, H of units, and n = L H, or 2 L H for an LSTM.

    Attributes:
        character: the character that the model reads at every step; None for no input.
        text: the name of the text whose states were visited.
        h: the hidden states, float64 of shape (F, L, H). The h of a held unit is the held value.
        cell: the cell states of an LSTM, float64 of shape (F, L, H); None for another cell.
        residuals: the largest change of any number of the state in one step, at most 1e-10, shape (F,).
        eigenvalues: those of the Jacobian of a step, largest modulus first, complex128 of shape (F, n).
        stable: True if all eigenvalues are inside the unit circle, so that near states come closer, shape (F,).
        outside: how many eigenvalues are outside the unit circle, shape (F,). Each drives near states away. An
            eigenvalue whose modulus differs from 1 by at most 1e-9 is neither inside nor outside.
        found: from how many first states the point was reached, shape (F,).
        distances: the Euclidean distance of h to the nearest visited state, shape (F,).
        visited: the hidden states that the model visited in the text, shape (characters, L, H).
        starts: the number of first states.
        unfinished: from how many of them no point was reached.
        notes: sentences about the text.
    """

    character: str | None
    text: str
    h: Array
    cell: Array | None
    residuals: Array
    eigenvalues: Array
    stable: Array
    outside: Array
    found: Array
    distances: Array
    visited: Array
    starts: int
    unfinished: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.h)

    def to_json(self) -> dict[str, Any]:
        """Return the points as plain data for JSON, without the visited states; an eigenvalue is [real, imaginary]."""
        points = [
            {
                "residual": float(self.residuals[n]),
                "stable": bool(self.stable[n]),
                "outside": int(self.outside[n]),
                "found": int(self.found[n]),
                "distance": float(self.distances[n]),
                "eigenvalues": [[z.real, z.imag] for z in self.eigenvalues[n].tolist()],
                "h": self.h[n].tolist(),
                **({} if self.cell is None else {"cell": self.cell[n].tolist()}),
            }
            for n in range(len(self))
        ]
        return {
            "character": self.character,
            "text": self.text,
            "starts": self.starts,
            "unfinished": self.unfinished,
            "notes": list(self.notes),
            "points": points,
        }

    @property
    def kinds(self) -> list[str]:
        """What each point is: stable; unstable, with an eigenvalue outside the unit circle; or else marginal."""
        return [
            "stable" if stable else "unstable" if outside else "marginal"
            for stable, outside in zip(self.stable, self.outside, strict=True)
        ]

    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of each point's row in a table; their headings are `HEADINGS`."""
        return [
            (
                str(n),
                f"{self.found[n]}",
                self.kinds[n],
                f"{abs(self.eigenvalues[n, 0]):.4f}",
                count(int(self.outside[n])),
                f"{self.distances[n]:.3f}",
                f"{self.residuals[n]:.0e}",
            )
            for n in range(len(self))
        ]

    def lines(self) -> list[str]:
        """Return the lines of a table of all points, below two lines with the input and the states."""
        reads = "no input" if self.character is None else f"{self.character!r} at every step"
        rows = [
            "".join(f"{cell:>{width}}" for cell, width in zip(row, WIDTHS, strict=True))
            for row in (HEADINGS, *self.rows())
        ]
        states = f"{counted(self.starts, 'state')} visited in {self.text}"
        return [f"input:      {reads}", f"states:     {states}", "", *rows]

    @property
    def unfinished_sentence(self) -> str:
        """A sentence that says from how many states no point was reached; "" if there are none."""
        if not self.unfinished:
            return ""
        return f"from {counted(self.unfinished, 'state')}, the search reached no fixed point."

    def __repr__(self) -> str:
        return "\n".join(filter(None, ["\n".join(self.lines()), self.unfinished_sentence]))

    def _repr_html_(self) -> str:
        """Return the points as a table, as HTML for a notebook."""
        more = f"{counted(len(self), 'point')} from {counted(self.starts, 'state')}."
        return card("Fixed points", sentence(more), table(HEADINGS, self.rows()[:SHOWN_POINTS]))


HEADINGS: Final = ("point", "found", "kind", "largest |λ|", "outside", "distance", "residual")
WIDTHS: Final = (6, 7, 10, 13, 9, 10, 10)  # of the columns of a table for a terminal


def no_report(_done: int, _searches: int) -> None:
    """Show nothing."""


def fixed_points(
    model: Model | str | Path,
    character: str | None = None,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    starts: int = STARTS,
    unknown: str | None = None,
    replacement: str = "",
) -> FixedPoints:
    """Find states that a model does not change while it reads the same character again and again.

    Newton's method with the exact Jacobian begins at states that the model visits in a text
    (spec/mathematics.md: Fixed points).

    Args:
        model: a model, or a path that `load` opens.
        character: the character that the model reads at every step. None means no input: layer 0 reads only its
            bias.
        text: the text whose states are visited, as for `neurons`.
        string: the text itself, instead of `text`.
        split: the part of the text, as for `Model.evaluate`.
        starts: number of visited states from which to begin, evenly spaced in the first 4,096 that are visited.
        unknown: as for `neurons`.
        replacement: the character that replaces unknown characters.

    Raises:
        ConfigError: `character` is not one character of the vocabulary, or `starts` is below 1.
        TextError: the text cannot be read, or is empty.
        UnknownCharacterError: the text has a character outside the vocabulary.
    """
    opened = model if isinstance(model, Model) else load(as_path(model, "model"))
    require_whole("starts", starts, least=1)
    policy = None if unknown is None else UnknownPolicy(unknown, replacement)
    found = open_search_text(opened, TextChoice(text, string, split, policy), VISITED)
    return points_of(opened, character, found, starts)


def points_of(
    model: Model,
    character: str | None,
    search_text: SearchText,
    starts: int,
    report: Callable[[int, int], None] = no_report,
) -> FixedPoints:
    """Return the fixed points of a model. The arguments are those of `fixed_points`.

    Args:
        model: the model.
        character: the character that the model reads at every step, or None.
        search_text: the text whose states are visited.
        starts: number of first states.
        report: is called after the search from each of them, with the number that are done and of all.
    """
    step = StateMap(model.learner, None if character is None else id_of(model, character))
    vectors = visited_states(model, search_text, step)
    chosen = np.unique(np.linspace(0, len(vectors) - 1, starts).round().astype(np.int64))
    points = find_fixed_points(step, list(vectors[chosen]), report)
    moduli = np.abs(points.eigenvalues)
    h, visited = step.hidden_states(points.vectors), step.hidden_states(vectors)
    return FixedPoints(
        character,
        search_text.part.corpus.name,
        h,
        step.arrays(points.vectors).get("cell"),
        points.residuals,
        points.eigenvalues,
        moduli.max(axis=1, initial=0) < 1 - ON_CIRCLE,
        (moduli > 1 + ON_CIRCLE).sum(axis=1),
        points.found,
        np.array([np.sqrt(((visited - point) ** 2).sum(axis=(1, 2)).min()) for point in h]),
        visited,
        len(chosen),
        points.unfinished,
        tuple(map(for_python, search_text.notes)),
    )


def id_of(model: Model, character: str) -> int:
    """Return the id of a character.

    Raises:
        ConfigError: it is not one character of the vocabulary.
    """
    symbols = model.vocabulary.characters
    if require_string("character", character) not in symbols:
        raise ConfigError(
            f"{argument('character')} is {shortened(character)}, which is not one character of the model's vocabulary."
        )
    return symbols.index(character)


def visited_states(model: Model, search_text: SearchText, step: StateMap) -> Array:
    """Return the states of a model after each character of a text as vectors, float64 of shape (characters, n).

    Raises:
        TextError: the text is empty.
    """
    found = []
    for ids in search_text.texts:
        tokens = np.ascontiguousarray(ids)
        states, _ = model.engine.activations(model.learner, tokens, zero_state(model.config))
        arrays = [states[name].astype(np.float64) for name in step.cell.states]
        found.append(np.stack(arrays, axis=2).reshape(len(tokens), -1))
    if not found:
        raise TextError("the text is empty; give at least one character.")
    return np.concatenate(found)
