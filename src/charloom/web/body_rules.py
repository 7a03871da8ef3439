"""The types and sizes of request bodies that the routes accept.

The routes accept only types that an HTML form cannot send. Before a script on a page of another site sends such a
type, the browser asks the server (CORS preflight), and the server does not allow it.
"""

from typing import Final, NamedTuple

from charloom.web.refusal import Refused
from charloom.web.schemas import SMALL_BODY, TEXT_BODY, UPLOAD_BODY

JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"


class BodyRule(NamedTuple):
    """The type and the largest size of the bodies that a group of routes accepts.

    Attributes:
        path: the beginning of the paths of all routes in the group.
        media_type: the required Content-Type.
        most: the largest size of a body in bytes.
        computes: whether the routes compute with a model; a request to them then waits in the `WorkQueue`.
    """

    path: str
    media_type: str
    most: int
    computes: bool = False

    def too_large(self) -> Refused:
        """Return the error that refuses a body with more bytes than this rule allows."""
        return Refused(413, f"the body is too large: at most {self.most:,} bytes.")


# The rules in the order in which they are tried. The first rule whose `path` begins the path of a request applies. All
# other rules with the same `path` apply, too: the request may have the type of any of them.
BODIES: Final = (
    BodyRule("/api/texts", BYTES, UPLOAD_BODY),
    BodyRule("/api/texts", JSON, TEXT_BODY),
    BodyRule("/api/generate", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/compare", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/grid", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/next", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/score", JSON, TEXT_BODY, computes=True),
    BodyRule("/api/inside/", JSON, TEXT_BODY, computes=True),
    BodyRule("/v1/", JSON, TEXT_BODY, computes=True),
    BodyRule("", JSON, SMALL_BODY),
)


def rule_for(path: str, types: list[str]) -> BodyRule:
    """Return the rule for the body of a request; raise Refused if the body's type is not accepted.

    Args:
        path: the path of the request.
        types: the values of all headers Content-Type in the request. A request without this header is
            refused, because a script on a page of another site could send it.
    """
    given = types[0].split(";")[0].strip().lower() if len(types) == 1 else None
    first = next(rule for rule in BODIES if path.startswith(rule.path))
    accepted = [rule for rule in BODIES if rule.path == first.path]
    for rule in accepted:
        if rule.media_type == given:
            return rule
    wanted = " or ".join(rule.media_type for rule in accepted)
    raise Refused(415, f"the body must have the Content-Type {wanted}.")
