"""Chooses the part of a text that a model is judged on, and measures the model and the baselines on
it.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from charloom.api.texts import Text, open_text
from charloom.baselines import LIMIT, Baselines, measure_baselines
from charloom.config import UNKNOWNS, require_one_of
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, StoreError, TextError
from charloom.evaluation import Evaluation, evaluate
from charloom.messages import argument
from charloom.model import Learner
from charloom.spelling import shortened
from charloom.store.layout import read_about
from charloom.store.opening import open_text as open_own_text
from charloom.store.opening import require_about
from charloom.text import Corpus, Windows
from charloom.text.windows import Segment

PARTS = ("train", "validation", "test", "all")


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a text, in a model's vocabulary.

    Attributes:
        corpus: the whole text.
        split: train, validation, test or all.
        segments: the stretches that it is made of, from a character to before another.
        own: whether the text is the one that the model was trained on.
    """

    corpus: Corpus
    split: str
    segments: tuple[Segment, ...]
    own: bool

    def first(self, limit: int) -> list[Ids]:
        """The ids of each segment, `limit` at most in all, from the beginning on."""
        kept = []
        for start, end in self.segments:
            kept.append(self.corpus.ids[start : min(end, start + limit)])
            limit -= len(kept[-1])
        return kept

    def last(self, limit: int) -> list[Ids]:
        """The ids of each segment, `limit` at most in all, at the end of the part."""
        kept: list[Ids] = []
        for start, end in self.segments[::-1]:
            kept.append(self.corpus.ids[max(start, end - limit) : end])
            limit -= len(kept[-1])
        return kept[::-1]


class Trained(Protocol):
    """A model, and what may know the text that it was trained on; `Model` is one."""

    @property
    def learner(self) -> Learner:
        """The model."""

    @property
    def run(self) -> Path | None:
        """Its run directory."""

    @property
    def corpus(self) -> Corpus | None:
        """Its text, where it was trained in memory."""


def choose_part(
    model: Trained,
    text: Text | None = None,
    *,
    string: str | None = None,
    split: str | None = None,
    unknown: str = "refuse",
    replacement: str = "",
) -> Part:
    """The part that a model shall be judged on; arguments and errors as `Model.evaluate`."""
    if split is not None:
        require_one_of("split", split, PARTS)
    require_one_of("unknown", unknown, UNKNOWNS)
    learner = model.learner
    if own := text is None and string is None:
        corpus = own_text(model)
    else:
        policy = {"unknown": unknown, "replacement": replacement}
        corpus = open_text(text, string, learner.vocabulary, **policy)
        own = identity(corpus) == own_identity(model)
    if split == "all" or (split is None and not own):
        return Part(corpus, "all", ((0, len(corpus)),), own)
    whole = f"judge all of it: {argument('split', 'all')}"
    parts = Windows.of(learner.config, len(corpus), otherwise=whole).parts
    for name, segments in parts.items():
        if name == (split or ("validation" if "validation" in parts else "train")):
            return Part(corpus, name, segments, own)
    raise ConfigError(
        f"{argument('split')} is {shortened(split)}, but this model's training held out no such part; its parts are "
        f"{', '.join(parts)} and all."
    )


def own_text(model: Trained) -> Corpus:
    """The text that a model was trained on."""
    if model.corpus is not None:
        return model.corpus
    if model.run is None:
        raise TextError(
            "a model without its run does not know the text that it was trained on; name a text, "
            "or give the run directory."
        )
    return open_own_text(model.run, require_about(model.run)[1], None, model.learner)


def identity(corpus: Corpus) -> tuple[str, int]:
    """What tells a text, as a model reads it, from any other."""
    return corpus.fingerprint, len(corpus)


def own_identity(model: Trained) -> tuple[str, int] | None:
    """The identity of the text that a model was trained on; None where nothing tells it."""
    if model.corpus is not None:
        return identity(model.corpus)
    try:
        about = None if model.run is None else read_about(model.run)[1]
    except StoreError:
        return None
    return None if about is None else (about["fingerprint"], about["characters"])


def judge(
    learner: Learner, engine: Engine, part: Part, streams: int | None = None, seed: int = 0
) -> Evaluation:
    """What the model makes of a part; arguments and errors as `charloom.evaluation.evaluate`."""
    corpus, segments = part.corpus, part.segments
    found = evaluate(
        learner, engine, corpus.ids, segments, split=part.split, streams=streams, seed=seed
    )
    tokens = corpus.vocabulary.tokens
    return dataclasses.replace(
        found, text=corpus.name, own=part.own, tokens=tokens, length=len(corpus), segments=segments
    )


def judge_others(model: Trained, part: Part) -> Baselines:
    """What n-grams and compressors make of it, having read the training part of the same text, or
    where all of another text is judged, of the model's own.

    Raises:
        ConfigError: the part is what they would learn from.
        TextError: the model's own text is needed and not to be had.
    """
    learner = model.learner
    corpus = own_text(model) if part.split == "all" and not part.own else part.corpus
    # The model's own text may have been given as another one.
    whole = part.split == "all" and corpus.fingerprint == part.corpus.fingerprint
    if part.split == "train" or whole:
        raise ConfigError(
            f"baselines are judged on what they have not learnt, and this part is what they would "
            f"learn from; name another text, or take {argument('split', 'validation')} of a model "
            f"trained with {argument('validation', 0.1)}."
        )
    segments = Windows.of(learner.config, len(corpus)).parts["train"]
    training = Part(corpus, "train", segments, own=True)
    return measure_baselines(training.last(LIMIT), part.first(LIMIT), learner.vocabulary)
