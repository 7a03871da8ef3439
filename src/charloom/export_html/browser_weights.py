"""Makes the description and the bytes of a model that an HTML file contains (spec/formats.md: HTML files)."""

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.model import Learner
from charloom.model.item_resets import refuse_items
from charloom.model.ngrams import NGrams
from charloom.model.parameters import Parameters
from charloom.model.writing_start import start_id, stored_state
from charloom.registered_cells import built_in_cell
from charloom.store.format_versions import HTML_FORMAT
from charloom.store.ngram_tensors import tensors_of_ngrams
from charloom.store.pair_tensors import tensors_of_pairs

WeightType = Literal["float16", "float32"]
WEIGHTS: Final[tuple[WeightType, ...]] = ("float16", "float32")

# The names of the types in the file, by NumPy's names.
TYPES: Final = {
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "int32": "I32",
    "float16": "F16",
    "float32": "F32",
}
LEAST_FACTOR: Final = np.float32(2.0**-24)  # the smallest number above 0 in float16


def browser_model(learner: Learner, weights: WeightType) -> Learner:
    """Return the model that an HTML file computes with: in float32, with rounded weights.

    The parameters and the n-grams are rounded to `weights`, but the state in which a text begins is not. The
    result can be evaluated, but not trained. A number that is too large for the type becomes infinite.

    Raises:
        ConfigError: the cell is a registered one, or the model learned a collection of items.
    """
    built_in_cell(learner.config.cell, "an HTML file")
    refuse_items(learner, "an HTML file")

    def rounded(values: NDArray[Any]) -> NDArray[np.float32]:
        return values.astype(weights).astype(np.float32)

    with np.errstate(over="ignore"):
        return replace(
            learner,
            config=learner.config.replace(dtype="float32"),
            parameters={name: rounded(array) for name, array in learner.parameters.items()},
            slots={},
            state={name: single(array) for name, array in learner.state.items()},
            ngrams=None if learner.ngrams is None else rounded_ngrams(learner.ngrams, rounded),
            start_losses=None,
        )


def single(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of a state in float32. Recent ids do not change."""
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def rounded_ngrams(
    ngrams: NGrams, rounded: Callable[[NDArray[Any]], NDArray[np.float32]]
) -> NGrams:
    """Return the n-grams of the whole text with rounded shares and factors. Factors stay above 0."""
    whole = ngrams.whole()
    factors = np.maximum(rounded(whole.factors), LEAST_FACTOR)
    return replace(whole, shares=rounded(whole.shares), factors=factors)


def embedded_model(model: Learner, weights: WeightType) -> tuple[dict[str, Any], bytes]:
    """Return the description of a model as a JSON object, and its compressed tensors.

    `model` is a result of `browser_model` with the same `weights`.
    """
    tensors = tensors_of(model, weights)
    config = model.config
    about = {
        "format": HTML_FORMAT,
        "cell": config.cell,
        "layers": config.layers,
        "hidden_size": config.hidden_size,
        "tokens": config.tokens,
        "vocabulary": [ord(character) for character in model.vocabulary.characters],
        "ngram_order": config.ngram_order,
        "start_id": int(start_id(model)[0]),
        "tensors": [[name, TYPES[array.dtype.name], array.size] for name, array in tensors.items()],
    }
    data = b"".join(
        array.astype(array.dtype.newbyteorder("<")).tobytes() for array in tensors.values()
    )
    return about, zlib.compress(data, 9)


def tensors_of(model: Learner, weights: WeightType) -> dict[str, NDArray[Any]]:
    """Return the tensors of the file by name. Weights, shares and factors have the type `weights`."""
    weighted: Parameters = dict(model.parameters)
    others: dict[str, NDArray[Any]] = {}
    if model.ngrams is not None:
        for name, array in tensors_of_ngrams(model.ngrams).items():
            (weighted if array.dtype.kind == "f" else others)[name] = array
    if model.pairs is not None:
        others |= tensors_of_pairs(model.pairs)
    others |= {f"start/{name}": array for name, array in (stored_state(model) or {}).items()}
    return {name: array.astype(weights) for name, array in weighted.items()} | others
