"""Chooses a part of a text, and evaluates a model and the baselines (n-gram models and compressors) on it."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from charloom.api.text_arguments import Text, open_text
from charloom.baselines import LIMIT, Baselines, measure_baselines
from charloom.config import require_one_of
from charloom.engines import Engine
from charloom.engines.base import Ids
from charloom.errors import ConfigError, StoreError, TextError
from charloom.evaluation import Evaluation, evaluate
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import Learner
from charloom.run_file_names import TEXT
from charloom.store import inspect_head
from charloom.store.run_settings import read_settings
from charloom.store.run_text import open_text as open_own_text
from charloom.text import Corpus, UnknownPolicy, windows_of
from charloom.text.collection import Collection
from charloom.text.unknown_policy import REFUSE
from charloom.text.windows import Segment

PARTS = ("train", "validation", "test", "all")


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a text, such as its validation part, as ids of a model's vocabulary.

    Attributes:
        corpus: the whole text.
        split: the name of the part: train, validation, test or all.
        segments: the segments of the text that make the part, as pairs (start, end) of indices of
            characters. A segment ends before `end`.
        own: True if the model was trained on this text.
    """

    corpus: Corpus
    split: str
    segments: tuple[Segment, ...]
    own: bool

    def first(self, limit: int) -> list[Ids]:
        """Return the ids of the first `limit` characters of this part of the text.

        A part consists of one or more segments of consecutive characters. The list has an array for each
        segment; an array may be empty.
        """
        kept = []
        for start, end in self.segments:
            kept.append(self.corpus.ids[start : min(end, start + limit)])
            limit -= len(kept[-1])
        return kept

    def last(self, limit: int) -> list[Ids]:
        """Return the ids of the last `limit` characters of this part of the text.

        A part consists of one or more segments of consecutive characters. The list has an array for each
        segment; an array may be empty.
        """
        kept: list[Ids] = []
        for start, end in self.segments[::-1]:
            kept.append(self.corpus.ids[max(start, end - limit) : end])
            limit -= len(kept[-1])
        return kept[::-1]


@dataclass(frozen=True)
class TextChoice:
    """A user's choice of the text that a model reads.

    Attributes:
        text: paths, or the name of a built-in text. Without `text` and `string`, the text that the
            model was trained on.
        string: the text itself, instead of `text`.
        split: the part of the text: train, validation, test or all. None means the default part, which
            `Model.evaluate` describes.
        policy: what to do with characters outside the vocabulary. None means to refuse them, or to skip
            them if a built-in text replaces the missing text that the model was trained on.

    Raises:
        ConfigError: `split` is not one of the four parts.
    """

    text: Text | None = None
    string: str | None = None
    split: str | None = None
    policy: UnknownPolicy | None = None

    def __post_init__(self) -> None:
        if self.split is not None:
            require_one_of("split", self.split, PARTS)

    @property
    def names_a_text(self) -> bool:
        """True if the user gave a text, so that the model does not read the text it was trained on."""
        return self.text is not None or self.string is not None


class TrainedModel(Protocol):
    """The attributes of `Model` that this module needs to find the text that the model was trained on."""

    @property
    def learner(self) -> Learner:
        """The network and its training state."""

    @property
    def run(self) -> Path | None:
        """The run directory of the model; None if the model has no run."""

    @property
    def corpus(self) -> Corpus | None:
        """The text that the model was trained on, if it was trained without a run directory; else None."""


def choose_part(model: TrainedModel, choice: TextChoice) -> Part:
    """Return the part of a text on which to evaluate a model. The errors are those of `Model.evaluate`."""
    learner, split = model.learner, choice.split
    if own := not choice.names_a_text:
        corpus = training_text(model)
    else:
        policy = choice.policy or REFUSE
        corpus = open_text(
            choice.text,
            choice.string,
            learner.vocabulary,
            policy=policy,
            collection=Collection.of(learner.config),
        )
        own = text_identity(corpus) == training_text_identity(model)
    if split == "all" or (split is None and not own):
        return Part(corpus, "all", ((0, len(corpus)),), own)
    whole = f"evaluate on the whole text: {argument('split', 'all')}"
    parts = windows_of(learner.config, corpus.ids, otherwise=whole).parts
    for name, segments in parts.items():
        if name == (split or ("validation" if "validation" in parts else "train")):
            return Part(corpus, name, segments, own)
    raise ConfigError(
        f"{argument('split')} is {shortened(split)}, but this model was trained without such a part; choose "
        f"{', '.join(parts)} or all."
    )


def training_text(model: TrainedModel) -> Corpus:
    """Return the text that a model was trained on.

    Raises:
        TextError: the text is missing or has changed, or the model has neither a run nor a text.
        StoreError: the run directory cannot be read.
    """
    if model.corpus is not None:
        return model.corpus
    if model.run is None:
        raise TextError(
            "the model is not in a run directory, so the text that it was trained on is not known; give a "
            "text, or the run directory as the model."
        )
    text = inspect_head(model.run).text
    return open_own_text(model.run / TEXT, text, None, model.learner, place="the text to read")


def text_identity(corpus: Corpus) -> tuple[str, int]:
    """Return the fingerprint and the length in characters of a text, which together identify it."""
    return corpus.fingerprint, len(corpus)


def training_text_identity(model: TrainedModel) -> tuple[str, int] | None:
    """Return the fingerprint and the length of the text that a model was trained on.

    Returns None if they are not known.
    """
    if model.corpus is not None:
        return text_identity(model.corpus)
    try:
        text = None if model.run is None else read_settings(model.run).text
    except StoreError:
        return None
    return None if text is None else (text.fingerprint, text.characters)


def evaluate_part(
    learner: Learner,
    engine: Engine,
    part: Part,
    streams: int | None = None,
    seed: int = 0,
    dynamic_rate: float | None = None,
) -> Evaluation:
    """Return the result of evaluating a model on a part of a text.

    The other arguments and the errors are those of `charloom.evaluation.evaluate`.
    """
    corpus, segments = part.corpus, part.segments
    found = evaluate(
        learner,
        engine,
        corpus.ids,
        segments,
        split=part.split,
        streams=streams,
        dynamic_rate=dynamic_rate,
        seed=seed,
    )
    tokens = corpus.vocabulary.tokens
    return dataclasses.replace(
        found, text=corpus.name, own=part.own, tokens=tokens, length=len(corpus), segments=segments
    )


def evaluate_baselines(model: TrainedModel, part: Part) -> Baselines:
    """Return how well n-gram models and compressors predict a part of a text.

    The n-gram models and compressors first learn from the training part of the same text. One exception:
    if `part` is a whole text on which the model was not trained, they first learn from the training part
    of the text on which the model was trained.

    Raises:
        ConfigError: the part is the training part, or contains it.
        TextError: the text that the model was trained on is needed and cannot be read.
    """
    learner = model.learner
    corpus = training_text(model) if part.split == "all" and not part.own else part.corpus
    # Compare the fingerprints, because the user may have given the model's own text under another name.
    whole = part.split == "all" and corpus.fingerprint == part.corpus.fingerprint
    if part.split == "train" or whole:
        raise ConfigError(
            f"the baselines learn from the training part, so they cannot be evaluated on it; give "
            f"another text, or {argument('split', 'validation')} with a model that was trained with "
            f"{argument('validation', 0.1)}."
        )
    segments = windows_of(learner.config, corpus.ids).parts["train"]
    training = Part(corpus, "train", segments, own=True)
    return measure_baselines(training.last(LIMIT), part.first(LIMIT), learner.vocabulary)
