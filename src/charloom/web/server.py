"""Builds the server from its parts, runs it and closes it.

On a loopback address the server needs no token; on any other address it creates one.
"""

import asyncio
import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final, Literal

import uvicorn
from fastapi import FastAPI

from charloom.config import help_of
from charloom.engines import open_engine
from charloom.errors import CharloomError, ConfigError
from charloom.finetune import NETWORK, UNKNOWN_CHARACTERS
from charloom.formatting import shortened
from charloom.messages import argument, for_page
from charloom.recipes import DEFAULT_RECIPE, RECIPES
from charloom.registered_cells import cell_names
from charloom.store import charloom_version
from charloom.store.run_directory import is_run
from charloom.web import (
    comparison_routes,
    download_routes,
    inside_routes,
    openai_routes,
    playground_routes,
    removal_routes,
    run_routes,
    start_routes,
    static_files,
    study_routes,
    text_routes,
)
from charloom.web import schemas as wire
from charloom.web.access_rules import AccessRules, is_loopback
from charloom.web.concurrency import Busy, StreamLimit, WorkQueue
from charloom.web.connection import Connection
from charloom.web.error_responses import register_error_handlers
from charloom.web.file_descriptors import ConnectionLimits, Shortage, raise_limit
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.listener import Acceptor
from charloom.web.model_cache import ModelCache
from charloom.web.request_guard import Guard
from charloom.web.request_head import LONGEST_HEAD
from charloom.web.run_index import RunIndex
from charloom.web.run_models import models_in
from charloom.web.text_routes import TextIndex
from charloom.web.training_jobs import Jobs

CLOSING_SECONDS: Final = 3
# The longest time for which the server waits at its start until a model is loaded and all runs are read.
WARMING_SECONDS: Final = 1.0
KEEP_ALIVE_SECONDS: Final = 30
# Addresses that stand for all addresses of this machine. A browser cannot open them, so the page's URL has the
# name of the machine instead.
EVERYWHERE: Final = ("0.0.0.0", "::")
# The kind of a setting of the form that is not a choice, by the type of its value in JSON.
KINDS: Final[dict[str, Literal["whole", "number", "yes_no", "character"]]] = {
    "integer": "whole", "number": "number", "boolean": "yes_no", "string": "character",
}  # fmt: skip
SWITCH_SECONDS: Final = 0.0005  # after this time, a computing thread must release Python's lock

DESCRIPTION: Final = """Everything that charloom's page can do. A request's body is JSON (a text to train on
also `application/octet-stream`), with its length in `Content-Length` (status 411 without it). Errors have the body
`{"error": {…}}`; the statuses 429 and 503 have a `Retry-After` header. The routes of `/v1` work with OpenAI's clients."""


@dataclass
class AppState:
    """The objects that the parts of the server share.

    Attributes:
        folder: the folder of the runs.
        access: the rules for the requests that the server accepts.
        queue: the queue for requests that need computing.
        limits: the limits on the numbers of connections and event streams.
        shortage: is notified when there is no free file descriptor.
        stream_limit: limits the number of event streams.
        closing: an asyncio.Event that is set when the server closes, to end all streams.
        jobs: the training processes that this server started.
        run_index: the list of runs and models in the folder.
        model_cache: the models in memory.
        connections: the open connections.
    """

    folder: Path
    access: AccessRules
    queue: WorkQueue = field(default_factory=WorkQueue)
    limits: ConnectionLimits = field(default_factory=lambda: ConnectionLimits.within(None))
    shortage: Shortage = field(default_factory=Shortage)
    stream_limit: StreamLimit = field(init=False)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: Jobs = field(init=False)
    run_index: RunIndex = field(init=False)
    model_cache: ModelCache = field(init=False)
    connections: Collection[Any] = ()

    def __post_init__(self) -> None:
        self.stream_limit = StreamLimit(self.limits.stream_limit)
        self.jobs = Jobs(self.folder)
        self.run_index = RunIndex(self.folder, self.jobs, self.shortage)
        self.model_cache = ModelCache(self.run_index)

    def too_many_connections(self) -> Busy | None:
        """Return the error that refuses every request if too many connections are open, otherwise None."""
        if len(self.connections) <= self.limits.answered:
            return None
        return Busy(
            f"the server has {len(self.connections)} connections, more than it can serve; close some pages, or try again later."
        )

    def warm_up(self) -> None:
        """Load the first model of the list, and read all runs, so that the first request need not wait.

        Errors are ignored here: a request that needs a damaged file reports the damage.
        """
        with suppress(CharloomError, OSError):
            for model in models_in(self.run_index.read_list())[:1]:
                request = wire.Generate(model=model.id, length=1, probabilities=True)
                playground_routes.TextWriter.of(self.model_cache.open(model.id), request).next()
        with suppress(CharloomError, OSError):
            while self.run_index.read_list(refresh=True).unread and not self.closing.is_set():
                pass


def make_app(state: AppState) -> Guard:
    """Return the ASGI application of the server. It is a `Guard`, which checks every request."""
    jobs, run_index, model_cache = state.jobs, state.run_index, state.model_cache
    texts = TextIndex(run_index)
    version = charloom_version()
    app = FastAPI(
        title="charloom",
        version=version,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's documentation page would load files from another server
        redoc_url=None,
        openapi_url=None,
        default_response_class=AsciiJSONResponse,
        responses={
            "4XX": {"model": wire.ErrorBody, "description": "what was wrong, and how to fix it"},
            503: {"model": wire.ErrorBody, "description": "the server is busy; see Retry-After"},
        },
    )
    register_error_handlers(app, state.shortage)

    @app.get("/api/health", tags=["server"])
    async def health() -> wire.Health:
        """Return the version, and how many requests models are processing and how many wait in the queue."""
        return wire.Health(
            ok=True,
            version=version,
            writing=state.queue.working,
            waiting=state.queue.queued,
        )

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> AsciiJSONResponse:
        """Return the OpenAPI schema.

        The first call takes a moment. So this function is not async: FastAPI calls it in a thread.
        """
        return AsciiJSONResponse(app.openapi())

    @app.get("/api/about", tags=["server"], response_model=wire.About)
    def about() -> AsciiJSONResponse:
        """Return the version, the engine, the recipes, the settings of the form and the server's limits."""
        return AsciiJSONResponse(server_about(state.folder).model_dump())

    app.include_router(run_routes.routes(run_index, state.stream_limit, state.closing))
    app.include_router(comparison_routes.routes(run_index))
    app.include_router(study_routes.routes(run_index))
    app.include_router(removal_routes.routes(run_index))
    app.include_router(text_routes.routes(texts))
    app.include_router(start_routes.routes(run_index, texts, model_cache, jobs))
    app.include_router(playground_routes.routes(model_cache, run_index, state.queue, state.closing))
    app.include_router(download_routes.routes(run_index))
    app.include_router(inside_routes.routes(model_cache, state.queue, state.closing))
    app.include_router(openai_routes.routes(model_cache, run_index, state.queue, state.closing))
    app.include_router(static_files.routes())
    # FastAPI completes its routes when it first compares a request with them. Compare a request now, so that the
    # first request of a client is fast.
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})
    return Guard(app, state.access, state.queue.full, state.too_many_connections)


def server_about(folder: Path) -> wire.About:
    """Return what the page requests first: version, engine, recipes, settings of the form and limits."""
    recipes = [
        wire.RecipeAbout(
            name=recipe.name,
            purpose=recipe.purpose,
            cost=recipe.cost,
            minutes=recipe.minutes,
            nats=recipe.nats,
            settings=recipe.config.to_dict(),
        )
        for recipe in RECIPES.values()
    ]
    return wire.About(
        version=charloom_version(),
        engine=open_engine("auto").kind(),
        folder=folder.resolve().name,
        default_recipe=DEFAULT_RECIPE,
        recipes=recipes,
        settings=[setting_about(name) for name in wire.Settings.model_fields],
        limits={
            "upload": wire.UPLOAD_BODY,
            "prompt": wire.LONGEST_PROMPT,
            "length": wire.LONGEST_WRITING,
            "samples": wire.MOST_SAMPLES,
            "grid": wire.MOST_GRID_SIDE,
            "read": wire.LONGEST_READ,
            "map": wire.LONGEST_MAP,
            "followed": run_routes.MOST_FOLLOWED,
        },
    )


def setting_about(name: str) -> wire.SettingAbout:
    """Return the description of the setting `name` for the form that starts a run.

    The help text is that of the command line, and the bounds come from the schema `Settings`.
    """
    schema = wire.Settings.model_json_schema()["properties"][name]["anyOf"][0]
    choices = list(cell_names()) if name == "cell" else schema.get("enum")
    return wire.SettingAbout(
        name=name,
        help=for_page(help_of(name)),
        kind="choice" if choices else KINDS[schema["type"]],
        choices=choices,
        least=schema.get("minimum", schema.get("exclusiveMinimum")),
        most=schema.get("maximum", schema.get("exclusiveMaximum")),
        of_network=name in NETWORK,
        needs_model=name in UNKNOWN_CHARACTERS,
    )


class Server(uvicorn.Server):
    """A uvicorn server with limits on connections. SIGINT and SIGTERM end all streams immediately.

    Args:
        state: the shared objects of the application.
        ready: a function that is called as soon as the server accepts connections.
    """

    def __init__(self, state: AppState, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            make_app(state),
            loop="asyncio",
            http=Connection,
            ws="none",
            lifespan="off",
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=LONGEST_HEAD,
        )
        super().__init__(config)
        self.state = state
        self.state.connections = self.server_state.connections
        self.ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting: list[asyncio.Future[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        # uvicorn gets no sockets, because `Acceptor` accepts the connections. uvicorn would use asyncio's server,
        # which tries to accept again without a pause while no file descriptor is free.
        await super().startup([])
        self._accepting = [
            asyncio.ensure_future(self._acceptor(listening).run()) for listening in sockets or ()
        ]
        warming = self._loop.run_in_executor(None, self.state.warm_up)
        await asyncio.wait({warming}, timeout=WARMING_SECONDS)
        self.ready()

    def _acceptor(self, listening: socket.socket) -> Acceptor:
        def made() -> Connection:
            return Connection(self.config, self.server_state, self.lifespan.state)

        connections: set[Any] = self.server_state.connections
        return Acceptor(listening, made, connections, self.state.limits, self.state.shortage)

    async def on_tick(self, counter: int) -> bool:
        self.state.shortage.check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for accepting in self._accepting:
            accepting.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.state.closing.set)


def serve(
    folder: Path,
    host: str,
    port: int,
    open_page: bool,
    say: Callable[[str], None],
) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        folder: the folder of the runs. If it is itself a run directory, its parent folder is used.
        host: the address to listen at. On an address that is not loopback, requests need a token.
        port: the port; 0 takes a free port.
        open_page: whether to open a browser, if there is a screen.
        say: prints a message for the user.

    Raises:
        ConfigError: `folder` is a file, or the server cannot listen at the address.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give the folder that contains your runs.")
    if is_run(folder):
        folder = folder.resolve().parent
    listening = listen(host, port)
    port = listening.getsockname()[1]
    token = None if is_loopback(host) else secrets.token_urlsafe(32)
    # AppState contains objects of asyncio, and uvicorn's event loop does not run yet. That is allowed as long as
    # nothing waits for these objects.
    state = AppState(
        folder,
        AccessRules.of(host, port, token),
        limits=ConnectionLimits.within(raise_limit()),
        shortage=Shortage(say),
    )
    shown = socket.gethostname() if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}/" + (f"?token={token}" if token else "")

    def ready() -> None:
        say(f"the page is at {address}")
        there = "" if folder.exists() else ", which does not exist yet"
        say(
            f"it shows the runs in {folder}{there}. Ctrl-C stops the server; training runs continue."
        )
        if token is not None:
            say("other machines can reach the server; everybody who has this address can use it.")
        if open_page and has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    # The event loop needs Python's lock after each send and each wait. With Python's default, the event loop would
    # wait up to 5 ms for every computing thread.
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with listening:
            Server(state, ready).run(sockets=[listening])
    finally:
        sys.setswitchinterval(before)
        state.queue.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to `host` and `port`.

    uvicorn does not bind the socket, because it would only log that a port is in use.

    Raises:
        ConfigError: the address or the port cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"the server cannot listen at {shortened(host)}, port {port}: {reason}. Give another "
            f"{argument('port')}; 0 takes a free one."
        ) from None
    listening.setblocking(False)
    return listening


def has_screen() -> bool:
    """Return True if there is a graphical screen, on which a browser can open the page.

    Without such a screen, a text browser could start and take over the terminal.
    """
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
