"""Converts a learner's settings, n-grams and pairs to the form for the compiled kernels."""

from functools import lru_cache
from typing import Final

from charloom import _native
from charloom.config import Config
from charloom.engines.base import Sampler
from charloom.errors import EngineError
from charloom.messages import argument
from charloom.model.input_pairs import InputPairs, pair_rows
from charloom.model.ngrams import NGrams
from charloom.registered_cells import refuse_registered

MAX_LAYERS: Final = 64
NO_BOUNDARY: Final = -1  # for the kernels, in the place of the id at which items begin


def reference_instead() -> str:
    """Return the end of a message: the advice to use the reference engine instead."""
    return f"use {argument('engine', 'reference')}, which has no limit but is many times slower"


def require_cell(config: Config) -> None:
    """Raise EngineError if the kernels do not compute the cell."""
    refuse_registered(config.cell, "native")
    if config.cell not in _native.Cell.__members__:
        raise EngineError(
            f"the native engine has no kernels for the cell {config.cell}. Use {reference_instead()}."
        )


def require_layers(config: Config) -> None:
    """Raise EngineError if a network has more layers than the kernels can compute."""
    if config.layers > MAX_LAYERS:
        raise EngineError(
            f"the network has {config.layers:,} layers, but the native engine supports at most "
            f"{MAX_LAYERS}. Use fewer, or {reference_instead()}."
        )


def native_ngrams(ngrams: NGrams) -> _native.NGrams:
    """Return the n-grams in the form for the kernels.

    Raises:
        EngineError: an array has a wrong length, or an entry that would crash the kernels.
    """
    try:
        return _native.NGrams(
            order=ngrams.order,
            K=ngrams.characters,
            counted=ngrams.counted,
            children=ngrams.children,
            child_ids=ngrams.child_ids,
            followers=ngrams.followers,
            follower_ids=ngrams.follower_ids,
            shares=ngrams.shares,
            factors=ngrams.factors,
        )
    except (TypeError, ValueError) as error:
        reason = "an array has a wrong dtype" if isinstance(error, TypeError) else error
        raise EngineError(
            f"the n-grams of the model are damaged: {reason}. Count the text again, or use an earlier "
            f"checkpoint."
        ) from None


def native_pairs(pairs: InputPairs) -> _native.Pairs:
    """Return the pairs in the form for the kernels.

    Raises:
        EngineError: an id is not in the vocabulary, or two rows have the same pair.
    """
    try:
        return _native.Pairs(ids=pairs.ids, K=pairs.characters)
    except ValueError as error:
        raise EngineError(
            f"the pairs of the model are damaged: {error}. Use an earlier checkpoint, or choose them again "
            f"with most_frequent_pairs."
        ) from None


def native_shape(config: Config, characters: int, boundary: int | None) -> _native.Shape:
    """Return the cell and the sizes of a network in the form for the kernels.

    `boundary` is the id at which items begin; None without one.
    """
    require_cell(config)
    require_layers(config)
    return _native.Shape(
        cell=_native.Cell[config.cell],
        layers=config.layers,
        K=characters,
        H=config.hidden_size,
        ngram_order=config.ngram_order,
        pairs=pair_rows(config, characters),
        boundary=NO_BOUNDARY if boundary is None else boundary,
    )


def native_descent(config: Config) -> _native.Descent:
    """Return the optimizer and its settings in the form for the kernels."""
    return _native.Descent(
        rule=_native.Rule[config.optimizer],
        momentum=config.momentum,
        decay=config.decay,
        beta1=config.beta1,
        beta2=config.beta2,
        epsilon=config.epsilon,
        weight_decay=config.weight_decay,
        decays_biases=config.weight_decay_on == "all",
        averaging=config.averaging,
        clip=config.clip,
        clip_by_norm=config.clip_by == "norm",
        mean=config.reduction == "mean",
        dropout=config.dropout,
        seed=config.seed,
    )


@lru_cache(maxsize=16)
def native_sampler(sampler: Sampler) -> _native.Sampler:
    """Return the sampler's settings in the form for the kernels."""
    return _native.Sampler(
        temperature=sampler.temperature,
        top_p=sampler.top_p,
        min_p=sampler.min_p,
        penalty=sampler.repetition_penalty,
        top_k=sampler.top_k,
        window=sampler.repetition_window,
    )
