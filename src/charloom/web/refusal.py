"""The error that refuses a request before a route runs, and the response to the request."""

from starlette.responses import Response

from charloom.web.concurrency import Busy
from charloom.web.error_responses import error_body
from charloom.web.json_response import AsciiJSONResponse


class Refused(Exception):
    """The server refuses a request before a route runs.

    Args:
        status: the HTTP status of the response.
        message: what was wrong, and how to fix it.
        headers: additional headers of the response.
        kind: the field `type` of the error in the response, such as `busy_error`.
        code: the identifier of the error, such as `busy`; None if it has none.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
        kind: str = "refused",
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.kind = kind
        self.code = code

    def response(self) -> Response:
        """Return the response to the request.

        The response closes the connection, so that the server does not have to read the rest of the request.
        """
        body = error_body(str(self), self.kind, code=self.code)
        return AsciiJSONResponse(body, self.status, {"connection": "close", **self.headers})


def busy_refusal(busy: Busy) -> Refused:
    """Return the error that refuses a request because a limit is reached; `busy` says which limit.

    The response tells the client after how many seconds it may send the request again.
    """
    headers = {"retry-after": str(busy.retry_after)}
    return Refused(busy.status, str(busy), headers, "busy_error", "busy")
