"""Measures how much of what a model writes occurs verbatim in its training text, beside a text that it has not read."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from charloom.api.evaluation_text import Part, TextChoice, choose_part
from charloom.api.model import Model, load
from charloom.api.text_arguments import Text, as_path
from charloom.config import require_whole
from charloom.engines import Sampler
from charloom.engines.base import Ids
from charloom.errors import ConfigError, TextError
from charloom.formatting import counted, one_line, table
from charloom.model import DEFAULT_START
from charloom.notebook_html import card, sentence
from charloom.notebook_html import table as html_table
from charloom.sampling import DEFAULT_SAMPLER, SampleOptions, Writing
from charloom.text.unknown_policy import SKIP
from charloom.text.windows import Segment
from charloom.verbatim_matches import (
    Lengths,
    Report,
    SearchedText,
    longest_matches,
    no_report,
    place_of,
)

SAMPLES: Final = 20  # texts that the model writes, by default
LENGTH: Final = 1_000  # characters of each of them, by default
SHOWN_LENGTHS: Final = (2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1_024)
SHOWN_STRETCHES: Final = 5
LINE: Final = 80  # characters of a line of the explanation
MOST_SHOWN: Final = 160  # characters of a stretch that a table shows


@dataclass(frozen=True)
class VerbatimShare:
    """How much of some texts occurs verbatim in the searched text.

    Attributes:
        characters: the number of characters of the texts together.
        shares: for each length n from 1 on, the share of their stretches of n characters that the searched text
            contains, up to the first length with the share 0. NaN if no text has n characters.
        longest: the length of the longest stretch in common. It is not measured beyond 1,024.
        median: half of the places are the beginning of a stretch in common of at least this length.
    """

    characters: int
    shares: tuple[float, ...]
    longest: int
    median: float

    @classmethod
    def of(cls, matches: Sequence[Lengths]) -> "VerbatimShare":
        """Return the shares for texts with the given length of the longest stretch from each place."""
        every = np.concatenate([*matches, np.empty(0, np.int64)])
        longest = int(every.max(initial=0))
        shares = []
        for n in range(1, longest + 2):
            whole = np.concatenate([each[: max(0, len(each) - n + 1)] for each in matches])
            shares.append(float((whole >= n).mean()) if len(whole) else math.nan)
        return cls(len(every), tuple(shares), longest, float(np.median(every)))

    def share(self, n: int) -> float:
        """Return the share of the stretches of `n` characters that the searched text contains."""
        return self.shares[n - 1] if n <= len(self.shares) else 0.0


@dataclass(frozen=True)
class Stretch:
    """A stretch of a written text that the searched text contains.

    Attributes:
        text: the stretch.
        characters: its length.
        sample: the number of the written text, from 0.
        at: its place in the written text, from 0.
        place: the first place in the searched text where it occurs, from 0.
    """

    text: str
    characters: int
    sample: int
    at: int
    place: int


@dataclass(frozen=True, repr=False)
class Memorization:
    """How much of what a model writes is copied. `print` and a notebook show it as a table.

    Attributes:
        text: the name of the searched text.
        searched: the number of characters that were searched: the training part of the model's own text, or all of
            another text.
        tokens: the unit of all lengths, characters or bytes.
        samples: the number of texts that the model wrote.
        written: the shares of what the model wrote.
        held_out: the shares of as many characters of the validation part, in pieces of the same length; None if there
            is none. A model that knows the language and copies nothing has about the same shares.
        stretches: the longest stretches that the model copied, the longest first, without repetitions.
    """

    text: str
    searched: int
    tokens: str
    samples: int
    written: VerbatimShare
    held_out: VerbatimShare | None
    stretches: tuple[Stretch, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON."""
        return asdict(self)

    def rows(self) -> list[list[str]]:
        """Return the cells of the table: a length, and the shares of both texts."""
        sides = [self.written, *([self.held_out] if self.held_out else [])]
        last = max(side.longest for side in sides)
        shown = [n for n in SHOWN_LENGTHS if n <= last] + [
            next((n for n in SHOWN_LENGTHS if n > last), last)
        ]
        return [[f"{n}", *(f"{100 * side.share(n):.2f} %" for side in sides)] for n in shown] + [
            ["longest", *(f"{side.longest}" for side in sides)],
            ["median", *(f"{side.median:g}" for side in sides)],
        ]

    @property
    def headings(self) -> list[str]:
        """The headings of the columns of `rows`."""
        return [self.tokens, "the model writes", *(["held-out text"] if self.held_out else [])]

    @property
    def explanation(self) -> str:
        """One sentence that says what the table shows."""
        start = f"The share of all stretches of so many {self.tokens} that occur verbatim in the searched text"
        if self.held_out is None:
            return f"{start}. The model has no validation part to compare this with."
        return f"{start}, for what the model writes and for text that it did not learn from."

    def lines(self) -> list[str]:
        """Return the lines of the table and of the longest stretches."""
        place = f"the searched text, {self.tokens[:-1]}"
        return [
            f"searched:   {self.text}: {counted(self.searched, self.tokens[:-1])}",
            f"written:    {counted(self.samples, 'text')}, {counted(self.written.characters, self.tokens[:-1])}",
            "",
            *table(self.headings, self.rows()),
            "",
            *textwrap.wrap(self.explanation, LINE),
            *([""] if self.stretches else []),
            *(
                f"{each.characters} {self.tokens} of text {each.sample + 1}, also in {place} {each.place + 1:,}: "
                f"{shown(each.text)}"
                for each in self.stretches
            ),
        ]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        """Return the table and the longest stretches as HTML for a notebook."""
        stretches = [
            (f"{each.characters}", f"{each.sample + 1}", f"{each.place + 1:,}", shown(each.text))
            for each in self.stretches
        ]
        return card(
            f"What the model copies from {self.text}",
            sentence(self.explanation),
            html_table(self.headings, self.rows()),
            html_table((self.tokens, "text", "place", "stretch"), stretches) if stretches else "",
        )


def shown(text: str) -> str:
    """Return a stretch in quotation marks, on one line, and shortened."""
    cut = text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"
    return f"“{one_line(cut)}”"


def memorized(
    model: Model | str | Path,
    text: Text | None = None,
    *,
    samples: int = SAMPLES,
    length: int = LENGTH,
    temperature: float = 1.0,
    top_k: int = DEFAULT_SAMPLER.top_k,
    top_p: float = DEFAULT_SAMPLER.top_p,
    min_p: float = DEFAULT_SAMPLER.min_p,
    seed: int = 0,
) -> Memorization:
    """Measure how much of what a model writes occurs verbatim in its training text.

    The model writes `samples` texts. For each place in them, the longest stretch is found that the training text also
    contains (spec/mathematics.md: Verbatim stretches). The same is measured for the validation part.

    Args:
        model: a model, or a path that `load` opens.
        text: paths, or the name of a built-in text. Without it, the training part of the text that the model was
            trained on is searched. Characters that the model does not know are skipped.
        samples: how many texts the model writes.
        length: the number of characters of each text, or of bytes for a model of bytes.
        temperature: as for `Model.sample`, also the next ones.
        top_k: as for `Model.sample`.
        top_p: as for `Model.sample`.
        min_p: as for `Model.sample`.
        seed: the seed of the texts.

    Raises:
        TextError: the text cannot be read, or the text that the model was trained on is not known.
        ConfigError: a value is out of its range.
    """
    opened = model if isinstance(model, Model) else load(as_path(model, "model"))
    sampler = Sampler(temperature, top_k, top_p, min_p)
    options = SampleOptions(length, seed, sampler, start=DEFAULT_START)
    return memorization_of(opened, searched_parts(opened, text), options, samples)


def searched_parts(model: Model, text: Text | None) -> tuple[Part, Part | None]:
    """Return the part of a text to search, and the held-out part to compare with, if there is one.

    The errors and arguments are those of `memorized`.
    """
    if text is not None:
        return choose_part(model, TextChoice(text, split="all", policy=SKIP)), None
    searched = choose_part(model, TextChoice(split="train"))
    try:
        return searched, choose_part(model, TextChoice(split="validation"))
    except ConfigError:  # the model was trained without a validation part
        return searched, None


def memorization_of(
    model: Model,
    parts: tuple[Part, Part | None],
    options: SampleOptions,
    samples: int,
    report: Report = no_report,
) -> Memorization:
    """Return how much of what a model writes occurs verbatim in a part of a text.

    Args:
        model: the model.
        parts: the result of `searched_parts`.
        options: how each text is written.
        samples: how many texts the model writes.
        report: called after each step of the work with the number of steps so far.
    """
    samples = require_whole("samples", samples, least=1)
    part, held_out = parts
    searched = SearchedText(part.corpus.ids, part.segments, len(model.learner.vocabulary))
    written = list(texts_of(model, options, samples))
    pieces = [] if held_out is None else spread(held_out, samples, options.length)
    if held_out is not None and not pieces:
        raise TextError("the validation part has no characters.")
    matches = longest_matches([*written, *pieces], searched, report)
    own, other = matches[:samples], matches[samples:]
    return Memorization(
        part.corpus.name,
        sum(end - start for start, end in part.segments),
        model.config.tokens,
        samples,
        VerbatimShare.of(own),
        VerbatimShare.of(other) if pieces else None,
        longest_stretches(model, written, own, searched),
    )


def texts_of(model: Model, options: SampleOptions, samples: int) -> Iterator[Ids]:
    """Yield the ids of each text that a model writes."""
    for number in range(samples):
        writing = Writing(model.learner, model.engine, "", options, number=number)
        pieces = []
        while (piece := writing.step()) is not None:
            pieces.append(piece.ids)
        yield np.concatenate(pieces)


def spread(part: Part, pieces: int, length: int) -> list[Ids]:
    """Return up to `pieces` pieces of `length` ids, evenly spread over a part of a text, without overlap.

    Of a short part, return fewer pieces. A part with fewer than `length` ids is one piece for each of its segments.
    """
    cut: list[Segment] = []
    for start, end in part.segments:
        whole = range(start, end - length + 1, length)
        cut += [(at, at + length) for at in whole] or ([(start, end)] if end > start else [])
    bounds = [len(cut) * n // min(pieces, len(cut) or 1) for n in range(min(pieces, len(cut)))]
    return [part.corpus.ids[slice(*cut[at])] for at in bounds]


def longest_stretches(
    model: Model, texts: Sequence[Ids], matches: Sequence[Lengths], searched: SearchedText
) -> tuple[Stretch, ...]:
    """Return the longest stretches of the written texts that the searched text contains, without repetitions."""
    found = [
        (-int(lengths[at]), sample, at)
        for sample, lengths in enumerate(matches)
        for at in np.flatnonzero(np.diff(lengths, prepend=0) >= 0).tolist()
        if lengths[at]
    ]
    stretches: dict[str, Stretch] = {}
    for less, sample, at in sorted(found):
        ids = texts[sample][at : at - less]
        text = model.learner.vocabulary.decode(ids)
        place = None if text in stretches else place_of(ids, searched)
        if place is not None:
            stretches[text] = Stretch(text, -less, sample, at, place)
        if len(stretches) == SHOWN_STRETCHES:
            break
    return tuple(stretches.values())
