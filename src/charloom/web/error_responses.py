"""Turns every error of a route into an HTTP status and a JSON body; the body has the same fields on all routes."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from charloom.errors import (
    CharloomError,
    DamagedError,
    MissingPartError,
    NewerFormatError,
    RunExistsError,
    RunInUseError,
    UnknownCharacterError,
    UnregisteredCellError,
    WriteError,
)
from charloom.messages import for_page, for_python
from charloom.web.concurrency import Busy
from charloom.web.file_descriptors import Shortage, is_shortage
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.validation_messages import validation_message

INVALID: Final = "invalid_request_error"
NO_FILES: Final = "the server has no free file descriptor; try again soon."


class NotFoundError(CharloomError):
    """The server knows no run, model, text or file with the key or name in the request."""


class UnknownCharactersError(CharloomError):
    """A text has characters that are not in the model's vocabulary.

    Attributes:
        characters: the characters that are not in the vocabulary.
        param: the name of the request's field that has the text.
        advice: a sentence saying how a program can let the model skip these characters; None if the route
            has no way to do this.
    """

    def __init__(
        self, message: str, characters: list[str], param: str, advice: str | None = None
    ) -> None:
        super().__init__(message)
        self.characters = characters
        self.param = param
        self.advice = advice


class NotAllowedError(CharloomError):
    """A value in the request is not allowed.

    `param` is the name of the request's field that has the value; None if the value is not in a field.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class NGramsNotAllowedError(NotAllowedError):
    """The model has n-grams, which a file of the requested format cannot have."""


class NameTakenError(RunExistsError):
    """A run or another file has the name that the field `name` of the request gives."""

    param = "name"


# The HTTP status, type and code for each class of errors. The first class that fits an error is used.
KINDS: Final[tuple[tuple[type[CharloomError], int, str, str | None], ...]] = (
    (NotFoundError, 404, "not_found_error", "not_found"),
    (UnknownCharactersError, 422, INVALID, "unknown_characters"),
    (UnknownCharacterError, 422, INVALID, "unknown_characters"),
    (RunExistsError, 409, "conflict_error", "exists"),
    (RunInUseError, 409, "conflict_error", "in_use"),
    (DamagedError, 409, "conflict_error", "damaged"),
    (NewerFormatError, 409, "conflict_error", "newer_format"),
    (UnregisteredCellError, 409, "conflict_error", "unregistered_cell"),
    (MissingPartError, 409, "conflict_error", "missing_part"),
    (WriteError, 409, "conflict_error", "disk"),
    (NGramsNotAllowedError, 422, INVALID, "has_ngrams"),
    (CharloomError, 422, INVALID, None),
)


def status_and_body(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status of `error`, and the JSON body that describes it.

    `error` is a `CharloomError`, `Busy` or a lack of file descriptors. Any other error is raised again.
    """
    if is_shortage(error):
        error = Busy(NO_FILES)
    if isinstance(error, Busy):
        return error.status, error_body(str(error), "busy_error", code="busy")
    for kind, status, name, code in KINDS:
        if isinstance(error, kind):
            body = error_body(error.message, name, getattr(error, "param", None), code)
            if isinstance(error, UnknownCharactersError):
                body["error"] |= {"characters": error.characters, "advice": error.advice}
            return status, body
    raise error


def error_body(
    message: str,
    kind: str,
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """Return the JSON body of an error response; `ErrorDetail` describes its fields."""
    return {"error": {"message": for_page(message), "type": kind, "param": param, "code": code}}


def register_error_handlers(app: FastAPI, shortage: Shortage) -> None:
    """Register functions that turn every error of a route into an error response.

    They also notify `shortage` of each error that is caused by a lack of file descriptors.
    """

    @app.exception_handler(CharloomError)
    @app.exception_handler(Busy)
    @app.exception_handler(OSError)
    async def expected(_: Request, error: Exception) -> Response:
        if is_shortage(error):
            shortage.met()
            error = Busy(NO_FILES)
        status, body = status_and_body(error)
        headers = {"retry-after": str(error.retry_after)} if isinstance(error, Busy) else {}
        return AsciiJSONResponse(body, status, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # The message shortens a wrong value that it repeats, because the value may be very long.
        found = error.errors()[0]
        place = [str(part) for part in found["loc"] if part not in ("body", "query", "path")]
        param = ".".join(place)[:200] or None
        more = f" ({len(error.errors())} errors in all)" if len(error.errors()) > 1 else ""
        # Programs, not the page, send requests to /v1: the message names fields as they are in the JSON body.
        of_openai = request.url.path.startswith("/v1/")
        spell = for_python if of_openai else for_page
        message = f"{spell(validation_message(found))}{more}."
        if found["type"] == "json_invalid":
            param, message = None, "the body is not valid JSON."
        # OpenAI's server refuses an invalid body with 400, so its client libraries raise BadRequestError.
        status = 400 if of_openai else 422
        return AsciiJSONResponse(error_body(message, INVALID, param, "invalid"), status)

    @app.exception_handler(Exception)
    async def ours(_: Request, __: Exception) -> Response:
        # The response does not contain the traceback, which may be private; the server prints it in its terminal.
        message = "the server has an internal error; the terminal in which it was started shows the details."
        return AsciiJSONResponse(error_body(message, "server_error", code="mistake"), 500)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        kind = "not_found_error" if error.status_code == 404 else INVALID
        message = {
            404: "the server has no such address; /openapi.json lists the addresses.",
            405: "this address does not accept that method; /openapi.json says which it accepts.",
        }.get(error.status_code, "the body is not valid JSON.")
        headers = dict(error.headers or {})
        return AsciiJSONResponse(error_body(message, kind), error.status_code, headers)
