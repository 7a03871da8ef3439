"""Sends the files of the page and plotly.js to browsers. Browsers can only request files in a fixed table."""

import importlib.util
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from charloom.web.error_responses import NotFoundError

STATIC: Final = Path(__file__).parent / "static"
PLOTLY: Final = "plotly.min.js"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes() -> APIRouter:
    """Return the routes of the page."""
    router = APIRouter(include_in_schema=False)
    # The files that can be requested, by name. A request only gives a name, never a path.
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in KINDS}
    plotly = plotly_path()
    if plotly is not None:
        files[PLOTLY] = plotly
    # For each file that was sent, by its name: modification time, ETag and content.
    kept: dict[str, tuple[int, str, bytes]] = {}

    @router.get("/")
    def page(request: Request) -> Response:
        """Return the HTML file of the page."""
        return send(request, "index.html")

    @router.get("/favicon.ico")
    def icon(request: Request) -> Response:
        """Return the icon of the page. Browsers request /favicon.ico without being told to."""
        return send(request, "favicon.svg")

    @router.get("/static/{name}")
    def file(request: Request, name: str) -> Response:
        """Return the file `name` of the page, such as a script or a style sheet."""
        return send(request, name)

    def send(request: Request, name: str) -> Response:
        """Return a response with the file `name`.

        If the browser has stored the newest version of the file, the response has the status 304 and no file.
        """
        if name not in files:
            raise NotFoundError(f"the page has no file {name[:100]!r}; reload the page.")
        changed = files[name].stat().st_mtime_ns
        if name not in kept or kept[name][0] != changed:
            data = files[name].read_bytes()
            kept[name] = (changed, f'"{sha256(data).hexdigest()[:32]}"', data)
        _, tag, data = kept[name]
        headers = {"cache-control": "no-cache", "etag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, media_type=KINDS[files[name].suffix], headers=headers)

    return router


def plotly_path() -> Path | None:
    """Return the path of plotly.js in the installed plotly package; None if there is no such file."""
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "package_data" / PLOTLY
    return path if path.is_file() else None
