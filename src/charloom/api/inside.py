"""Finds the hidden units of a model that follow a property of a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.api.model import Model, load
from charloom.api.parts import Part, choose_part
from charloom.api.texts import Text, demo_text
from charloom.config import require_whole
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.messages import for_python
from charloom.neurons import (
    Choice,
    Finding,
    Property,
    choose,
    marked,
    named,
    pattern,
    rank,
)
from charloom.neurons.properties import PROPERTIES

LIMIT: Final = 50_000  # characters read where nobody says how many
TOP: Final = 3


@dataclass(frozen=True)
class Neurons:
    """Which units of a model follow which properties of a text.

    Attributes:
        text: the name of the text.
        split: which part of it: train, validation, test or all.
        characters: how many symbols of it were read.
        unknown: how many of the whole text's symbols were skipped or replaced.
        notes: sentences about the text: what was taken, left out or changed.
        findings: one for each property, in the order in which they were asked for.
    """

    text: str
    split: str
    characters: int
    unknown: int
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as what JSON can hold."""
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
    """Find the units of a model that follow properties of a text: Pearson's correlation of each
    unit's value after each character with each property (spec/mathematics.md: Inside a network).

    Args:
        model: a model, or what `load` opens.
        text: paths, or the name of a built-in text. Without it, and without `string`, the text
            that the model was trained on, or where that is not to be had a built-in one.
        string: the text itself, instead of `text`.
        split: which part, as for `Model.evaluate`.
        properties: names of built-in properties; None takes all of them, or where a pattern or
            spans are given none.
        pattern: a regular expression; the property "pattern" is 1 in its matches.
        spans: pairs (start, end) of characters from 0; the property "marked" is 1 from each start
            to before its end. They count the characters that are read.
        layer: only units of this layer, from 0.
        unit: only the unit of this number, from 0, of each layer.
        what: only this value of each unit: h; of an LSTM cell, i, f, g, o; of a GRU r, z, n.
        top: how many units to name for each property.
        limit: how many characters to read at most.
        unknown: what to do with a character that it never read: "refuse", "skip" or "replace";
            None skips those of a built-in text that nobody asked for, and refuses others.
        replacement: the known character that is read instead.

    Raises:
        ConfigError: no such property, layer, unit, value or part, or what is no regular expression.
        TextError: the text cannot be read, or has fewer than 100 characters.
        UnknownCharacterError: the text has a character that the model never read.
        DivergedError: a value is not finite.
    """
    opened = model if isinstance(model, Model) else load(model)
    choice = choose(opened.learner, layer, unit, what)
    asked = asked_properties(properties, pattern, spans)
    watched = watch(
        opened,
        text,
        string=string,
        split=split,
        limit=limit,
        unknown=unknown,
        replacement=replacement,
    )
    if spans is not None and len(watched.texts) > 1:
        raise ConfigError(
            f"spans mark one stretch of text, but the part {watched.part.split} has "
            f"{len(watched.texts)}; give the text itself as string."
        )
    return find_units(opened, watched, asked, choice, top)


@dataclass(frozen=True, eq=False)
class Watched:
    """What a model reads while its units are watched.

    Attributes:
        part: the part of a text.
        texts: its first ids; each text is read by itself.
        notes: what is to be said of it, as marked messages.
    """

    part: Part
    texts: tuple[Ids, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return sum(map(len, self.texts))


def find_units(
    model: Model, watched: Watched, properties: Sequence[Property], choice: Choice, top: int
) -> Neurons:
    """The units that follow some properties; errors as `neurons`."""
    findings = rank(model.learner, model.engine, watched.texts, properties, choice, top)
    corpus = watched.part.corpus
    return Neurons(
        corpus.name,
        watched.part.split,
        len(watched),
        corpus.unknown.total,
        tuple(map(for_python, watched.notes)),
        findings,
    )


def asked_properties(
    names: Sequence[str] | None = None,
    regex: str | None = None,
    spans: Sequence[tuple[int, int]] | None = None,
) -> tuple[Property, ...]:
    """The properties that are meant; arguments and errors as `neurons`."""
    asked: tuple[Property, ...] = ()
    if names is not None:
        asked = named([names] if isinstance(names, str) else names)
    if regex is not None:
        asked += (pattern(regex),)
    if spans is not None:
        asked += (marked(spans),)
    return asked or PROPERTIES


def watch(
    model: Model,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    limit: int = LIMIT,
    unknown: str | None = None,
    replacement: str = "",
) -> Watched:
    """What a model shall read; arguments and errors as `neurons`."""
    limit = require_whole("limit", limit, least=1)
    learner = model.learner
    notes: tuple[str, ...] = ()
    try:
        part = choose_part(
            model,
            text,
            string=string,
            split=split,
            unknown=unknown or "refuse",
            replacement=replacement,
        )
    except TextError as error:
        if text is not None or string is not None or split is not None:
            raise
        corpus = demo_text(
            learner.config.tokens,
            learner.vocabulary,
            unknown=unknown or "skip",
            replacement=replacement,
        )
        notes = (f"{error.message} It reads the built-in text {corpus.name} instead",)
        part = Part(corpus, "all", ((0, len(corpus)),), own=False)
    kept = [ids for ids in part.first(limit) if len(ids)]
    return Watched(part, tuple(kept), (*notes, *part.corpus.notes))
