"""The routes that show how the units of a model react to a text.

The first route returns the values of one unit, the second the values of all units of a layer. The third returns the
units whose values are most closely correlated with a property of the characters, such as being
a digit. The fourth returns how much the model relies on its n-grams for each character.
"""

import asyncio
import base64
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request

from charloom.cell_table import CELLS
from charloom.cooperative import Slices
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.hidden_units import Activity, Property, choose, marked
from charloom.hidden_units.ranking import rank_in_slices
from charloom.hidden_units.text_properties import PROPERTIES, matched
from charloom.hidden_units.unit_activity import activity_in_slices
from charloom.mixture_weights import ngram_use_in_slices
from charloom.pattern_matches import match_spans_in_slices
from charloom.web import schemas as wire
from charloom.web.concurrency import WAIT_SECONDS, Busy, WorkQueue
from charloom.web.error_responses import NotAllowedError
from charloom.web.event_stream import answer_from_queue
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.model_cache import ModelCache, OpenModel

# The smallest and the largest value of each quantity of a unit. The LSTM's cell state is not in this table,
# because it has no bounds.
BOUNDS: Final = {
    "h": (-1.0, 1.0), "g": (-1.0, 1.0), "n": (-1.0, 1.0),
    "i": (0.0, 1.0), "f": (0.0, 1.0), "o": (0.0, 1.0), "r": (0.0, 1.0), "z": (0.0, 1.0),
}  # fmt: skip

SEARCH_SECONDS: Final = 10.0  # the process that searches for a pattern is ended after this time
MOST_SEARCHES: Final = 2  # each search for a pattern can use a whole processor


def routes(model_cache: ModelCache, queue: WorkQueue, closing: asyncio.Event) -> APIRouter:
    """Return the routes that show the units of a model."""
    router = APIRouter(tags=["inside"])
    searches = asyncio.Semaphore(MOST_SEARCHES)

    @router.post("/api/inside/unit", response_model=wire.UnitValues)
    async def unit(body: wire.UnitRequest, request: Request) -> Any:
        """Return the value of a unit after each character of a text."""

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            found = yield from active(model, body, body.unit)
            values = found.values[:, 0, 0].astype(np.float64)
            low, high = bounds(model.learner.config.cell, body.what, values)
            scale = {**model.head(), "characters": found.characters, "low": low, "high": high}
            return AsciiJSONResponse(
                {**scale, "values": [round(value, 4) for value in values.tolist()]}
            )

        return await answer_from_queue(queue, request, closing, compute())

    @router.post("/api/inside/map", response_model=wire.UnitMap)
    async def unit_map(body: wire.MapRequest, request: Request) -> Any:
        """Return the value of every unit of a layer after each character of a text."""

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            found = yield from active(model, body, None)
            values = found.values[:, 0].T.astype(np.float64)  # has the shape (units, characters)
            low, high = bounds(model.learner.config.cell, body.what, values)
            share = (np.clip(values, low, high) - low) / max(high - low, 1e-12)
            packed = np.ascontiguousarray(np.rint(255 * share).astype(np.uint8)).tobytes()
            scale = {**model.head(), "characters": found.characters, "low": low, "high": high}
            return AsciiJSONResponse(
                {**scale, "units": len(values), "values": base64.b64encode(packed).decode("ascii")}
            )

        return await answer_from_queue(queue, request, closing, compute())

    @router.post("/api/inside/ranking", response_model=wire.Ranking)
    async def ranking(body: wire.RankingRequest, request: Request) -> Any:
        """Return the units that follow each property of a text most closely.

        The properties are the built-in ones, and those that the request defines.
        """

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            learner, encoded = model.learner, model.encode(body)
            text = "".join(learner.vocabulary.completed(encoded.ids)[0])
            properties = [*PROPERTIES, *(yield from requested_properties(body, text))]
            found = yield from rank_in_slices(
                learner, model.engine, [encoded.ids], properties, choose(learner), body.top
            )
            ranked = [finding.to_json() for finding in found]
            return AsciiJSONResponse(
                {**model.head(), "characters": len(text), "properties": ranked}
            )

        # A request waits here, and not in the queue, because there it would keep a thread from other requests.
        async with nullcontext() if body.pattern is None else search_place(searches):
            return await answer_from_queue(queue, request, closing, compute())

    @router.post("/api/inside/ngrams", response_model=wire.NGramWeights)
    async def ngrams(body: wire.NGramRequest, request: Request) -> Any:
        """Return the weight of the n-grams in the prediction of each character of a text."""

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            return AsciiJSONResponse({**model.head(), **(yield from weights_of(model, body))})

        return await answer_from_queue(queue, request, closing, compute())

    return router


def active(model: OpenModel, body: Any, unit: int | None) -> Slices[Activity]:
    """Return the values of a unit after each character of the text in the request `body`.

    If `unit` is None, return the values of all units in the layer that `body` names.

    Raises:
        NotAllowedError: the model does not have the layer, the unit or the quantity.
    """
    try:
        choice = choose(model.learner, body.layer, unit, body.what)
    except ConfigError as error:
        raise NotAllowedError(error.message, str(error).split(" ")[0]) from None
    encoded = model.encode(body)
    return (
        yield from activity_in_slices(
            model.learner, model.engine, encoded.ids, choice, encoded.unknown
        )
    )


def weights_of(model: OpenModel, body: wire.NGramRequest) -> Slices[dict[str, Any]]:
    """Return the fields `characters` and `weights` of the schema `NGramWeights`."""
    if model.learner.ngrams is None:
        return {"characters": [], "weights": None}
    encoded = model.encode(body)
    found = yield from ngram_use_in_slices(
        model.learner, model.engine, encoded.ids, encoded.unknown
    )
    weights = [None if math.isnan(w) else round(w, 4) for w in found.weights.tolist()]
    return {"characters": found.characters, "weights": weights}


def bounds(cell: str, what: str, values: Any) -> tuple[float, float]:
    """Return the smallest and the largest value that the quantity `what` of a unit of a cell can have.

    If the quantity has no fixed bounds, return -m and m, where m is the largest |value| in `values`.
    """
    if what in BOUNDS and cell in CELLS:
        return BOUNDS[what]
    most = float(np.abs(values).max(initial=1e-6))
    return -most, most


def requested_properties(body: wire.RankingRequest, text: str) -> Slices[list[Property]]:
    """Return the properties of characters that the request `body` defines: none, one or two.

    If the request has a pattern, all characters of `text` in a match of the pattern have one property.
    If the request marks spans of `text`, all characters in these spans have another property.
    """
    found = []
    if body.pattern is not None:
        found.append((yield from matches_of(body.pattern, text)))
    if body.marks:
        found.append(marked([(start, end) for start, end in body.marks]))
    return found


@asynccontextmanager
async def search_place(searches: asyncio.Semaphore) -> AsyncIterator[None]:
    """Wait until one more request may search for a pattern, and count it as a search inside the `with` block.

    Raises:
        Busy: the request waited too long.
    """
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await searches.acquire()
    except TimeoutError:
        raise Busy(
            f"the server searches for {MOST_SEARCHES} other patterns, which is the limit; try again later."
        ) from None
    try:
        yield
    finally:
        searches.release()


def matches_of(regex: str, text: str) -> Slices[Property]:
    """Return the property of characters that are in a match of a regular expression.

    Raises:
        NotAllowedError: `regex` is not a regular expression, or its search takes too long.
    """
    try:
        spans = yield from match_spans_in_slices(regex, text, SEARCH_SECONDS)
    except ConfigError as error:
        raise NotAllowedError(error.message, "pattern") from None
    if spans is None:
        raise NotAllowedError(
            f"the search for the pattern {shortened(regex)} was ended after {SEARCH_SECONDS:g} seconds; give a "
            f"simpler pattern or a shorter text.",
            "pattern",
        )
    return matched(regex, lambda _: spans)
