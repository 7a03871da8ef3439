"""The types and sizes of request bodies that the routes accept.

The type must be one that no HTML form can send, and that a script of another page can send only if the server allows it
(CORS preflight).
"""

from typing import Final, NamedTuple

from charloom.web.refusal import Refused
from charloom.web.schemas import SMALL_BODY, TEXT_BODY, UPLOAD_BODY

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"


class BodyRule(NamedTuple):
    """A type of body that some routes accept.

    Attributes:
        path: the beginning of the paths of these routes.
        media_type: the required Content-Type.
        most: the largest size in bytes.
        computes: whether the request waits in the queue for requests that need computing.
    """

    path: str
    media_type: str
    most: int
    computes: bool = False

    def too_large(self) -> Refused:
        """Return the error that refuses a body with more bytes than this rule allows."""
        return Refused(413, f"the body is too large: at most {self.most:,} bytes.")


# The first rule whose path is the beginning of the request's path decides which types are accepted.
BODIES: Final = (
    BodyRule("/api/texts", BYTES, UPLOAD_BODY),
    BodyRule("/api/texts", JSON, TEXT_BODY),
    BodyRule("/api/generate", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/compare", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/next", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/score", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/inside/", JSON, TEXT_BODY, computes=True),
    BodyRule("/v1/", JSON, TEXT_BODY, computes=True),
    BodyRule("", JSON, SMALL_BODY),
)


def rule_for(path: str, types: list[str]) -> BodyRule:
    """Return the rule for the body of a request; raise Refused if the route does not accept its type.

    Args:
        path: the path of the request.
        types: the values of the header Content-Type. A request without this header is refused, because a
            script of another page could send it.
    """
    given = types[0].split(";")[0].strip().lower() if len(types) == 1 else None
    first = next(rule for rule in BODIES if path.startswith(rule.path))
    accepted = [rule for rule in BODIES if rule.path == first.path]
    for rule in accepted:
        if rule.media_type == given:
            return rule
    wanted = " or ".join(rule.media_type for rule in accepted)
    raise Refused(415, f"the body must have the Content-Type {wanted}.")
