"""The routes of the playground: models write texts piece by piece, and predict the characters of a text.

A text is the same as that of `charloom sample` with the same settings. Each request waits for a place and then works
in pieces of a few hundredths of a second, so that it ends soon after its client leaves.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, Request

from charloom.cooperative import Steps
from charloom.engines import Sampler
from charloom.sampling import SampleOptions, Writing, opening
from charloom.surprisal import Reader, Thoughts, scoring
from charloom.text.unknown_policy import SKIP, UnknownPolicy
from charloom.text.vocabulary import Unknowns
from charloom.web import schemas as wire
from charloom.web.concurrency import Desk
from charloom.web.event_stream import EVENT_STREAM, EventStream, at_desk, event
from charloom.web.json_response import Plain
from charloom.web.model_cache import Library, Open
from charloom.web.pagination import MOST, After, Limit, page_after
from charloom.web.run_index import Shelf, models_in

PIECE_SECONDS: Final = 0.03
THOUGHTFUL_SECONDS: Final = (
    0.006  # of writing; the probabilities of a piece take several times as long
)
LIKELY: Final = 5
DIGITS: Final = 5  # decimals of the probabilities and nats in a response


@dataclass(eq=False)
class Author:
    """A model that writes a text and, with probabilities, also predicts each of its characters.

    Attributes:
        model: the model.
        writing: the text that it writes.
        reader: computes the probabilities; None if the request does not want them.
        written: the number of characters so far.
    """

    model: Open
    writing: Writing
    reader: Reader | None
    written: int = 0

    @classmethod
    def of(
        cls, model: Open, asked: wire.Drawing, number: int = 0, likely: int = LIKELY
    ) -> "Author":
        """Return the author for a request; `likely` is how many characters get probabilities.

        Raises:
            UnknownCharactersError: the prompt has characters that are not in the model's vocabulary.
        """
        model.require_known(asked.prompt, asked.unknown, "prompt")
        writing = Writing(
            model.learner,
            model.engine,
            asked.prompt,
            options_of(asked),
            number=number,
            piece_seconds=THOUGHTFUL_SECONDS if asked.probabilities else PIECE_SECONDS,
        )
        reader = Reader(model.learner, model.engine, likely) if asked.probabilities else None
        return cls(model, writing, reader)

    def beginning(self, prompt: str) -> Steps[Thoughts | None]:
        """Read the prompt and return its predictions; None without probabilities.

        Without a prompt, the model reads its opening, which the response does not show.
        """
        if self.reader is None:
            return None
        ids = self.model.learner.vocabulary.encode_with(prompt, SKIP).ids
        if len(ids):
            return (yield from self.reader.reading(ids))
        self.reader.read(opening(self.model.learner))
        return Thoughts((), np.empty(0), ())

    def next(self) -> tuple[str, Thoughts | None] | None:
        """Return the next piece of text and its predictions; None at the end.

        The text of a piece is empty while the model still reads the prompt.
        """
        piece = self.writing.step()
        if piece is None:
            return None
        self.written += len(piece.text)
        if self.reader is None:
            return piece.text, None
        # Read the ids, not the text: bytes that are not UTF-8 cannot be encoded again from it.
        return piece.text, self.reader.read(piece.ids)


def options_of(asked: wire.Drawing) -> SampleOptions:
    """Return the options of the text that a request asks for."""
    sampler = Sampler(
        asked.temperature,
        asked.top_k,
        asked.top_p,
        asked.min_p,
        asked.repetition_penalty,
        asked.repetition_window,
    )
    policy = UnknownPolicy(asked.unknown)
    return SampleOptions(asked.length, asked.seed, sampler, asked.stop, policy)


def routes(library: Library, shelf: Shelf, desk: Desk, closing: asyncio.Event) -> APIRouter:
    """Return the routes of the playground."""
    router = APIRouter(tags=["models"])

    @router.get("/api/models")
    def list_models(limit: Limit = MOST, after: After = None) -> wire.Models:
        """Return a page of the list of models."""
        seen = shelf.look(anew=True)  # a page does not ask again for a new model file
        page = page_after(models_in(seen), lambda model: model.id, limit, after)
        return wire.Models(
            models=[model.about() for model in page.items],
            total=page.total,
            next=page.next,
            unread=seen.unread,
        )

    @router.get("/api/models/{model}", response_model=wire.ModelDetail)
    def one_model(model: wire.ModelKey) -> Plain:
        """Open a model and return its cell, its size and its vocabulary."""
        return Plain(library.open(model).about().model_dump())

    @router.post(
        "/api/generate", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def generate(asked: wire.Generate) -> EventStream:
        """Let a model write. `Generate` describes the events."""
        return EventStream(writing(library, desk, asked, [asked.model]), closing)

    @router.post(
        "/api/compare", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def compare(asked: wire.Compare) -> EventStream:
        """Let several models write. The events are those of Generate, each with a `side`."""
        return EventStream(writing(library, desk, asked, asked.models, sides=True), closing)

    @router.post("/api/next", response_model=wire.NextLikely)
    async def likely_next(asked: wire.Next, request: Request) -> Any:
        """Return the most likely characters after a text, or after the model's opening if it is empty."""

        def think() -> Steps[Plain]:
            model = library.open(asked.model)
            model.require_known(asked.text, asked.unknown, "text")
            yield
            policy = UnknownPolicy(asked.unknown)
            ids = model.learner.vocabulary.encode_with(asked.text, policy).ids
            read = ids if len(ids) else opening(model.learner)
            thoughts = yield from Reader(model.learner, model.engine, asked.count).reading(read)
            likely = thoughts.likely[-1]
            return Plain({"model": asked.model, "update": model.update, "likely": likely})

        return await at_desk(desk, request, closing, think())

    @router.post("/api/score", response_model=wire.Surprises)
    async def score(asked: wire.Score, request: Request) -> Any:
        """Return the surprise of each character of a text."""

        def think() -> Steps[Plain]:
            model = library.open(asked.model)
            model.require_known(asked.text, asked.unknown, "text")
            yield
            policy = UnknownPolicy(asked.unknown)
            found = yield from scoring(model.learner, model.engine, asked.text, policy)
            result = {
                "model": asked.model,
                "update": model.update,
                "characters": found.characters,
                "nats": found.nats.tolist(),
                "bits": found.bits.tolist(),
                "mean_bits": found.mean_bits,
                "likely": None,
                "unknowns": sentence(found.unknowns),
            }
            if asked.likely:
                ids = model.learner.vocabulary.encode_with(asked.text, policy).ids
                reader = Reader(model.learner, model.engine, LIKELY)
                result["likely"] = rounded((yield from reader.reading(ids)))
                yield
            return Plain(result)

        return await at_desk(desk, request, closing, think())

    return router


@asynccontextmanager
async def writing(
    library: Library, desk: Desk, asked: wire.Drawing, models: list[str], sides: bool = False
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the events of one or more models that write, while the request holds a place."""
    async with desk.place():
        # Errors of the request are raised here, before the response begins.
        authors = await desk.work(lambda: [Author.of(library.open(key), asked) for key in models])
        yield events(desk, asked, authors, sides)


async def events(
    desk: Desk, asked: wire.Drawing, authors: list[Author], sides: bool
) -> AsyncIterator[bytes]:
    """Yield the events of all authors, which take turns to write a piece."""
    began = time.perf_counter()
    at_work = list(enumerate(authors))
    for side, author in at_work:
        data = {
            "model": author.model.id,
            "update": author.model.update,
            "seed": asked.seed,
            "prompt": asked.prompt,
            "unknowns": sentence(author.writing.unknowns),
        }
        thoughts = await desk.steps(author.beginning(asked.prompt))
        yield await desk.work(thoughtful, "begin", on_side(data, side, sides), "read", thoughts)
    while at_work:
        for side, author in list(at_work):
            # The thread also encodes the event: numbers in JSON would block the event loop.
            piece = await desk.work(next_event, author, side, sides)
            if piece is None:
                at_work.remove((side, author))
                data = {
                    "ended": author.writing.ended,
                    "characters": author.written,
                    "seconds": round(time.perf_counter() - began, 4),
                }
                yield event("end", on_side(data, side, sides))
            elif piece:
                yield piece


def next_event(author: Author, side: int, sides: bool) -> bytes | None:
    """Return the event of an author's next piece: b"" if it has no text, None at the end."""
    piece = author.next()
    if piece is None:
        return None
    text, thoughts = piece
    if not text:
        return b""
    return thoughtful("text", on_side({"text": text}, side, sides), "analysis", thoughts)


def thoughtful(name: str, data: dict[str, Any], key: str, thoughts: Thoughts | None) -> bytes:
    """Return an event, with predictions under `key` if there are any. Runs in a thread."""
    return event(name, data | ({key: shown(thoughts)} if thoughts else {}))


def on_side(data: dict[str, Any], side: int, sides: bool) -> dict[str, Any]:
    """Add the index of the model to the data of an event, if there are several models."""
    return {"side": side, **data} if sides else data


def shown(thoughts: Thoughts) -> dict[str, Any]:
    """Return predictions in the form of `Analysis`."""
    return {
        "characters": thoughts.characters,
        "nats": [None if math.isnan(x) else round(x, DIGITS) for x in thoughts.nats.tolist()],
        "likely": rounded(thoughts),
    }


def rounded(thoughts: Thoughts) -> list[list[tuple[str, float]]]:
    """Return the most likely next characters after each character, with rounded probabilities."""
    return [[(symbol, round(p, DIGITS)) for symbol, p in row] for row in thoughts.likely]


def sentence(unknowns: Unknowns) -> str:
    """Return a sentence about unknown characters of a text; empty if there are none."""
    return unknowns.sentence
