"""Probes a model: how well a linear function of its states tells a property of the text that it reads."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.api.comparison_intervals import BOOTSTRAP_SEED
from charloom.api.evaluation_text import TextChoice
from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, as_path
from charloom.api.unit_search import LIMIT, SearchText, open_search_text, requested_properties
from charloom.config import require_number, require_whole
from charloom.errors import ConfigError, TextError
from charloom.evaluation import BLOCK, FEWEST_BLOCKS, RESAMPLES, TAILS
from charloom.formatting import count, counted
from charloom.hidden_units import Choice, Property, blocks, choose
from charloom.hidden_units.linear_fits import LinearFit, logistic, ridge
from charloom.hidden_units.ranking import LEAST_CHARACTERS, property_values
from charloom.messages import for_python
from charloom.notebook_html import card, sentence, table
from charloom.random import uniforms
from charloom.text import UnknownPolicy

PENALTY: Final = 1e-3
FITTED: Final = (
    2 / 3
)  # share of the characters to which the probe is fitted; it is judged on the rest
MOST_NUMBERS: Final = (
    1 << 25
)  # values of units that are kept in memory; more units, fewer characters

Numbers = NDArray[Any]


@dataclass(frozen=True)
class ProbeScore:
    """How well a linear function of a model's states tells a property, on text to which it was not fitted.

    Attributes:
        property: name of the property.
        description: the property in words.
        measure: "accuracy" for a property that is 0 or 1: the share of characters that a logistic regression gets
            right. "R²" for another one: the share of the variance that a ridge regression explains; below 0, it is
            worse than the mean.
        score: the accuracy, from 0 to 1, or R², at most 1.
        interval: the 95 % bootstrap interval of `score`; None if it is judged on 9,000 characters or fewer.
        without: the score without a network: the accuracy of always giving the more frequent value of the fitted
            characters, or 0 for R².
        fitted: number of characters to which the function was fitted.
        judged: number of characters on which it was judged.
        fit: the fitted function of the values; `fit.weights` has shape (layers · units,), layer by layer.
    """

    property: str
    description: str
    measure: str
    score: float
    interval: tuple[float, float] | None
    without: float
    fitted: int
    judged: int
    fit: LinearFit = field(repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return all fields except `fit` as a dict for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "fit"}

    def cells(self) -> tuple[str, ...]:
        """Return the cells of this property's row in a table; their headings are `PROBE_HEADINGS`."""
        interval = "" if self.interval is None else "{:.3f} and {:.3f}".format(*self.interval)
        return self.property, self.measure, f"{self.score:.3f}", f"{self.without:.3f}", interval


PROBE_HEADINGS: Final = ("property", "measure", "score", "without", "95 % between")


@dataclass(frozen=True)
class Probe:
    """The scores of properties. A notebook shows them as a table.

    Attributes:
        text: the name of the text.
        split: the part of the text: train, validation, test or all.
        what: the value of each unit that the functions read, such as h.
        scores: one entry per property that can be judged.
        left_out: the other properties, with the reason why nothing can be learned about each.
        notes: sentences about the text.
    """

    text: str
    split: str
    what: str
    scores: tuple[ProbeScore, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "text": self.text,
            "split": self.split,
            "what": self.what,
            "scores": [score.to_json() for score in self.scores],
            "left_out": self.left_out,
            "notes": list(self.notes),
        }

    def _repr_html_(self) -> str:
        """Return the scores as a table, as HTML for a notebook."""
        rows = [score.cells() for score in self.scores]
        judged = f"Judged on {count(self.scores[0].judged)} characters of {self.text}."
        return card("Linear probes", sentence(judged), table(PROBE_HEADINGS, rows))


def probe(
    model: Model | str | Path,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    properties: Sequence[str] | None = None,
    pattern: str | None = None,
    layer: int | None = None,
    what: str = "h",
    penalty: float = PENALTY,
    limit: int = LIMIT,
    unknown: str | None = None,
    replacement: str = "",
) -> Probe:
    """Tell properties of a text from the states of a model by a linear function, and judge it on other text.

    The function is fitted to the first two thirds of the characters and judged on the rest (spec/mathematics.md:
    Probes).

    Args:
        model: a model, or a path that `load` opens.
        text: paths, or the name of a built-in text, as for `neurons`.
        string: the text itself, instead of `text`.
        split: the part of the text, as for `Model.evaluate`.
        properties: names of built-in properties. None means all of them, or none if `pattern` is given.
        pattern: a regular expression. The property "pattern" is 1 for characters in its matches, else 0.
        layer: read only this layer, counted from 0.
        what: the value of each unit that the function reads, as for `Model.activity`.
        penalty: of the squared weights; above 0.
        limit: largest number of characters to read. A large network reads fewer, so that its values fit into
            memory.
        unknown: as for `neurons`.
        replacement: the character that replaces unknown characters.

    Raises:
        ConfigError: a property, layer, value or part does not exist, or all properties are the same at
            all characters.
        TextError: the text cannot be read, or has fewer than 100 characters.
        UnknownCharacterError: the text has a character outside the vocabulary.
        DivergedError: a value is not finite.
    """
    opened = model if isinstance(model, Model) else load(as_path(model, "model"))
    penalty = require_number("penalty", penalty, above=0.0)
    choice = choose(opened.learner, layer, None, what)
    requested = requested_properties(properties, pattern)
    policy = None if unknown is None else UnknownPolicy(unknown, replacement)
    wanted = TextChoice(text, string, split, policy)
    found = open_search_text(opened, wanted, characters_to_read(choice, limit))
    scores = probe_scores(opened, found, requested, choice, penalty)
    return replace(scores, notes=tuple(map(for_python, found.notes)))


def characters_to_read(choice: Choice, limit: int) -> int:
    """Return how many characters to read, at most `limit`, so that all values of the units fit into memory.

    Raises:
        ConfigError: `limit` is below 1.
    """
    return min(require_whole("limit", limit, least=1), max(1, MOST_NUMBERS // choice.size))


def probe_scores(
    model: Model,
    search_text: SearchText,
    properties: Sequence[Property],
    choice: Choice,
    penalty: float = PENALTY,
) -> Probe:
    """Return how well properties can be predicted from the values of units. The errors are those of `probe`.

    Args:
        model: the model.
        search_text: the text that the model reads.
        properties: the properties to tell.
        choice: the units and the one value of each that the function reads.
        penalty: of the squared weights.
    """
    read = [model.vocabulary.completed(ids) for ids in search_text.texts]
    characters = sum(len(ends) for _, ends in read)
    if characters < LEAST_CHARACTERS:
        raise TextError(
            f"the text has {counted(characters, 'character')}; give at least {LEAST_CHARACTERS}."
        )
    values = np.concatenate(
        [
            np.concatenate(list(blocks(model.learner, model.engine, ids, choice)))[ends - 1]
            for ids, (_, ends) in zip(search_text.texts, read, strict=True)
        ]
    ).reshape(characters, -1)
    scores, left_out = [], {}
    for found in properties:
        numbers = np.concatenate([property_values(found, pieces) for pieces, _ in read])
        if reason := why_not(found, numbers):
            left_out[found.name] = reason
        else:
            scores.append(score_of(found, values, numbers, penalty))
    if not scores:
        reasons = "; ".join(left_out.values())
        raise ConfigError(f"{reasons}; choose another property or a longer text.")
    part = search_text.part
    return Probe(part.corpus.name, part.split, choice.whats[0], tuple(scores), left_out)


def why_not(found: Property, numbers: Numbers) -> str:
    """Return why nothing can be learned about a property, without a full stop; "" if something can."""
    first = int(len(numbers) * FITTED)
    for words, part in (("to fit", numbers[:first]), ("to judge", numbers[first:])):
        if (part == part[0]).all():
            same = f"{part[0]:g} at each of the {counted(len(part), 'character')} {words}"
            return f"the property {found.name} is {same}, so nothing can be learned about it"
    return ""


def score_of(found: Property, values: Numbers, numbers: Numbers, penalty: float) -> ProbeScore:
    """Return how well a property can be predicted. `values` has shape (N, M), and `numbers` of the property (N,)."""
    first = int(len(numbers) * FITTED)
    fitted, judged = numbers[:first], numbers[first:]
    yes_or_no = bool(np.isin(numbers, (0, 1)).all())
    fit = (logistic if yes_or_no else ridge)(values[:first], fitted, penalty)
    predicted, without = fit(values[first:]), 0.0
    statistic: Callable[[Numbers], float] = explained
    if yes_or_no:
        columns = np.stack([(predicted > 0) == judged, np.ones(len(judged))], axis=1)
        without, statistic = float((judged == (fitted.mean() > 0.5)).mean()), mean_of_sums
    else:
        y = judged.astype(np.float64)
        columns = np.stack([(y - predicted) ** 2, y, y * y, np.ones(len(y))], axis=1)
    return ProbeScore(
        found.name,
        found.description,
        "accuracy" if yes_or_no else "R²",
        statistic(columns.sum(axis=0)),
        block_interval(columns, statistic),
        without,
        first,
        len(judged),
        fit,
    )


def mean_of_sums(sums: Numbers) -> float:
    """Return the first sum divided by the second, which is the number of characters."""
    return float(sums[0] / sums[1])


def explained(sums: Numbers) -> float:
    """Return R² from the sums of (y - ŷ)², y, y² and 1."""
    errors, y, squares, characters = sums.tolist()
    return float(1 - errors / (squares - y * y / characters))


def block_interval(
    columns: Numbers, statistic: Callable[[Numbers], float]
) -> tuple[float, float] | None:
    """Return the 95 % bootstrap interval of a statistic of sums over characters; None with fewer than ten blocks.

    Blocks of 1,000 characters are drawn as for an evaluation.

    Args:
        columns: the summands of each character, shape (N, sums).
        statistic: takes the sums.
    """
    sums = np.add.reduceat(columns, np.arange(0, len(columns), BLOCK), axis=0)
    if len(sums) < FEWEST_BLOCKS:
        return None
    found = np.empty(RESAMPLES)
    for n in range(RESAMPLES):
        numbers = uniforms(BOOTSTRAP_SEED, "bootstrap", len(sums), time=n)
        found[n] = statistic(sums[(numbers * len(sums)).astype(np.int64)].sum(axis=0))
    low, high = np.quantile(found, TAILS)
    return float(low), float(high)
