"""Encodes responses as JSON in ASCII, with null for numbers that JSON cannot express, such as NaN."""

import json
from typing import Any

from starlette.responses import JSONResponse

from charloom.formatting import finite


class AsciiJSONResponse(JSONResponse):
    """A JSON response in ASCII.

    A model can write unpaired surrogates, which UTF-8 cannot encode. In ASCII, JSON writes them as escapes.
    """

    def render(self, content: Any) -> bytes:
        return dumped(content)


def dumped(content: Any) -> bytes:
    """Return `content` as JSON in ASCII, without spaces. A number that is not finite becomes null."""
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError:
        return json.dumps(finite(content), separators=(",", ":")).encode("ascii")
