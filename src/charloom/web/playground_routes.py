"""The routes of the page's view Playground: models write texts piece by piece, and predict the characters of a text.

`charloom sample` writes the same text with the same settings. Each request waits in a queue. Its work is done in pieces
of a few hundredths of a second, so that the work ends soon after the client disconnects.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fastapi import APIRouter, Request

from charloom.cooperative import Slices
from charloom.engines import Sampler
from charloom.engines.base import Ids
from charloom.hidden_units import choose
from charloom.model import beginning
from charloom.model.clamp import Clamp
from charloom.model.unit_clamps import clamped
from charloom.sampling import SampleOptions, Writing
from charloom.surprisal import Predictions, Reader, surprise_in_slices
from charloom.text.unknown_policy import SKIP, UnknownPolicy
from charloom.training.start_message import bad_start
from charloom.web import schemas as wire
from charloom.web.concurrency import WorkQueue
from charloom.web.event_stream import EVENT_STREAM, EventStream, answer_from_queue, event
from charloom.web.indexed_run import page_sentence
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.model_cache import ModelCache, OpenModel
from charloom.web.pagination import MOST, After, Limit, page_after
from charloom.web.run_index import RunIndex
from charloom.web.run_models import models_in

PIECE_SECONDS: Final = 0.03
# Seconds for which the model writes before a piece of the text ends, in a request that wants probabilities. This time
# is short, because computing the probabilities of the piece takes several times as long as writing the piece.
PREDICTING_SECONDS: Final = 0.006
LIKELY: Final = 5
DIGITS: Final = 5  # decimals of the probabilities and nats in a response


@dataclass(eq=False)
class TextWriter:
    """Writes a text with a model, and also returns probabilities if the request wants them.

    Attributes:
        model: the model.
        writing: yields the pieces of the text.
        reader: computes the probabilities; None if the request does not want probabilities.
        labels: fields that each event about the text has, with its place among the texts of the request.
        written: the number of characters written so far.
    """

    model: OpenModel
    writing: Writing
    reader: Reader | None
    labels: dict[str, int] = field(default_factory=dict)
    written: int = 0

    @classmethod
    def of(
        cls, model: OpenModel, body: wire.SamplingOptions, number: int = 0, likely: int = LIKELY
    ) -> "TextWriter":
        """Return a writer of the text that a request asks for.

        Args:
            model: the model.
            body: the prompt and the sampling options in the request.
            number: the index of the text among the texts that the request asks for. Texts with different
                indices are sampled with different random numbers.
            likely: how many of the most likely next characters are returned with their probabilities.

        Raises:
            UnknownCharactersError: the prompt has characters that are not in the model's vocabulary.
        """
        model.require_known(body.prompt, body.unknown, "prompt")
        writing = Writing(
            model.learner,
            model.engine,
            body.prompt,
            options_of(body),
            number=number,
            piece_seconds=PREDICTING_SECONDS if body.probabilities else PIECE_SECONDS,
        )
        reader = reader_before(model, body, likely) if body.probabilities else None
        return cls(model, writing, reader)

    def beginning(self, prompt: str) -> Slices[Predictions | None]:
        """Let the model read the prompt, and return its predictions for the characters of the prompt.

        If the request does not want probabilities, read nothing and return None. For an empty prompt, the
        predictions are empty.
        """
        if self.reader is None:
            return None
        ids = prompt_ids(self.model, prompt)
        return (yield from self.reader.read_in_slices(ids))

    def next(self) -> tuple[str, Predictions | None] | None:
        """Return the next piece of text, and the predictions for its characters.

        The predictions are None if the request does not want probabilities. The piece is empty if this call
        only read a part of the prompt. At the end of the text, return None instead of the two values.
        """
        piece = self.writing.step()
        if piece is None:
            return None
        self.written += len(piece.text)
        if self.reader is None:
            return piece.text, None
        # Pass the ids of the written characters, not their text: the text cannot be converted back to ids, because
        # U+FFFD in the text stands for any byte that is not UTF-8.
        return piece.text, self.reader.read(piece.ids)


@dataclass(frozen=True)
class WantedText:
    """A text that a request asks for.

    Attributes:
        model: the id of the model that writes it.
        options: the prompt and the sampling options.
        number: the index of the text among those of the same model and options, from 0.
        labels: the fields that each event about the text has: `side`, `number`, `row` and `column`, or some of them.
    """

    model: str
    options: wire.SamplingOptions
    number: int
    labels: dict[str, int]


def reader_before(model: OpenModel, body: wire.SamplingOptions, likely: int) -> Reader:
    """Return a reader that has read what the model reads before the prompt. `likely` is described in `TextWriter.of`."""
    ids = prompt_ids(model, body.prompt)
    read, state = beginning(model.learner, ids, body.start)
    reader = Reader(model.learner, model.engine, likely, state)
    reader.read(read[: len(read) - len(ids)])
    return reader


def prompt_ids(model: OpenModel, prompt: str) -> Ids:
    """Return the ids of the characters of the prompt that the model knows."""
    return model.learner.vocabulary.encode_with(prompt, SKIP).ids


def options_of(body: wire.SamplingOptions) -> SampleOptions:
    """Return the sampling options in a request."""
    sampler = Sampler(
        body.temperature,
        body.top_k,
        body.top_p,
        body.min_p,
        body.repetition_penalty,
        body.repetition_window,
    )
    policy = UnknownPolicy(body.unknown)
    return SampleOptions(body.length, body.seed, sampler, body.stop, policy, body.start)


def routes(
    model_cache: ModelCache, run_index: RunIndex, queue: WorkQueue, closing: asyncio.Event
) -> APIRouter:
    """Return the routes of the view Playground."""
    router = APIRouter(tags=["models"])
    router.include_router(prediction_routes(model_cache, queue, closing))

    @router.get("/api/models")
    def list_models(limit: Limit = MOST, after: After = None) -> wire.Models:
        """Return a page of the list of models."""
        # Refresh the list, because no event tells the page that there is a new model file.
        listed = run_index.read_list(refresh=True)
        page = page_after(models_in(listed), lambda model: model.id, limit, after)
        return wire.Models(
            models=[model.about() for model in page.items],
            total=page.total,
            next=page.next,
            unread=listed.unread,
        )

    @router.get("/api/models/{model}", response_model=wire.ModelDetail)
    def one_model(model: wire.ModelKey) -> AsciiJSONResponse:
        """Open a model and return its cell, its size and its vocabulary."""
        return AsciiJSONResponse(model_cache.open(model).about().model_dump())

    @router.post(
        "/api/generate", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def generate(body: wire.Generate) -> EventStream:
        """Let a model write one or more texts. The schema `Generate` describes the events of the response."""
        return EventStream(writing(model_cache, queue, body, texts_of(body, [body.model])), closing)

    @router.post(
        "/api/compare", status_code=200, response_class=EventStream, responses=EVENT_STREAM
    )
    async def compare(body: wire.Compare) -> EventStream:
        """Let several models each write one or more texts. The schema `Compare` describes the events of the response."""
        texts = texts_of(body, body.models, sides=True)
        return EventStream(writing(model_cache, queue, body, texts), closing)

    @router.post("/api/grid", status_code=200, response_class=EventStream, responses=EVENT_STREAM)
    async def grid(body: wire.Grid) -> EventStream:
        """Let a model write a table of texts by temperature and top-p. The schema `Grid` describes the events."""
        return EventStream(writing(model_cache, queue, body, texts_of_grid(body)), closing)

    return router


def prediction_routes(
    model_cache: ModelCache, queue: WorkQueue, closing: asyncio.Event
) -> APIRouter:
    """Return two routes: one predicts the next character, one computes the surprise of each character of a text."""
    router = APIRouter()

    @router.post("/api/next", response_model=wire.NextLikely)
    async def likely_next(body: wire.Next, request: Request) -> Any:
        """Return the most likely characters after a text, which the model reads from the zero state.

        If the text is empty, the model reads a line feed or, without a line feed in its vocabulary, a space or
        another character first.
        """

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            ids = model.encode(body).ids
            read, _ = beginning(model.learner, ids, "zero")
            reader = Reader(model.learner, model.engine, body.count)
            likely = (yield from reader.read_in_slices(read)).likely[-1]
            return AsciiJSONResponse({**model.head(), "likely": likely})

        return await answer_from_queue(queue, request, closing, compute())

    @router.post("/api/score", response_model=wire.Surprises)
    async def score(body: wire.Score, request: Request) -> Any:
        """Return the surprise (-ln and -log2 of the probability) of each character of a text."""

        def compute() -> Slices[AsciiJSONResponse]:
            model = model_cache.open_for(body)
            yield
            policy = UnknownPolicy(body.unknown)
            found = yield from surprise_in_slices(model.learner, model.engine, body.text, policy)
            result = {
                **model.head(),
                "characters": found.characters,
                "nats": found.nats.tolist(),
                "bits": found.bits.tolist(),
                "mean_bits": found.mean_bits,
                "likely": None,
                "unknowns": found.unknowns.sentence,
            }
            if body.likely:
                reader = Reader(model.learner, model.engine, LIKELY)
                predictions = yield from reader.read_in_slices(model.encode(body).ids)
                result["likely"] = rounded(predictions)
                yield
            return AsciiJSONResponse(result)

        return await answer_from_queue(queue, request, closing, compute())

    return router


@asynccontextmanager
async def writing(
    model_cache: ModelCache,
    queue: WorkQueue,
    body: wire.TextOptions,
    texts: Iterator[WantedText],
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Wait in the queue, then yield an iterator over the events of models that write texts.

    The request counts as being processed until the `with` block ends.

    Args:
        model_cache: the models in memory.
        queue: the queue of requests.
        body: the prompt and the options of the texts in the request.
        texts: the texts that the request asks for.
    """
    async with queue.place():
        # Open the models here, before the response begins: then an unknown model, or a prompt with unknown
        # characters, gets an ordinary error response.
        opened: dict[str, OpenModel] = {}
        writers = [await queue.work(text_writer, model_cache, text, opened) for text in texts]
        yield events(queue, body, writers)


def texts_of(
    body: wire.WritingRequest, models: list[str], sides: bool = False
) -> Iterator[WantedText]:
    """Yield the texts of a request. If `sides` is True, each has the label `side`, the index of its model."""
    for side, key in enumerate(models):
        for number in range(body.samples):
            several = {"number": number} if body.samples > 1 else {}
            yield WantedText(key, body, number, ({"side": side} if sides else {}) | several)


def texts_of_grid(body: wire.Grid) -> Iterator[WantedText]:
    """Yield the texts of a request for a table of texts, row by row."""
    common = body.model_dump(exclude={"model", "temperatures", "top_ps", "hold"}) | {
        "hold": body.hold
    }
    for row, temperature in enumerate(body.temperatures):
        for column, top_p in enumerate(body.top_ps):
            options = wire.SamplingOptions(**common, temperature=temperature, top_p=top_p)
            yield WantedText(body.model, options, 0, {"row": row, "column": column})


def text_writer(
    model_cache: ModelCache, text: WantedText, opened: dict[str, OpenModel]
) -> TextWriter:
    """Return a writer of a text that a request asks for.

    `opened` has the models of the request that are open already, by their ids. The unit that the request holds is held
    in them, so texts by the same model share its changed weights.
    """
    if text.model not in opened:
        opened[text.model] = with_held_unit(model_cache.open(text.model), text.options.hold)
    writer = TextWriter.of(opened[text.model], text.options, text.number)
    writer.labels = text.labels
    return writer


def with_held_unit(model: OpenModel, held: wire.HeldUnit | None) -> OpenModel:
    """Return the model with a unit held at a value; the model itself if `held` is None.

    Raises:
        ConfigError: the model has no such layer or unit, or holds the unit already.
    """
    if held is None:
        return model
    choose(model.learner, held.layer, held.unit, "h")
    return replace(model, learner=clamped(model.learner, Clamp(held.layer, held.unit, held.value)))


def held_sentence(model: OpenModel) -> str:
    """Return the sentences that say which units are held at which value, or an empty string."""
    return " ".join(clamp.sentence for clamp in model.learner.clamps)


async def events(
    queue: WorkQueue, body: wire.TextOptions, writers: list[TextWriter]
) -> AsyncIterator[bytes]:
    """Let each writer write its text, and yield the events of the response.

    The writers take turns, and each writes one piece, a few characters, in its turn. Each event has the labels of its
    writer.
    """
    began = time.perf_counter()
    for writer in writers:
        data = {
            **writer.labels,
            **writer.model.head(),
            "seed": body.seed,
            "prompt": body.prompt,
            "unknowns": writer.writing.unknowns.sentence,
            "warning": start_warning(writer.model, body),
            "held": held_sentence(writer.model),
        }
        predictions = await queue.run_slices(writer.beginning(body.prompt))
        yield await queue.work(event_with_predictions, "begin", data, "read", predictions)
    at_work = list(writers)
    while at_work:
        for writer in list(at_work):
            # The thread that writes the piece also encodes its event. Encoding many numbers as JSON in the event
            # loop would block the loop.
            piece = await queue.work(next_event, writer)
            if piece is None:
                at_work.remove(writer)
                data = {
                    **writer.labels,
                    "ended": writer.writing.ended,
                    "characters": writer.written,
                    "seconds": round(time.perf_counter() - began, 4),
                }
                yield event("end", data)
            elif piece:
                yield piece


def start_warning(model: OpenModel, body: wire.TextOptions) -> str:
    """Return a sentence saying that the model writes badly from the start of the text, or an empty string."""
    problem = bad_start(model.learner, body.start, bool(body.prompt))
    return "" if problem is None else page_sentence(problem)


def next_event(writer: TextWriter) -> bytes | None:
    """Let `writer` write the next piece of its text, and return the event with this piece.

    Return b"" if the piece is empty, and None after the last piece.
    """
    piece = writer.next()
    if piece is None:
        return None
    text, predictions = piece
    if not text:
        return b""
    return event_with_predictions("text", {**writer.labels, "text": text}, "analysis", predictions)


def event_with_predictions(
    name: str, data: dict[str, Any], key: str, predictions: Predictions | None
) -> bytes:
    """Return the event `name` with the fields in `data`.

    If `predictions` is not None, add them in a field whose name is `key`. Call this function in a thread,
    because it can take long.
    """
    return event(name, data | ({key: shown(predictions)} if predictions else {}))


def shown(predictions: Predictions) -> dict[str, Any]:
    """Return the fields of the schema `Analysis` for `predictions`."""
    return {
        "characters": predictions.characters,
        "nats": [None if math.isnan(x) else round(x, DIGITS) for x in predictions.nats.tolist()],
        "likely": rounded(predictions),
    }


def rounded(predictions: Predictions) -> list[list[tuple[str, float]]]:
    """Return, for each character of a text, the most likely next characters with rounded probabilities."""
    return [[(symbol, round(p, DIGITS)) for symbol, p in row] for row in predictions.likely]
