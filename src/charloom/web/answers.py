"""Writes the JSON of answers: ASCII, and no number that JSON does not have."""

import json
from typing import Any

from starlette.responses import JSONResponse

from charloom.spelling import finite


class Plain(JSONResponse):
    """JSON in ASCII: whatever a model wrote, halves of surrogate pairs too, can be sent."""

    def render(self, content: Any) -> bytes:
        return dumped(content)


def dumped(content: Any) -> bytes:
    """JSON in ASCII, without spaces; a number that is not finite becomes null."""
    try:
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError:
        return json.dumps(finite(content), separators=(",", ":")).encode("ascii")
