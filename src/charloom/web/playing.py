"""The routes of the playground: models that write, piece by piece, and what they think of a text.

The text is that of `charloom sample` with the same settings. Whatever is asked takes a place at the
desk and works in pieces of a few hundredths of a second, so that it ends as soon as nobody listens.
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

from charloom.engines import Sampler
from charloom.sampling import Writing, opening
from charloom.steps import Steps
from charloom.surprise import Reader, Thoughts, scoring
from charloom.text.vocabulary import Unknowns
from charloom.web import contract as wire
from charloom.web.answers import Plain
from charloom.web.library import Library, Open
from charloom.web.limits import Desk
from charloom.web.paging import MOST, After, Limit, page_after
from charloom.web.shelf import Shelf, models_in
from charloom.web.streams import EVENT_STREAM, EventStream, at_desk, event

PIECE_SECONDS: Final = 0.03
THOUGHTFUL_SECONDS: Final = (
    0.006  # of writing; thinking of it and telling it takes some times as long
)
LIKELY: Final = 5
DIGITS: Final = 5  # of probabilities and nats that are shown


@dataclass(eq=False)
class Author:
    """A model that writes, and where it is asked for reads along with itself.

    Attributes:
        model: the model.
        writing: its text.
        reader: what thinks of the text; None where nobody asks.
        written: characters so far.
    """

    model: Open
    writing: Writing
    reader: Reader | None
    written: int = 0

    @classmethod
    def of(
        cls, model: Open, asked: wire.Drawing, number: int = 0, likely: int = LIKELY
    ) -> "Author":
        """The author of what is asked for; with probabilities, of so many likely characters.

        Raises:
            UnknownCharactersError: the prompt has characters that the model has never read.
        """
        model.require_known(asked.prompt, asked.unknown, "prompt")
        sampler = Sampler(
            asked.temperature,
            asked.top_k,
            asked.top_p,
            asked.min_p,
            asked.repetition_penalty,
            asked.repetition_window,
        )
        writing = Writing(
            model.learner,
            model.engine,
            prompt=asked.prompt,
            length=asked.length,
            sampler=sampler,
            seed=asked.seed,
            number=number,
            stop=asked.stop,
            unknown=asked.unknown,
            piece_seconds=THOUGHTFUL_SECONDS if asked.probabilities else PIECE_SECONDS,
        )
        reader = Reader(model.learner, model.engine, likely) if asked.probabilities else None
        return cls(model, writing, reader)

    def beginning(self, prompt: str) -> Steps[Thoughts | None]:
        """Think of what is read first; what is read in a prompt's place is not shown."""
        if self.reader is None:
            return None
        ids = self.model.learner.vocabulary.encode_with(prompt, "skip").ids
        if len(ids):
            return (yield from self.reader.reading(ids))
        self.reader.read(opening(self.model.learner))
        return Thoughts((), np.empty(0), ())

    def next(self) -> tuple[str, Thoughts | None] | None:
        """The next piece of text, and what the model thinks of it; one without text while there is
        something else to do first, None at the end."""
        piece = self.writing.step()
        if piece is None:
            return None
        self.written += len(piece.text)
        if self.reader is None:
            return piece.text, None
        # Of what was drawn, not of the text: bytes that are no character have no other spelling.
        return piece.text, self.reader.read(piece.ids)


def routes(library: Library, shelf: Shelf, desk: Desk, closing: asyncio.Event) -> APIRouter:
    """The routes of the playground."""
    router = APIRouter(tags=["models"])

    @router.get("/api/models")
    def list_models(limit: Limit = MOST, after: After = None) -> wire.Models:
        """The models that can write, a page at a time."""
        seen = shelf.look(anew=True)  # a page asks once for a file, and not again
        page = page_after(models_in(seen), lambda model: model.id, limit, after)
        return wire.Models(
            models=[model.about() for model in page.items],
            total=page.total,
            next=page.next,
            unread=seen.unread,
        )

    @router.get("/api/models/{model}", response_model=wire.ModelDetail)
    def one_model(model: wire.ModelKey) -> Plain:
        """A model, opened: its cell, its size, the characters that it knows."""
        return Plain(library.open(model).about().model_dump())

    @router.post(
        "/api/generate", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def generate(asked: wire.Generate) -> EventStream:
        """Let a model write; the events are described at Generate."""
        return EventStream(writing(library, desk, asked, [asked.model]), closing)

    @router.post(
        "/api/compare", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def compare(asked: wire.Compare) -> EventStream:
        """Let models write side by side; the events are those of Generate, each with a `side`."""
        return EventStream(writing(library, desk, asked, asked.models, sides=True), closing)

    @router.post("/api/next", response_model=wire.NextLikely)
    async def likely_next(asked: wire.Next, request: Request) -> Any:
        """The likeliest next characters after a text, or where there is none after what is read
        instead."""

        def think() -> Steps[Plain]:
            model = library.open(asked.model)
            model.require_known(asked.text, asked.unknown, "text")
            yield
            ids = model.learner.vocabulary.encode_with(asked.text, asked.unknown).ids
            read = ids if len(ids) else opening(model.learner)
            thoughts = yield from Reader(model.learner, model.engine, asked.count).reading(read)
            told = {"model": asked.model, "update": model.update, "likely": thoughts.likely[-1]}
            return Plain(told)

        return await at_desk(desk, request, closing, think())

    @router.post("/api/score", response_model=wire.Surprises)
    async def score(asked: wire.Score, request: Request) -> Any:
        """What each character of a text costs a model."""

        def think() -> Steps[Plain]:
            model = library.open(asked.model)
            model.require_known(asked.text, asked.unknown, "text")
            yield
            found = yield from scoring(model.learner, model.engine, asked.text, asked.unknown)
            told = {
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
                ids = model.learner.vocabulary.encode_with(asked.text, asked.unknown).ids
                reader = Reader(model.learner, model.engine, LIKELY)
                told["likely"] = rounded((yield from reader.reading(ids)))
                yield
            return Plain(told)

        return await at_desk(desk, request, closing, think())

    return router


@asynccontextmanager
async def writing(
    library: Library, desk: Desk, asked: wire.Drawing, models: list[str], sides: bool = False
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The events of one or more writings, with a place at the desk."""
    async with desk.place():
        # What is wrong with a request shows here, before the answer begins.
        authors = await desk.work(lambda: [Author.of(library.open(key), asked) for key in models])
        yield events(desk, asked, authors, sides)


async def events(
    desk: Desk, asked: wire.Drawing, authors: list[Author], sides: bool
) -> AsyncIterator[bytes]:
    """What some authors write, each a piece in its turn."""
    began = time.perf_counter()
    at_work = list(enumerate(authors))
    for side, author in at_work:
        told = {
            "model": author.model.id,
            "update": author.model.update,
            "seed": asked.seed,
            "prompt": asked.prompt,
            "unknowns": sentence(author.writing.unknowns),
        }
        thoughts = await desk.steps(author.beginning(asked.prompt))
        yield await desk.work(thoughtful, "begin", on_side(told, side, sides), "read", thoughts)
    while at_work:
        for side, author in list(at_work):
            # The event is made by the thread as well: numbers in JSON cost the loop as much as all else.
            piece = await desk.work(next_event, author, side, sides)
            if piece is None:
                at_work.remove((side, author))
                told = {
                    "ended": author.writing.ended,
                    "characters": author.written,
                    "seconds": round(time.perf_counter() - began, 4),
                }
                yield event("end", on_side(told, side, sides))
            elif piece:
                yield piece


def next_event(author: Author, side: int, sides: bool) -> bytes | None:
    """The event of an author's next piece; empty where the piece has no text, None at the end."""
    piece = author.next()
    if piece is None:
        return None
    text, thoughts = piece
    if not text:
        return b""
    return thoughtful("text", on_side({"text": text}, side, sides), "analysis", thoughts)


def thoughtful(name: str, told: dict[str, Any], key: str, thoughts: Thoughts | None) -> bytes:
    """An event with thoughts under a key, if there are any; work for a thread."""
    return event(name, told | ({key: shown(thoughts)} if thoughts else {}))


def on_side(told: dict[str, Any], side: int, sides: bool) -> dict[str, Any]:
    """What is told, and where there are several, by which of them."""
    return {"side": side, **told} if sides else told


def shown(thoughts: Thoughts) -> dict[str, Any]:
    """Thoughts as an Analysis."""
    return {
        "characters": thoughts.characters,
        "nats": [None if math.isnan(x) else round(x, DIGITS) for x in thoughts.nats.tolist()],
        "likely": rounded(thoughts),
    }


def rounded(thoughts: Thoughts) -> list[list[tuple[str, float]]]:
    """The likeliest symbols after each character, with as many digits as are shown."""
    return [[(symbol, round(p, DIGITS)) for symbol, p in row] for row in thoughts.likely]


def sentence(unknowns: Unknowns) -> str:
    """What was done with the unknown characters of a text, for people; empty where all are known."""
    return unknowns.sentence
