"""Tells which of several models predicts a text best, and what each character contributed to this."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.api.model import Model, load
from charloom.api.text_arguments import as_path
from charloom.colour_steps import HIGH, LOW, css_colour, scale, value_step
from charloom.config import require_number, require_string
from charloom.cooperative import run_all_slices
from charloom.errors import ConfigError, TextError
from charloom.formatting import counted, one_line, shortened, table
from charloom.model import start_id
from charloom.notebook_html import MOST_CHARACTERS, card, colour_legend, coloured_text, sentence
from charloom.notebook_html import table as html_table
from charloom.surprisal import nats_of_ids_in_slices

LINE_FEED: Final = "\n"
UNKNOWN_BITS: Final = 10.0  # what a character costs a model that does not know it, by default
MOST_UNKNOWN_BITS: Final = 1_000.0
COLOURED_BITS: Final = 6.0  # the contribution from which a character has the strongest colour
SHOWN_TEXT: Final = 48  # characters of a text that a table shows


@dataclass(frozen=True, eq=False)
class ClassifiedText:
    """How well each of M models predicts a text. A notebook shows the text coloured by the contributions.

    Attributes:
        characters: the N characters of the text.
        bits: the surprise of each model at each character in bits, shape (M, N). A character that a model does not
            know costs it `unknown_bits`. NaN for a character that is not counted: one that no model knows, and the
            first one if a model cannot predict it.
        unknown: how many characters of the text each model does not know.
        models: the names of the models.
        end_bits: the surprise of each model at the end of the item in bits, shape (M,), if all models learned collections
            of items; otherwise None.
    """

    characters: tuple[str, ...]
    bits: NDArray[np.float64]
    unknown: tuple[int, ...]
    models: tuple[str, ...]
    end_bits: NDArray[np.float64] | None = None

    @property
    def counted(self) -> int:
        """The number of characters that are counted."""
        return int(np.isfinite(self.bits[0]).sum())

    @property
    def predicted(self) -> int:
        """The number of characters that are counted; the end of an item counts as one."""
        return self.counted + (self.end_bits is not None)

    @property
    def total_bits(self) -> NDArray[np.float64]:
        """The bits of the whole text for each model, shape (M,)."""
        ends = 0.0 if self.end_bits is None else self.end_bits
        return np.asarray(np.nansum(self.bits, axis=1) + ends)

    @property
    def order(self) -> list[int]:
        """The numbers of the models, the one that predicts the text best first."""
        return [int(m) for m in np.argsort(self.total_bits, kind="stable")]

    @property
    def best(self) -> str:
        """The name of the model that predicts the text best."""
        return self.models[self.order[0]]

    @property
    def lead_bits(self) -> float:
        """How many bits fewer the best model needs than the next. The text is 2 to this power times likelier for it."""
        first, second = self.order[:2]
        return float(self.total_bits[second] - self.total_bits[first])

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The probability of each model, shape (M,), if one of them wrote the text and each was equally likely before."""
        weights = np.exp2(self.total_bits.min() - self.total_bits)
        return np.asarray(weights / weights.sum())

    @property
    def contributions(self) -> NDArray[np.float64]:
        """The bits that each character adds to `lead_bits`, shape (N,); negative if it speaks for the next model.

        The end of an item adds the rest of `lead_bits`.
        """
        first, second = self.order[:2]
        return np.asarray(self.bits[second] - self.bits[first])

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON; `null` stands for a character that is not counted."""
        rows = [[None if math.isnan(x) else x for x in row] for row in self.bits.tolist()]
        return {
            "text": "".join(self.characters),
            "model": self.best,
            "probability": float(self.probabilities.max()),
            "lead_bits": self.lead_bits,
            "characters_counted": self.counted,
            "models": [
                {
                    "model": name,
                    "probability": float(self.probabilities[m]),
                    "bits": float(self.total_bits[m]),
                    "bits_per_character": float(self.total_bits[m]) / self.predicted,
                    "unknown_characters": self.unknown[m],
                    "bits_of_characters": rows[m],
                    "end_bits": None if self.end_bits is None else float(self.end_bits[m]),
                }
                for m, name in enumerate(self.models)
            ],
        }

    @property
    def headings(self) -> list[str]:
        """The headings of the columns of `rows`."""
        return ["model", "bits", "bits per character", "unknown characters", "probability"]

    def rows(self) -> list[list[str]]:
        """Return a row for each model, the best first."""
        return [
            [
                self.models[m],
                f"{self.total_bits[m]:,.1f}",
                f"{self.total_bits[m] / self.predicted:.4f}",
                f"{self.unknown[m]:,}",
                f"{100 * self.probabilities[m]:.2f} %",
            ]
            for m in self.order
        ]

    @property
    def verdict(self) -> str:
        """One sentence that names the model."""
        second = self.models[self.order[1]]
        if self.lead_bits == 0:
            return f"{self.best} and {second} predict this text equally well."
        return (
            f"{self.best}: it needs {self.lead_bits:,.1f} bits fewer than {second} for "
            f"{counted(self.counted, 'character')}{'' if self.end_bits is None else ' and the end'}."
        )

    def _repr_html_(self) -> str:
        """Return the verdict, the table of the models, and the text coloured by the contributions."""
        steps = map(contribution_step, self.contributions[:MOST_CHARACTERS].tolist())
        colours = [css_colour(step, HIGH) for step in steps]
        second = self.models[self.order[1]]
        legend = colour_legend(f"speaks for {second}", scale(HIGH, LOW), f"speaks for {self.best}")
        return card(
            self.verdict,
            html_table(self.headings, self.rows()),
            coloured_text(self.characters, colours, legend),
        )


def contribution_step(bits: float) -> int:
    """Return the colour step (-8 … 8) of a contribution in bits; 0 for NaN."""
    return value_step(bits, -COLOURED_BITS, COLOURED_BITS)


@dataclass(frozen=True, eq=False, repr=False)
class Classification:
    """Which of several models predicts each of some texts best. `print` and a notebook show it as a table.

    Attributes:
        texts: the result of each text.
        unknown_bits: what a character costs a model that does not know it, in bits.
    """

    texts: tuple[ClassifiedText, ...]
    unknown_bits: float

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the models."""
        return self.texts[0].models

    @property
    def headings(self) -> list[str]:
        """The headings of the columns of `rows`."""
        return ["text", "model", "probability", "lead in bits"]

    def rows(self, most: int = SHOWN_TEXT) -> list[list[str]]:
        """Return a row for each text, whose own text has at most `most` characters."""
        return [
            [
                shortened_text("".join(each.characters), most),
                each.best,
                f"{100 * each.probabilities.max():.2f} %",
                f"{each.lead_bits:,.1f}",
            ]
            for each in self.texts
        ]

    def counts(self) -> str:
        """Return how many texts each model predicts best, as a sentence."""
        named = [each.best for each in self.texts]
        parts = ", ".join(f"{named.count(name):,} {name}" for name in self.models)
        return f"{counted(len(named), 'text')}: {parts}."

    def lines(self) -> list[str]:
        """Return the lines of the result: the models of a single text, or a line for each of several texts."""
        if len(self.texts) == 1:
            (only,) = self.texts
            return [only.verdict, "", *table(only.headings, only.rows())]
        return [*table(self.headings, self.rows(), left=2), "", self.counts()]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return {
            "unknown_bits": self.unknown_bits,
            "texts": [each.to_json() for each in self.texts],
        }

    def csv_rows(self) -> list[list[Any]]:
        """Return the rows of a CSV table, the headings first: a row for each text, with the bits of each model."""
        heads = ["text", "model", "probability", "lead_bits", "characters_counted"]
        per_model = [f"{what} {name}" for name in self.models for what in ("bits", "unknown")]
        rows: list[list[Any]] = [[*heads, *per_model]]
        for each in self.texts:
            sides = zip(each.total_bits.tolist(), each.unknown, strict=True)
            rows.append(
                [
                    "".join(each.characters),
                    each.best,
                    float(each.probabilities.max()),
                    each.lead_bits,
                    each.counted,
                    *(number for side in sides for number in side),
                ]
            )
        return rows

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        """Return the result of a single text, or the table of several texts."""
        if len(self.texts) == 1:
            return self.texts[0]._repr_html_()
        return card(
            "Which model predicts each text best",
            sentence(self.counts()),
            html_table(self.headings, self.rows()),
        )


def shortened_text(text: str, most: int) -> str:
    """Return a text on one line; "…" stands for what is beyond `most` characters."""
    return one_line(text if len(text) <= most else text[: most - 1] + "…")


def classify(
    models: Sequence[Model | str | Path],
    text: str | Sequence[str],
    *,
    unknown_bits: float = UNKNOWN_BITS,
) -> Classification:
    """Tell which of several models predicts a text best, and what each character contributed.

    Each model reads the text from the zero state, after a line feed if all models know it. The model that needs the
    fewest bits for the whole text is the best (spec/mathematics.md: Classification).

    Args:
        models: at least two models, or paths that `load` opens.
        text: the text itself, or several texts.
        unknown_bits: what a character costs a model that does not know it, in bits. A character that no model knows is
            not counted.

    Raises:
        ConfigError: there are fewer than two models or no text, or a value has another type or is out of its range.
        TextError: a text has no character that is counted.
        NotAModelError: a path is not a model.
        DivergedError: a model's loss is not finite.
    """
    if isinstance(models, (str, Path, Model)):
        models = [models]
    names = [
        str(name) if isinstance(name, (str, Path)) else f"model {n}"
        for n, name in enumerate(models, 1)
    ]
    texts = [text] if isinstance(text, str) else list(text)
    unknown_bits = require_classifiable(names, texts, unknown_bits)
    opened = [each if isinstance(each, Model) else load(as_path(each, "models")) for each in models]
    return classification_of(opened, names, texts, unknown_bits)


def require_classifiable(names: Sequence[str], texts: Sequence[str], unknown_bits: float) -> float:
    """Return `unknown_bits` as a float; raise ConfigError if there is nothing to compare, as `classify` says."""
    if len(names) < 2:
        raise ConfigError(
            f"classify needs at least two models to choose from; it has {len(names)}."
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"{shortened(twice)} is given twice; classify compares different models.")
    if not texts:
        raise ConfigError("there is no text to classify; give at least one.")
    return require_number("unknown_bits", unknown_bits, least=0, most=MOST_UNKNOWN_BITS)


def classification_of(
    models: Sequence[Model], names: Sequence[str], texts: Sequence[str], unknown_bits: float
) -> Classification:
    """Do the work of `classify` with opened models and their names, after `require_classifiable`."""
    results = []
    for number, each in enumerate(texts, start=1):
        found = classified(models, tuple(names), require_string("text", each), unknown_bits)
        if not found.counted:
            which = f"text {number:,}" if len(texts) > 1 else "the text"
            raise TextError(
                f"{which} has no character that is counted: {'it is empty' if not each else 'no model knows any of them'}."
            )
        results.append(found)
    return Classification(tuple(results), unknown_bits)


def classified(
    models: Sequence[Model], names: tuple[str, ...], text: str, unknown_bits: float
) -> ClassifiedText:
    """Return how well each model predicts a text."""
    known = np.array([known_characters(model, text) for model in models]).reshape(len(models), -1)
    bits, ends = np.full(known.shape, unknown_bits), np.full(len(models), math.nan)
    for m, model in enumerate(models):
        bits[m, known[m]], ends[m] = bits_of(model, "".join(compress(text, known[m])))
    left_out = np.isnan(bits).any(axis=0) | ~known.any(axis=0)
    bits[:, left_out] = math.nan
    unknown = tuple((~known).sum(axis=1).tolist())
    return ClassifiedText(tuple(text), bits, unknown, names, None if np.isnan(ends).any() else ends)


def known_characters(model: Model, text: str) -> NDArray[np.bool_]:
    """Return for each character of a text whether the model knows it, shape (characters,)."""
    known = {character for character in set(text) if character in model.vocabulary}
    return np.array([character in known for character in text], dtype=bool)


def bits_of(model: Model, text: str) -> tuple[NDArray[np.float64], float]:
    """Return the surprise of a model at each character of a text that it knows, and at the end, in bits.

    The first value has the shape (characters,). A model of a collection reads the boundary first. Any other model reads a
    line feed first, if it knows it; otherwise the first character is not predicted: NaN. Its end is NaN.
    """
    vocabulary = model.vocabulary
    items = vocabulary.boundary is not None
    if not text and not items:
        return np.empty(0), math.nan
    before = start_id(model.learner) if items or LINE_FEED in vocabulary else np.empty(0, int)
    after = before if items else before[:0]
    ids = np.concatenate([before, vocabulary.encode(text), after]).astype(vocabulary.id_dtype)
    bits = run_all_slices(nats_of_ids_in_slices(model.learner, model.engine, ids)) / math.log(2)
    end, within = float(bits[-1]), bits[len(before) : len(bits) - len(after)]
    if vocabulary.tokens == "bytes" and text:
        sizes = [len(character.encode("utf-8", "surrogatepass")) for character in text]
        within = np.add.reduceat(within, np.cumsum([0, *sizes[:-1]]))
    return within, end if items else math.nan
