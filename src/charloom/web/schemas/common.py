"""Bases of the requests and responses of the server, and the types and limits that several of them share."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from charloom.config import SEED_LIMIT

TEXT_BODY: Final = 512 * 1024  # largest body of a JSON request with a text, in bytes
UPLOAD_BODY: Final = 64 * 1024 * 1024  # largest size of a text sent as bytes to train on
SMALL_BODY: Final = 64 * 1024  # largest body of a request without a text, in bytes
# The largest number of characters in a text whose surprise is computed, or on which units are shown or compared.
LONGEST_READ: Final = 50_000
SHORT: Final = 200
KEY: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}$"
MODEL: Final = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,79}(@(latest|best|0|[1-9][0-9]{0,18}))?$"
Key = Annotated[str, StringConstraints(pattern=KEY, max_length=80)]
ModelKey = Annotated[
    str,
    Field(
        description="an `id` from GET /api/models: a key, or key@latest, key@best, key@<update>. A key alone means the "
        "best checkpoint of a run with a validation part, and the latest checkpoint of a run without",
        examples=["book-1@best"],
    ),
    StringConstraints(pattern=MODEL, max_length=100),
]
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
Unknown = Literal["refuse", "skip"]
State = Literal[
    "starting",
    "training",
    "paused",
    "finished",
    "interrupted",
    "stopped",
    "failed",
    "damaged",
    "newer",
    "unreadable",
]
Probable = Annotated[
    list[str | float],
    Field(min_length=2, max_length=2, description="a character and its probability"),
]


class RequestBody(BaseModel):
    """The base of request bodies: rejects unknown fields, and strings where a number is expected."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ResponseBody(BaseModel):
    """The base of response bodies."""

    model_config = ConfigDict(protected_namespaces=())


class ErrorDetail(ResponseBody):
    """The error in an error response: what was wrong, and how to fix it.

    Attributes:
        message: a sentence for a human reader.
        type: the kind of error: `invalid_request_error`, `not_found_error`, `busy_error` ….
        param: the name of the wrong field; None if the error is not about one field.
        code: the identifier of the error, such as `unknown_characters`; None if it has none.
        characters: with the code `unknown_characters`, the characters that are not in the model's
            vocabulary.
        advice: with the code `unknown_characters`, a sentence saying how a program can let the model skip
            these characters; None if the route has no way to do this.
    """

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    characters: list[str] | None = None
    advice: str | None = None


class ErrorBody(ResponseBody):
    """The body of every error response, which has a status of 400 or more."""

    error: ErrorDetail


class ListPage(ResponseBody):
    """The base of responses with a page of a list.

    Attributes:
        total: the number of items in the whole list.
        next: the value of the parameter `after` that requests the next page; None on the last page.
        unread: the number of runs that the server has not read yet. The list does not include these runs.
    """

    total: int
    next: str | None
    unread: int


class EmptyRequest(RequestBody):
    """A request without fields: `{}`."""


class TextRequest(RequestBody):
    """The base of requests in which a model reads a text."""

    model: ModelKey
    text: str
    unknown: Unknown = "refuse"


class ModelResponse(ResponseBody):
    """The base of responses about a text that a model has read.

    `model` is the id of the model in the request. `update` is the update at which the model was saved. While a run
    trains, its latest model changes, so `update` can be larger in the next response.
    """

    model: str
    update: int
