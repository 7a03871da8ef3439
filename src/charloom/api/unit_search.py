"""Finds the hidden units of a model that follow a property of a text."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from charloom.api.evaluation_text import Part, TextChoice, choose_part
from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, as_path, demo_text
from charloom.config import require_whole
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.formatting import count
from charloom.hidden_units import (
    Activity,
    Choice,
    Finding,
    Property,
    activity,
    choose,
    marked,
    named,
    pattern,
    rank,
)
from charloom.hidden_units.text_properties import PROPERTIES
from charloom.messages import argument, for_python
from charloom.notebook_html import card, sentence, table
from charloom.text import UnknownPolicy
from charloom.text.unknown_policy import SKIP

LIMIT: Final = 50_000  # largest number of characters to read, by default
TOP: Final = 3
SHOWN: Final = 1_000  # characters of the text that a notebook shows coloured by the best unit


@dataclass(frozen=True)
class Neurons:
    """The units of a model that follow properties of a text.

    A notebook shows them as a table, and the beginning of the text coloured by the best unit.

    Attributes:
        text: the name of the text.
        split: the part of the text: train, validation, test or all.
        characters: number of characters that were read.
        unknown: number of characters of the whole text that were skipped or replaced because they are not
            in the vocabulary.
        notes: sentences about the text: which files were read, left out or changed.
        findings: one entry per property with the units that follow it, in the order of the arguments.
        best_activity: the values of the best unit of the first property that has units, on the beginning of the
            text; None if there is none, or if they were not computed.
    """

    text: str
    split: str
    characters: int
    unknown: int
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]
    best_activity: Activity | None = field(default=None, repr=False, compare=False)

    def _repr_html_(self) -> str:
        """Return the units as a table, and the text coloured by the best one, as HTML for a notebook."""
        read = f"{count(self.characters)} characters of {self.text} were read ({self.split})."
        headings = ("property", "by chance", "best units: layer:unit, value, r")
        pieces = [table(headings, list(map(cells_of, self.findings)))]
        pieces += [sentence(note, quiet=True) for note in self.notes]
        if self.best_activity is not None:
            best = next(finding.property for finding in self.findings if finding.units)
            pieces.append(sentence(f"The text, coloured by the unit that follows {best} best:"))
            pieces.append(self.best_activity._repr_html_())
        return card("Units that follow properties of a text", sentence(read), *pieces)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "text": self.text,
            "split": self.split,
            "characters": self.characters,
            "unknown": self.unknown,
            "notes": list(self.notes),
            "findings": [finding.to_json() for finding in self.findings],
        }


def neurons(
    model: Model | str | Path,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    properties: Sequence[str] | None = None,
    pattern: str | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
    layer: int | None = None,
    unit: int | None = None,
    what: str | None = None,
    top: int = TOP,
    limit: int = LIMIT,
    unknown: str | None = None,
    replacement: str = "",
) -> Neurons:
    """Find the units of a model that follow properties of a text.

    For each property, rank the units by Pearson's correlation of the unit's value after each character
    with the property (spec/mathematics.md: Inside a network).

    Args:
        model: a model, or a path that `load` opens.
        text: paths, or the name of a built-in text. Without `text` and `string`, the text that the
            model was trained on, or a built-in text if that text is missing.
        string: the text itself, instead of `text`.
        split: the part of the text, as for `Model.evaluate`.
        properties: names of built-in properties. None means all of them, or none if `pattern` or
            `spans` is given.
        pattern: a regular expression. The property "pattern" is 1 for characters in its matches, else 0.
        spans: pairs (start, end) of indices of the characters that are read, from 0. The property "marked"
            is 1 for characters from start up to, but not including, end, else 0.
        layer: search only this layer, counted from 0.
        unit: search only this unit of each layer, counted from 0.
        what: search only this value of each unit: h, the hidden state; for an LSTM also cell and the gates
            i, f, g, o; for a GRU also the gates r, z, n.
        top: number of units to list for each property.
        limit: largest number of characters to read.
        unknown: what to do with a character outside the vocabulary: "refuse", "skip" or "replace".
            None means "skip" if the model reads a built-in text because its own text is missing, else
            "refuse".
        replacement: the character that replaces unknown characters.

    Raises:
        ConfigError: a property, layer, unit, value or part does not exist, or `pattern` is not valid.
        TextError: the text cannot be read, or has fewer than 100 characters.
        UnknownCharacterError: the text has a character outside the vocabulary.
        DivergedError: a value is not finite.
    """
    opened = model if isinstance(model, Model) else load(as_path(model, "model"))
    choice = choose(opened.learner, layer, unit, what)
    requested = requested_properties(properties, pattern, spans)
    policy = None if unknown is None else UnknownPolicy(unknown, replacement)
    search_text = open_search_text(opened, TextChoice(text, string, split, policy), limit)
    if spans is not None and len(search_text.texts) > 1:
        raise ConfigError(
            f"the spans must be in one continuous text, but the part {search_text.part.split} "
            f"consists of {len(search_text.texts):,} separate segments; give the text itself as "
            f"{argument('string')}."
        )
    found = find_units(opened, search_text, requested, choice, top)
    return replace(found, best_activity=best_activity(opened, search_text, found))


@dataclass(frozen=True, eq=False)
class SearchText:
    """The text that a model reads to find its units.

    Attributes:
        part: the chosen part of the text, such as its validation part.
        texts: the ids to read: one array for each segment (consecutive characters) of the part. The model
            reads each array from a hidden state of zeros.
        notes: messages about the text, with placeholders for names (see `charloom.messages`).
    """

    part: Part
    texts: tuple[Ids, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.texts))


def find_units(
    model: Model, search_text: SearchText, properties: Sequence[Property], choice: Choice, top: int
) -> Neurons:
    """Return the units of a model that follow `properties`. The errors are those of `neurons`.

    Args:
        model: the model.
        search_text: the text that the model reads.
        properties: the properties of the text.
        choice: the layers, the units and the values of units to search.
        top: number of units to list for each property.
    """
    findings = rank(model.learner, model.engine, search_text.texts, properties, choice, top)
    corpus = search_text.part.corpus
    return Neurons(
        corpus.name,
        search_text.part.split,
        len(search_text),
        corpus.unknown.total,
        tuple(map(for_python, search_text.notes)),
        findings,
    )


def best_activity(model: Model, search_text: SearchText, found: Neurons) -> Activity | None:
    """Return the values of the best unit of the first property that has units, on the beginning of the text.

    Return None if no property has units.
    """
    best = next((finding.units[0] for finding in found.findings if finding.units), None)
    if best is None:
        return None
    choice = choose(model.learner, best.layer, best.unit, best.what)
    return activity(model.learner, model.engine, search_text.texts[0][:SHOWN], choice)


def cells_of(finding: Finding) -> tuple[str, ...]:
    """Return the cells of a property's row in the table of units."""
    if finding.by_chance is None:
        return finding.property, "", finding.why_none
    units = "; ".join(f"{one.layer}:{one.unit} {one.what} {one.r:+.2f}" for one in finding.units)
    return finding.property, f"{finding.by_chance:.2f}", units


def requested_properties(
    names: Sequence[str] | None = None,
    regex: str | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
    option: str = "property",
) -> tuple[Property, ...]:
    """Return the properties of a text for which to find units. Without arguments, return all built-in ones.

    Args:
        names: names of built-in properties.
        regex: a regular expression. The property "pattern" is 1 for characters in its matches, else 0.
        spans: pairs (start, end) of indices of characters. The property "marked" is 1 for characters from
            start up to, but not including, end, else 0.
        option: the argument or option that gave `names`, for messages.

    Raises:
        ConfigError: there is no property with such a name, or an argument is not valid.
    """
    requested: tuple[Property, ...] = ()
    if names is not None:
        requested = named([names] if isinstance(names, str) else names, option)
    if regex is not None:
        requested += (pattern(regex),)
    if spans is not None:
        requested += (marked(spans),)
    return requested or PROPERTIES


def open_search_text(model: Model, choice: TextChoice, limit: int = LIMIT) -> SearchText:
    """Return the text that the model reads to find its units.

    The argument `limit` and the errors are those of `neurons`.
    """
    limit = require_whole("limit", limit, least=1)
    learner = model.learner
    notes: tuple[str, ...] = ()
    try:
        part = choose_part(model, choice)
    except TextError as error:
        if model.run is not None or choice.names_a_text or choice.split is not None:
            raise
        policy = choice.policy or SKIP
        corpus = demo_text(learner.config.tokens, learner.vocabulary, policy=policy)
        notes = (f"{error.message} The model reads the built-in text {corpus.name} instead",)
        part = Part(corpus, "all", ((0, len(corpus)),), own=False)
    kept = [ids for ids in part.first(limit) if len(ids)]
    return SearchText(part, tuple(kept), (*notes, *part.corpus.notes))
