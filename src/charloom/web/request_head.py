"""Checks the head of a request: its method, its path, and the size of its headers and of its body."""

import re
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Scope

from charloom.web.body_rules import BodyRule, rule_for
from charloom.web.refusal import Refused

METHODS: Final = ("GET", "POST")
LONGEST_HEAD: Final = 16 * 1024  # largest size of all headers of a request together, in bytes
LONGEST_QUERY: Final = 2_048  # largest size of the query in a request's URL, in bytes
MOST_HEADERS: Final = 100
# Finds .., // and similar parts of a path. No route has them, and attackers use them to try to reach files outside
# of a folder.
ODD_PATH: Final = re.compile(rb"\.\.|%2e|%2f|%5c|%00|\\|//|[^\x21-\x7e]", re.IGNORECASE)


def check_head(scope: Scope, headers: Headers) -> BodyRule | None:
    """Raise Refused if the request has a method, path or header that no route accepts.

    Returns:
        The rule for the request's body: its media type and its largest size. None for a GET request, which
        has no body.
    """
    method = scope["method"]
    if method not in METHODS:
        raise Refused(
            405,
            f"the method {method[:20]} is not supported; use GET or POST.",
            {"allow": "GET, POST"},
        )
    size = sum(len(name) + len(value) for name, value in headers.raw)
    if size > LONGEST_HEAD or len(headers.raw) > MOST_HEADERS:
        raise Refused(
            431,
            f"the headers are too large: at most {LONGEST_HEAD:,} bytes in at most {MOST_HEADERS} headers.",
        )
    if len(scope["query_string"]) > LONGEST_QUERY:
        raise Refused(414, f"the query is too long: at most {LONGEST_QUERY:,} bytes.")
    if ODD_PATH.search(scope.get("raw_path") or scope["path"].encode()):
        raise Refused(400, "the path is not one of this server's; /openapi.json lists them.")
    if method == "POST":
        return checked_rule(scope["path"], headers)
    if "transfer-encoding" in headers or any(
        size != "0" for size in headers.getlist("content-length")
    ):
        raise Refused(400, "a GET request must not have a body.")
    return None


def checked_rule(path: str, headers: Headers) -> BodyRule:
    """Return the rule for the body of a POST request to `path`.

    Raises:
        Refused: the headers announce a body that the rule does not allow, or do not give its length.
    """
    sizes = headers.getlist("content-length")
    if "transfer-encoding" in headers or not sizes:
        raise Refused(
            411, "give the length of the body in Content-Length; a body in chunks is not accepted."
        )
    rule = rule_for(path, headers.getlist("content-type"))
    if "content-encoding" in headers:
        raise Refused(415, "the body must not be compressed.")
    if any(not size.isdecimal() or int(size[:20]) > rule.most for size in sizes):
        raise rule.too_large()
    return rule
