"""The rules for who may use the server: the host that a request names, the page that sent it, and its token.

Any page that the user visits in a browser can send requests to a local server. Therefore a request must name this
server in its Host header: otherwise an attacker's host name, which resolves to the address of this machine, could reach
the server. A request that a page sends must come from charloom's own page. If other machines can reach the server, the
request must also contain the server's token.
"""

import hmac
import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, QueryParams
from starlette.responses import Response
from starlette.types import Scope

from charloom.web.refusal import Refused

COOKIE: Final = "charloom"
HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True)
class AccessRules:
    """The rules for who may use the server.

    Attributes:
        hosts: the accepted values of the header Host, such as localhost:8421. An empty set accepts every
            value: the server then has a token, because other machines can reach it.
        token: the secret that every request must contain; None if only this machine can reach the server.
    """

    hosts: frozenset[str]
    token: str | None = None

    @classmethod
    def of(cls, host: str, port: int, token: str | None) -> "AccessRules":
        """Return the rules for a server that listens at `host` and `port`.

        `token` is the secret that every request must contain. It is None if only this machine can reach
        the server.
        """
        if token is not None:
            return cls(frozenset(), token)
        names = {"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host}
        ports = {f":{port}"} | ({""} if port == 80 else set())
        return cls(frozenset(name + suffix for name in names for suffix in ports))

    def check_origin_and_host(self, scope: Scope, headers: Headers) -> None:
        """Raise Refused if a page of another site sent the request, or if the header Host is not this server's."""
        host = self._checked_host(headers)
        for origin in headers.getlist("origin"):
            if origin.lower() != f"http://{host}":
                raise Refused(
                    403,
                    f"pages of {origin[:100]!r} may not use this server; only its own page may.",
                )
        # Another site may contain a link that opens the page, but may not send any other request.
        opens_page = is_page(scope) and headers.getlist("sec-fetch-mode") == ["navigate"]
        for site in headers.getlist("sec-fetch-site"):
            if site not in ("same-origin", "none") and not opens_page:
                raise Refused(
                    403, "pages of other sites may not use this server; only its own page may."
                )

    def _checked_host(self, headers: Headers) -> str:
        """Return the header Host in lower case; raise Refused if it does not name this server."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            raise Refused(
                400,
                "a request must have exactly one Host header, with the name and the port of this server.",
            )
        host = hosts[0].lower()
        if self.hosts and host not in self.hosts:
            # The error suggests an IPv6 address only if the server has no other name or address.
            suggested = min(self.hosts, key=lambda name: (name.startswith("["), name))
            raise Refused(
                403, f"this server does not answer as {host!r}; open http://{suggested}/ instead."
            )
        return host

    def check_token(self, scope: Scope, headers: Headers) -> str | None:
        """Raise Refused if a token is required and the request does not have it.

        Returns:
            The token if the request has it in its address; `redirect_with_cookie` moves it into a cookie. None if
            the request has the token in a header, or if no token is required.
        """
        if self.token is None or any(map(self._is_token, tokens_in(headers))):
            return None
        if is_page(scope):
            for token in QueryParams(scope["query_string"]).getlist("token"):
                if self._is_token(token):
                    return token
        raise Refused(
            401,
            "the token is missing or wrong; open the address that the server printed when it started, or "
            "send its token in the header Authorization: Bearer.",
            {"www-authenticate": "Bearer"},
        )

    def _is_token(self, text: str) -> bool:
        """Return True if `text` is the token of the server.

        The comparison takes the same time for each wrong text, so that an attacker learns nothing from the
        time.
        """
        assert self.token is not None
        return hmac.compare_digest(text.encode(), self.token.encode())


def is_page(scope: Scope) -> bool:
    """Return True if a request is for the HTML file of the page."""
    return bool(scope["method"] == "GET" and scope["path"] == "/")


def tokens_in(headers: Headers) -> list[str]:
    """Return the values in the headers Authorization and Cookie that may be the server's token."""
    found = [
        value.removeprefix("Bearer ")
        for value in headers.getlist("authorization")
        if value.startswith("Bearer ")
    ]
    for line in headers.getlist("cookie"):
        for pair in line.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE:
                found.append(value)
    return found


def redirect_with_cookie(token: str) -> Response:
    """Return a response that stores `token` in a cookie and redirects to the page's address without the token.

    A link to the page, or a screenshot of it, then does not show the token.
    """
    cookie = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
    return Response(status_code=303, headers={"location": "/", "set-cookie": cookie})


def is_loopback(host: str) -> bool:
    """Return True if `host` is an address of this machine that no other machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
