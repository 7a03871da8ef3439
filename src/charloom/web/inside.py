"""The routes that look inside a model: one unit over a text, all units of a layer, which unit
follows what.
"""

import asyncio
import base64
import re
from dataclasses import replace
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request

from charloom.errors import ConfigError
from charloom.neurons import Activity, Property, choose, marked
from charloom.neurons.activity import looking
from charloom.neurons.properties import PROPERTIES
from charloom.neurons.ranking import comparing
from charloom.spelling import shortened
from charloom.steps import Steps
from charloom.web import contract as wire
from charloom.web.answers import Plain
from charloom.web.library import Library, Open
from charloom.web.limits import Desk
from charloom.web.mistakes import NotAllowedError
from charloom.web.streams import at_desk

# What a value can be; the LSTM's cell has no bounds, and takes those of the text.
BOUNDS: Final = {
    "h": (-1.0, 1.0), "g": (-1.0, 1.0), "n": (-1.0, 1.0),
    "i": (0.0, 1.0), "f": (0.0, 1.0), "o": (0.0, 1.0), "r": (0.0, 1.0), "z": (0.0, 1.0),
}  # fmt: skip


def routes(library: Library, desk: Desk, closing: asyncio.Event) -> APIRouter:
    """The routes that look inside a model."""
    router = APIRouter(tags=["inside"])

    @router.post("/api/inside/unit", response_model=wire.UnitValues)
    async def unit(asked: wire.UnitAsked, request: Request) -> Any:
        """The value of a unit after each character of a text."""

        def look() -> Steps[Plain]:
            model = opened(asked)
            yield
            found = yield from active(model, asked, asked.unit)
            values = found.values[:, 0, 0].astype(np.float64)
            low, high = bounds(asked.what, values)
            told = {**head(model), "characters": found.characters, "low": low, "high": high}
            return Plain({**told, "values": [round(value, 4) for value in values.tolist()]})

        return await at_desk(desk, request, closing, look())

    @router.post("/api/inside/map", response_model=wire.UnitMap)
    async def unit_map(asked: wire.MapAsked, request: Request) -> Any:
        """The value of every unit of a layer after each character of a text."""

        def look() -> Steps[Plain]:
            model = opened(asked)
            yield
            found = yield from active(model, asked, None)
            values = found.values[:, 0].T.astype(np.float64)  # (units, characters)
            low, high = bounds(asked.what, values)
            share = (np.clip(values, low, high) - low) / max(high - low, 1e-12)
            packed = np.ascontiguousarray(np.rint(255 * share).astype(np.uint8)).tobytes()
            told = {**head(model), "characters": found.characters, "low": low, "high": high}
            return Plain(
                {**told, "units": len(values), "values": base64.b64encode(packed).decode("ascii")}
            )

        return await at_desk(desk, request, closing, look())

    @router.post("/api/inside/ranking", response_model=wire.Ranking)
    async def ranking(asked: wire.RankingAsked, request: Request) -> Any:
        """The units that follow properties of a text, and what the user marked in it."""

        def look() -> Steps[Plain]:
            model = opened(asked)
            yield
            learner = model.learner
            encoded = learner.vocabulary.encode_with(asked.text, asked.unknown)
            text = "".join(learner.vocabulary.completed(encoded.ids)[0])
            properties = [*PROPERTIES, *wished(asked, text)]
            found = yield from comparing(
                learner, model.engine, [encoded.ids], properties, choose(learner), asked.top
            )
            told = [finding.to_json() for finding in found]
            return Plain({**head(model), "characters": len(text), "properties": told})

        return await at_desk(desk, request, closing, look())

    def opened(asked: Any) -> Open:
        """The model of a request, which knows the request's text."""
        model = library.open(asked.model)
        model.require_known(asked.text, asked.unknown, "text")
        return model

    return router


def head(model: Open) -> dict[str, Any]:
    """What every answer begins with: of two that are of one model, the update tells whether they are
    of one state of it."""
    return {"model": model.id, "update": model.update}


def active(model: Open, asked: Any, unit: int | None) -> Steps[Activity]:
    """What a unit, or where there is none all of them, of a layer did.

    Raises:
        NotAllowedError: the model has no such layer, unit or value.
    """
    try:
        choice = choose(model.learner, asked.layer, unit, asked.what)
    except ConfigError as error:
        raise NotAllowedError(error.message, str(error).split(" ")[0]) from None
    encoded = model.learner.vocabulary.encode_with(asked.text, asked.unknown)
    return (yield from looking(model.learner, model.engine, encoded.ids, choice, encoded.unknown))


def bounds(what: str, values: Any) -> tuple[float, float]:
    """The least and the most that a value can be, or where it has no bounds, was; as wide to both
    sides of 0, so that 0 is the middle of a scale."""
    if what in BOUNDS:
        return BOUNDS[what]
    most = float(np.abs(values).max(initial=1e-6))
    return -most, most


def wished(asked: wire.RankingAsked, text: str) -> list[Property]:
    """The properties that a request adds to a text that is read: where its pattern stands, and what
    it marked."""
    found = []
    if asked.pattern is not None:
        places = [match.span() for match in re.finditer(re.escape(asked.pattern), text)]
        found.append(
            replace(marked(places), name="pattern", description=f"in {shortened(asked.pattern)}")
        )
    if asked.marks:
        found.append(marked([(start, end) for start, end in asked.marks]))
    return found
