"""Measures how much a model relies on its n-grams when it predicts each character of a text.

This module reads no files.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from charloom.colour_steps import HIGH, LOW, css_colour, scale, value_step
from charloom.config import require_string
from charloom.cooperative import Slices, run_all_slices
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import DivergedError, TextError
from charloom.model import Learner, zero_state
from charloom.model.mixture_parts import require_ngrams
from charloom.ngram_logits import ngram_weights
from charloom.notebook_html import MOST_CHARACTERS, card, colour_legend, coloured_text, sentence
from charloom.scoring import tokens_of_a_product
from charloom.text.unknown_policy import REFUSE, UnknownPolicy
from charloom.text.vocabulary import ALL_KNOWN, Unknowns

# The weights with the strongest colours, as on the page. At 1, which has no colour, the prediction starts from the
# n-grams as they were counted.
WEIGHT_BOUNDS: Final = (0.0, 2.0)


@dataclass(frozen=True, eq=False)
class NGramUse:
    """How much a model relies on its n-grams when it predicts each character of a text.

    A notebook shows the text coloured by it.

    Attributes:
        characters: the text, one string per character that the model read. For a byte model, bytes
            that are not UTF-8 are shown as U+FFFD.
        weights: the weight w of the n-grams in the prediction of each character, shape (characters,).
            At 0 the network predicts alone; at 1 it starts from the probabilities as they were counted.
            NaN for the first character, which is not predicted. For a byte model, the mean over the
            bytes of the character.
        unknowns: the characters of the text that were skipped or replaced.
    """

    characters: tuple[str, ...]
    weights: NDArray[np.float64]
    unknowns: Unknowns

    def _repr_html_(self) -> str:
        """Return the text coloured by the weight of the n-grams, as HTML for a notebook."""
        steps = [value_step(w, *WEIGHT_BOUNDS) for w in self.weights[:MOST_CHARACTERS].tolist()]
        legend = colour_legend("network", scale(HIGH, LOW), "n-grams")
        known = self.weights[np.isfinite(self.weights)]
        mean = f"; the mean weight is {known.mean():.2f}" if len(known) else ""
        unknown = sentence(f"{self.unknowns.sentence}.") if self.unknowns.total else ""
        text = coloured_text(self.characters, [css_colour(step, HIGH) for step in steps], legend)
        return card(f"How much the n-grams count{mean}", unknown, text)


def ngram_use(
    learner: Learner, engine: Engine, text: str, policy: UnknownPolicy = REFUSE
) -> NGramUse:
    """Return how much a model relies on its n-grams when it predicts each character of a text.

    The model reads the text from the zero state, in one stream.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the hidden states.
        text: the text, at least one character.
        policy: what to do with a character that is not in the vocabulary.

    Raises:
        ConfigError: the model has no n-grams; or `text` is not a str.
        TextError: the text is empty.
        UnknownCharacterError: the text has a character that is not in the vocabulary.
        DivergedError: a weight is not finite.
    """
    encoded = learner.vocabulary.encode_with(require_string("text", text), policy)
    return run_all_slices(ngram_use_in_slices(learner, engine, encoded.ids, encoded.unknown))


def ngram_use_in_slices(
    learner: Learner, engine: Engine, ids: Ids, unknowns: Unknowns = ALL_KNOWN
) -> Slices[NGramUse]:
    """Do the work of `ngram_use`, but yield after each part of the work and return the result at the end.

    Args:
        learner: the model; it is not changed.
        engine: the engine that computes the hidden states.
        ids: ids of the text, shape (tokens,).
        unknowns: the characters that were skipped or replaced when the text became ids.
    """
    require_ngrams(learner)
    if not len(ids):
        raise TextError("the text is empty; give at least one character.")
    state, size = zero_state(learner.config), tokens_of_a_product(learner)
    parts = [np.array([math.nan])]
    for start in range(0, len(ids), size):
        tokens = np.ascontiguousarray(ids[start : start + size])
        states, state = engine.activations(learner, tokens, state)
        parts.append(ngram_weights(learner, states["h"][:, -1]))
        yield
    # The weight after a token is that of the prediction of the next token.
    weights = np.concatenate(parts)[:-1].astype(np.float64)
    if not np.isfinite(weights[1:]).all():
        raise DivergedError(
            "a weight of the n-grams is not finite: the model diverged; use an earlier checkpoint."
        )
    characters, ends = learner.vocabulary.completed(ids)
    sums = np.add.reduceat(weights, [0, *ends[:-1].tolist()])
    return NGramUse(characters, sums / np.diff(ends, prepend=0), unknowns)
