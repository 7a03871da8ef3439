"""Puts the server together from its parts, runs it and closes it.

It listens where it is told to; a loopback address needs no token, any other gets one.
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
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from charloom.config import CHOICES, help_of
from charloom.engines import open_engine
from charloom.errors import CharloomError, ConfigError
from charloom.messages import argument
from charloom.recipes import DEFAULT_RECIPE, RECIPES
from charloom.spelling import shortened
from charloom.store import charloom_version
from charloom.store.layout import is_run
from charloom.web import completions, inside, pages, playing, runs, starting, texts
from charloom.web import contract as wire
from charloom.web.accepting import Acceptor
from charloom.web.answers import Plain
from charloom.web.connection import Connection
from charloom.web.descriptors import Room, Shortage, raise_limit
from charloom.web.guard import LONGEST_HEAD, Door, Guard, is_loopback
from charloom.web.jobs import Jobs
from charloom.web.library import Library
from charloom.web.limits import Busy, Counter, Desk
from charloom.web.mistakes import tell_mistakes
from charloom.web.shelf import Shelf, models_in
from charloom.web.texts import TextShelf

CLOSING_SECONDS: Final = 3
WARMING_SECONDS: Final = 1.0  # that reading a large model may hold up the start; it goes on after
KEEP_ALIVE_SECONDS: Final = 30
EVERYWHERE: Final = ("0.0.0.0", "::")  # addresses to listen at, which nobody can open
SWITCH_SECONDS: Final = 0.0005  # after which a thread that computes lets another have Python's lock

DESCRIPTION: Final = """Everything that charloom's page can do. A request's body is JSON, with its length in
`Content-Length` (status 411 without it). Errors have the body `{"error": {…}}`; the statuses 429 and 503 have
a `Retry-After` header. The routes of `/v1` work with OpenAI's clients."""


@dataclass
class House:
    """All that the routes share.

    Attributes:
        folder: where the runs are.
        door: whom the server lets in.
        desk: the room for work.
        room: how many connections there may be.
        shortage: what is told when no file can be opened.
        watchers: the room for those who only look.
        closing: set when the server closes; what streams ends then.
        jobs: the trainings that are started here.
        shelf: the runs and models of the folder.
        library: the models that are open.
        connections: those that there are now.
    """

    folder: Path
    door: Door
    desk: Desk = field(default_factory=Desk)
    room: Room = field(default_factory=lambda: Room.within(None))
    shortage: Shortage = field(default_factory=Shortage)
    watchers: Counter = field(init=False)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    jobs: Jobs = field(init=False)
    shelf: Shelf = field(init=False)
    library: Library = field(init=False)
    connections: Collection[Any] = ()

    def __post_init__(self) -> None:
        self.watchers = Counter(self.room.watchers)
        self.jobs = Jobs(self.folder)
        self.shelf = Shelf(self.folder, self.jobs, self.shortage)
        self.library = Library(self.shelf)

    def crowded(self) -> Busy | None:
        """Why nobody is answered now; None where everybody is."""
        if len(self.connections) <= self.room.answered:
            return None
        return Busy(
            f"the server has {len(self.connections)} connections, more than it answers; close some pages, or try again later."
        )

    def warm_up(self) -> None:
        """Let the model that the page offers first write a little, so that whoever asks first need
        not wait until it is read, and read all runs; what cannot be read is told to whoever asks."""
        with suppress(CharloomError, OSError):
            for model in models_in(self.shelf.look())[:1]:
                asked = wire.Generate(model=model.id, length=1, probabilities=True)
                playing.Author.of(self.library.open(model.id), asked).next()
        with suppress(CharloomError, OSError):
            while self.shelf.look(anew=True).unread and not self.closing.is_set():
                pass


def make_app(house: House) -> Guard:
    """The application behind its door."""
    jobs, shelf, library = house.jobs, house.shelf, house.library
    kept = TextShelf(shelf)
    version = charloom_version()
    app = FastAPI(
        title="charloom",
        version=version,
        description=DESCRIPTION,
        docs_url=None,  # its page comes from elsewhere, which this server never asks for anything
        redoc_url=None,
        openapi_url=None,
        default_response_class=Plain,
        responses={
            "4XX": {"model": wire.Refusal, "description": "what was wrong, and how to fix it"},
            503: {"model": wire.Refusal, "description": "the server is busy; see Retry-After"},
        },
    )
    tell_mistakes(app, house.shortage)

    @app.get("/api/health", tags=["server"])
    async def health() -> wire.Health:
        """That the server answers, and how busy it is."""
        return wire.Health(
            ok=True,
            version=version,
            writing=house.desk.working,
            waiting=house.desk.queued,
        )

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> Plain:
        """All of this; made when it is first asked for, by a thread, for it takes a moment."""
        return Plain(app.openapi())

    @app.get("/api/about", tags=["server"], response_model=wire.About)
    def about() -> Plain:
        """Version, engine, recipes, settings and limits."""
        return Plain(about_us(house.folder).model_dump())

    app.include_router(runs.routes(shelf, house.watchers, house.closing))
    app.include_router(texts.routes(kept))
    app.include_router(starting.routes(shelf, kept, jobs))
    app.include_router(playing.routes(library, shelf, house.desk, house.closing))
    app.include_router(inside.routes(library, house.desk, house.closing))
    app.include_router(completions.routes(library, shelf, house.desk, house.closing))
    app.include_router(pages.routes())
    # FastAPI finishes the routes of a router when a request first comes by: not at a visitor's cost.
    for route in app.routes:
        route.matches({"type": "http", "method": "GET", "path": "/", "headers": []})
    return Guard(app, house.door, house.desk.full, house.crowded)


def about_us(folder: Path) -> wire.About:
    """What a page needs to know before it shows anything."""
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
        engine=open_engine("auto", 1).describe(),
        folder=folder.resolve().name,
        default_recipe=DEFAULT_RECIPE,
        recipes=recipes,
        settings=[setting_about(name) for name in wire.Settings.model_fields],
        limits={
            "upload": wire.UPLOAD_BODY,
            "prompt": wire.LONGEST_PROMPT,
            "length": wire.LONGEST_WRITING,
            "read": wire.LONGEST_READ,
            "map": wire.LONGEST_MAP,
            "followed": runs.MOST_FOLLOWED,
        },
    )


def setting_about(name: str) -> wire.SettingAbout:
    """A setting of the form: its help from the config, its bounds from the contract."""
    schema = wire.Settings.model_json_schema()["properties"][name]["anyOf"][0]
    help = "train for about this many minutes, instead of a number of epochs or updates"
    if name != "minutes":
        help = help_of(name)
    if name in CHOICES:
        return wire.SettingAbout(name=name, help=help, kind="choice", choices=list(CHOICES[name]))
    return wire.SettingAbout(
        name=name,
        help=help,
        kind="whole" if schema["type"] == "integer" else "number",
        least=schema.get("minimum", schema.get("exclusiveMinimum")),
        most=schema.get("maximum", schema.get("exclusiveMaximum")),
    )


class Server(uvicorn.Server):
    """uvicorn, kept within bounds, which tells all streams at once when it is to close.

    Args:
        house: what it serves.
        ready: called when it listens.
    """

    def __init__(self, house: House, ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            make_app(house),
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
        self.house = house
        self.house.connections = self.server_state.connections
        self.ready = ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._accepting: list[asyncio.Future[None]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup([])  # uvicorn would have asyncio accept, which spins in a shortage
        self._accepting = [
            asyncio.ensure_future(self._acceptor(listening).run()) for listening in sockets or ()
        ]
        warming = self._loop.run_in_executor(None, self.house.warm_up)
        await asyncio.wait({warming}, timeout=WARMING_SECONDS)
        self.ready()

    def _acceptor(self, listening: socket.socket) -> Acceptor:
        def made() -> Connection:
            return Connection(self.config, self.server_state, self.lifespan.state)

        connections: set[Any] = self.server_state.connections
        return Acceptor(listening, made, connections, self.house.room, self.house.shortage)

    async def on_tick(self, counter: int) -> bool:
        self.house.shortage.check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for accepting in self._accepting:
            accepting.cancel()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.house.closing.set)


def serve(
    folder: Path,
    host: str,
    port: int,
    open_page: bool,
    say: Callable[[str], None],
) -> None:
    """Serve the page until SIGINT or SIGTERM.

    Args:
        folder: where the runs are; one run stands for the folder that it is in.
        host: the address to listen at; one that is not loopback gets a token.
        port: the port; 0 takes a free one.
        open_page: whether to open a browser, where there is a screen.
        say: what tells the user where the page is.

    Raises:
        ConfigError: the folder is a file, or the address cannot be listened at.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give the folder that contains your runs.")
    if is_run(folder):
        folder = folder.resolve().parent
    listening = listen(host, port)
    port = listening.getsockname()[1]
    token = None if is_loopback(host) else secrets.token_urlsafe(32)
    # Events belong to the loop that runs; uvicorn makes it, and nothing here waits before.
    house = House(
        folder,
        Door.of(host, port, token),
        room=Room.within(raise_limit()),
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

    # The loop asks for Python's lock after each send and each wait: it must not stand in line for 5 ms
    # behind every thread that computes.
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        with listening:
            Server(house, ready).run(sockets=[listening])
    finally:
        sys.setswitchinterval(before)
        house.desk.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port that is taken is a sentence, and no log.

    Raises:
        ConfigError: it cannot be listened at.
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
    """Whether a browser would be seen: none that draws letters shall take the terminal."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
