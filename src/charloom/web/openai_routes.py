"""The routes of `/v1`: models and completions in the format of OpenAI's API. A token is one character.

A parameter that charloom does not support is an error; it is never ignored silently.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any, Final, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from charloom.cooperative import Slices
from charloom.formatting import shortened
from charloom.model import DEFAULT_START, Start
from charloom.surprisal import Predictions
from charloom.web import schemas as wire
from charloom.web.concurrency import WorkQueue
from charloom.web.error_responses import NotAllowedError, NotFoundError
from charloom.web.event_stream import EVENT, EventStream, answer
from charloom.web.json_response import AsciiJSONResponse, dumped
from charloom.web.model_cache import ModelCache
from charloom.web.pagination import MOST, After, Limit, page_after
from charloom.web.playground_routes import TextWriter
from charloom.web.run_index import RunIndex
from charloom.web.run_models import models_in

MOST_TOKENS: Final = 16_384
MOST_CHOICES: Final = 8
MOST_LOGPROBS: Final = 20
STOPS: Final = 8
DONE: Final = b"data: [DONE]\n\n"

Line = Annotated[str, StringConstraints(max_length=wire.LONGEST_PROMPT)]
Stop = Annotated[str, StringConstraints(min_length=1, max_length=wire.SHORT)]


class StreamOptions(BaseModel):
    """Options of a streamed completion."""

    model_config = ConfigDict(extra="forbid", strict=True)
    include_usage: bool = False
    include_obfuscation: Literal[False] | None = None


class Completion(BaseModel):
    """A request for completions.

    `suffix`, a `best_of` that differs from `n`, penalties other than 0, `logit_bias` and unknown fields
    are errors. `user` is ignored. `top_k`, `min_p`, `repetition_penalty` and `start` are fields of charloom, not
    of OpenAI; OpenAI's Python client sends them with its argument extra_body. With `start` "zero", the log
    probabilities are those of `charloom score`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    model: wire.ModelKey
    prompt: Line | Annotated[list[Line], Field(min_length=1, max_length=MOST_CHOICES)] = ""
    max_tokens: Annotated[int, Field(ge=0, le=MOST_TOKENS)] | None = 16
    temperature: Annotated[float, Field(ge=0, le=100)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool | None = False
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**64)] | None = None
    user: Annotated[str, StringConstraints(max_length=wire.SHORT)] | None = None
    suffix: Annotated[str, StringConstraints(max_length=wire.SHORT)] | None = None
    best_of: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    logit_bias: Annotated[dict[str, float], Field(max_length=300)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_114_112)] = 0
    min_p: Annotated[float, Field(ge=0, le=1)] = 0.0
    repetition_penalty: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    start: Start = DEFAULT_START

    @property
    def prompts(self) -> list[str]:
        """Return the prompts as a list."""
        return [self.prompt] if isinstance(self.prompt, str) else self.prompt

    @property
    def texts_per_prompt(self) -> int:
        """Return the number of texts to write for each prompt."""
        return self.n or 1

    def refuse_unsupported(self) -> None:
        """Raise NotAllowedError if the request has a value that this server does not support."""
        texts = len(self.prompts) * self.texts_per_prompt
        penalty = "only 0 is supported; use repetition_penalty instead."
        # For each field: whether the server refuses its value, and the error message if so.
        problems = {
            "suffix": (self.suffix, "charloom only continues a prompt; leave suffix out."),
            "best_of": (
                self.best_of not in (None, self.texts_per_prompt),
                "only the value of n is supported; leave best_of out.",
            ),
            "presence_penalty": (self.presence_penalty, penalty),
            "frequency_penalty": (self.frequency_penalty, penalty),
            "logit_bias": (self.logit_bias, "not supported; leave it out."),
            "max_tokens": (
                self.max_tokens == 0 and not self.echo,
                "0 is only allowed together with echo; give at least 1.",
            ),
            "n": (
                texts > MOST_CHOICES,
                f"{len(self.prompts)} prompts with n = {self.n} ask for {texts} texts; at most "
                f"{MOST_CHOICES} are allowed.",
            ),
        }
        for name, (unsupported, problem) in problems.items():
            if unsupported:
                raise NotAllowedError(f"{name}: {problem}", name)


class ModelCard(wire.ResponseBody):
    """A model in the format of OpenAI's API."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "charloom"


class ModelCards(wire.ResponseBody):
    """A page of the list of models.

    If `has_more` is true, there is a next page. To request it, give `last_id` as the parameter `after`.
    """

    object: str = "list"
    data: list[ModelCard]
    has_more: bool
    last_id: str | None


class Logprobs(wire.ResponseBody):
    """The natural logarithms of the probabilities of tokens.

    The probabilities are those of the model: temperature and other sampling options do not change them.
    """

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class Choice(wire.ResponseBody):
    """A text of a completion; in a stream, a part of the text.

    `finish_reason` says why the text ended: "stop" or "length". In a stream, only the last part of a text
    has a reason; `finish_reason` is None in the other parts.
    """

    text: str
    index: int
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Usage(wire.ResponseBody):
    """The number of characters in the prompts and in the written texts."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completed(wire.ResponseBody):
    """A whole completion, or one event of a streamed completion."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage | None = None


def routes(
    model_cache: ModelCache, run_index: RunIndex, queue: WorkQueue, closing: asyncio.Event
) -> APIRouter:
    """Return the routes of /v1."""
    router = APIRouter(tags=["OpenAI"])

    @router.get("/v1/models")
    def list_models(limit: Limit = MOST, after: After = None) -> ModelCards:
        """Return a page of the list of models."""
        page = page_after(
            models_in(run_index.read_list(refresh=True)), lambda model: model.id, limit, after
        )
        return ModelCards(
            data=[ModelCard(id=model.id, created=model.created) for model in page.items],
            has_more=page.next is not None,
            last_id=page.items[-1].id if page.items else None,
        )

    @router.get("/v1/models/{model}")
    def one_model(model: wire.ModelKey) -> ModelCard:
        """Return the model whose id is `model`."""
        with suppress(NotFoundError):
            # If the list does not include the model's run yet, read the run now.
            run_index.run(model.partition("@")[0])
        models = models_in(run_index.read_list(refresh=True))
        listed = {f"{known.run.key}@{known.which}": known for known in models if known.run}
        listed |= {known.id: known for known in models}
        if (found := listed.get(model)) is None:
            raise NotFoundError(
                f"there is no model {shortened(model)}; GET /v1/models lists the models."
            )
        return ModelCard(id=model, created=found.created)

    @router.post(
        "/v1/completions",
        response_model=Completed,
        responses={200: {"content": {"text/event-stream": {"schema": EVENT}}}},
    )
    async def complete(body: Completion, request: Request) -> Any:
        """Let a model continue one or more prompts."""
        body.refuse_unsupported()
        if body.stream:
            opened = writing(model_cache, queue, body)
            return EventStream(opened, closing, lambda error: b"data: " + dumped(error) + b"\n\n")
        return await answer(request, closing, whole(model_cache, queue, body))

    return router


class Text:
    """One of the texts of a completion, while a model writes it.

    Args:
        writer: writes the text with the model.
        index: the index of the text in the response.
        body: the request.
        prompt: the prompt of this text.
    """

    def __init__(self, writer: TextWriter, index: int, body: Completion, prompt: str) -> None:
        self.writer = writer
        self.index = index
        self.body = body
        self.prompt = prompt
        self.offset = 0
        self.over = False
        # The most likely characters to follow the text so far, with their probabilities.
        self.before: tuple[tuple[str, float], ...] = ()

    def beginning(self) -> Slices[Choice | None]:
        """Let the model read the prompt, and return the echo of the prompt for the response.

        Return None if the prompt is empty, or if the request does not set `echo`.
        """
        predictions = yield from self.writer.beginning(self.prompt)
        if predictions is not None and self.prompt:
            # In OpenAI's API, the first character of a prompt has no log probability, whatever the start is.
            predictions.nats[:1] = np.nan
        echoed = self.body.echo and self.prompt
        if not echoed:
            self.offset = len(self.prompt)
        logprobs = self.logprobs(predictions, sent=bool(echoed))
        return Choice(text=self.prompt, index=self.index, logprobs=logprobs) if echoed else None

    def next(self) -> Choice | None:
        """Return the next part of the text; None after the last part.

        A part is a few characters, or none. Only the last part has a finish reason.
        """
        if self.over:
            return None
        piece = None if self.body.max_tokens == 0 else self.writer.next()
        if piece is None:
            self.over = True
            reason = "length" if self.writer.writing.ended in (None, "length") else "stop"
            return Choice(text="", index=self.index, finish_reason=reason)
        return Choice(text=piece[0], index=self.index, logprobs=self.logprobs(piece[1], sent=True))

    def logprobs(self, predictions: Predictions | None, sent: bool) -> Logprobs | None:
        """Return the log probabilities of some characters; None if the request does not want log probabilities.

        Args:
            predictions: the model's predictions for the characters.
            sent: whether the response contains the characters. It does not contain a prompt that is not echoed.
        """
        if predictions is None or self.body.logprobs is None:
            return None
        tokens = list(predictions.characters)
        rows = [self.before, *predictions.likely]
        self.before = rows.pop()
        found = Logprobs(tokens=tokens, token_logprobs=[], top_logprobs=[], text_offset=[])
        for token, cost, row in zip(tokens, predictions.nats.tolist(), rows, strict=True):
            known = cost == cost
            found.token_logprobs.append(-cost if known else None)
            top = {name: float(np.log(max(p, 1e-300))) for name, p in row[: self.body.logprobs]}
            found.top_logprobs.append(top if known else None)
            found.text_offset.append(self.offset)
            self.offset += len(token) if sent else 0
        return found


def texts_of(model_cache: ModelCache, body: Completion) -> list[Text]:
    """Return a `Text` object for each text that a request asks for: `n` texts for each prompt.

    The model has not read a prompt or written a character yet.
    """
    model = model_cache.open(body.model)
    drawing: dict[str, Any] = {
        "length": max(1, 16 if body.max_tokens is None else body.max_tokens),
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "top_k": body.top_k,
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "start": body.start,
        "seed": secrets.randbits(48) if body.seed is None else body.seed % 2**64,
        "stop": [body.stop] if isinstance(body.stop, str) else body.stop or [],
        "probabilities": body.logprobs is not None,
    }
    texts: list[Text] = []
    for prompt in body.prompts:
        # The error gives no advice to skip unknown characters, because the routes of /v1 cannot skip them.
        model.require_known(prompt, "refuse", "prompt", advice=None)
        for number in range(body.texts_per_prompt):
            writer = TextWriter.of(
                model,
                wire.SamplingOptions(prompt=prompt, **drawing),
                number,
                max(body.logprobs or 0, 1),
            )
            texts.append(Text(writer, len(texts), body, prompt))
    return texts


async def parts(queue: WorkQueue, texts: list[Text]) -> AsyncIterator[Choice]:
    """Let the model write all texts, and yield each part of a text, a few characters, as soon as it is written.

    The model writes one part of each text in turn. An echoed prompt is the first part of its text.
    """
    for text in texts:
        echoed = await queue.run_slices(text.beginning())
        if echoed is not None:
            yield echoed
    at_work = list(texts)
    while at_work:
        for text in list(at_work):
            part = await queue.work(text.next)
            if part is None:
                at_work.remove(text)
            elif part.text or part.finish_reason is not None:
                yield part


def head(body: Completion) -> dict[str, Any]:
    """Return the fields that are in a whole response and in every event of a stream."""
    return {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.model,
        "system_fingerprint": "charloom",
    }


def usage(texts: list[Text]) -> Usage:
    """Return the number of characters in the prompts and in the written texts.

    Each prompt counts once, even if several texts continue the prompt.
    """
    read = sum(map(len, texts[0].body.prompts))
    written = sum(text.writer.written for text in texts)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


async def whole(model_cache: ModelCache, queue: WorkQueue, body: Completion) -> AsciiJSONResponse:
    """Let the model write all texts of a request, and return one response with the texts."""
    async with queue.place():
        texts = await queue.work(texts_of, model_cache, body)
        choices = [Choice(text="", index=text.index) for text in texts]
        pieces: list[list[str]] = [[] for _ in texts]
        async for part in parts(queue, texts):
            choice = choices[part.index]
            pieces[part.index].append(part.text)
            choice.finish_reason = part.finish_reason
            if part.logprobs is not None:
                if choice.logprobs is None:
                    choice.logprobs = part.logprobs
                else:
                    for name, values in part.logprobs:
                        getattr(choice.logprobs, name).extend(values)
        for choice, written in zip(choices, pieces, strict=True):
            choice.text = "".join(written)
        sent = [choice.model_dump() for choice in choices]
        return AsciiJSONResponse(
            {**head(body), "choices": sent, "usage": usage(texts).model_dump()}
        )


@asynccontextmanager
async def writing(
    model_cache: ModelCache, queue: WorkQueue, body: Completion
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Wait in the queue, then yield an iterator over the events of a streamed completion.

    The request counts as being processed until the `with` block ends.
    """
    async with queue.place():
        yield streamed(queue, body, await queue.work(texts_of, model_cache, body))


async def streamed(queue: WorkQueue, body: Completion, texts: list[Text]) -> AsyncIterator[bytes]:
    """Yield the server-sent events of a completion.

    Each event has a few characters of one text. If the request sets `include_usage`, an event with the numbers of
    characters that were read and written follows. The last event marks the end.
    """
    start = head(body)
    async for part in parts(queue, texts):
        yield b"data: " + dumped({**start, "choices": [part.model_dump()]}) + b"\n\n"
    if body.stream_options is not None and body.stream_options.include_usage:
        last = {**start, "choices": [], "usage": usage(texts).model_dump()}
        yield b"data: " + dumped(last) + b"\n\n"
    yield DONE
