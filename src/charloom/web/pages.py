"""Serves the page's files and plotly.js, each known by name from the start."""

import importlib.util
from hashlib import sha256
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from charloom.web.mistakes import NotHereError

STATIC: Final = Path(__file__).parent / "static"
PLOTLY: Final = "plotly.min.js"
KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


def routes() -> APIRouter:
    """The routes of the page."""
    router = APIRouter(include_in_schema=False)
    # What can be asked for is what is there now: a name leads into this table, never to a path.
    files = {path.name: path for path in STATIC.iterdir() if path.suffix in KINDS}
    plotly = plotly_path()
    if plotly is not None:
        files[PLOTLY] = plotly
    kept: dict[str, tuple[int, str, bytes]] = {}  # of each file: when it changed, its tag, itself

    @router.get("/")
    def page(request: Request) -> Response:
        """The page."""
        return send(request, "index.html")

    @router.get("/favicon.ico")
    def icon(request: Request) -> Response:
        """The page's icon; browsers ask for it unbidden."""
        return send(request, "favicon.svg") if "favicon.svg" in files else Response(status_code=204)

    @router.get("/static/{name}")
    def file(request: Request, name: str) -> Response:
        """One of the page's files."""
        return send(request, name)

    def send(request: Request, name: str) -> Response:
        """A file, unless the browser has it as it is."""
        if name not in files:
            raise NotHereError(f"the page has no file {name[:100]!r}; reload the page.")
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
    """Where the installed plotly has plotly.js; None where there is none."""
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / "package_data" / PLOTLY
    return path if path.is_file() else None
