"""Runs over the wire: the list, each one's journals, all of it as a live stream, and its steering."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from charloom import api
from charloom.errors import ConfigError
from charloom.evenly import Spread
from charloom.gradcheck import read_checks
from charloom.messages import for_page
from charloom.store.formats import GRADCHECK_FORMAT
from charloom.store.layout import EVENTS, METRICS, SAMPLES
from charloom.store.lines import is_event, is_record, is_sample
from charloom.store.view import read_outline, sound_objects
from charloom.web import contract as wire
from charloom.web.answers import Plain
from charloom.web.limits import Counter
from charloom.web.mistakes import NotAllowedError
from charloom.web.shelf import UNREADABLE, Shelf
from charloom.web.streams import EVENT_STREAM, EventStream, event
from charloom.web.tail import Tail

LOOK_SECONDS: Final = 0.25  # between two looks at the files
PING_SECONDS: Final = 10.0  # after which a silent stream says that it is alive
MOST_FOLLOWED: Final = 8
MOST_AT_FIRST: Final = 5_000  # records of a run when it begins to be followed
MANY: Final = 2_000  # lines of one event

JOURNALS: Final = (
    ("records", METRICS, is_record), ("samples", SAMPLES, is_sample), ("events", EVENTS, is_event),
)  # fmt: skip

RunKey = wire.Key


def routes(shelf: Shelf, watchers: Counter, closing: asyncio.Event) -> APIRouter:
    """The routes of runs."""
    router = APIRouter(tags=["runs"])

    @router.get("/api/runs")
    def list_runs() -> wire.Runs:
        """All runs, those that changed last first."""
        return wire.Runs(runs=shelf.runs())

    @router.get("/api/runs/{run}", response_model=wire.RunDetail)
    def one_run(run: RunKey) -> Plain:
        """One run, with its settings, its gradient check and its long passage."""
        place, told = shelf.place_if_any(run), shelf.run(run)
        detail = wire.RunDetail(run=told).model_dump()
        if place is not None and told.state not in UNREADABLE:
            damage: list[str] = []
            view, stored = read_outline(place.path, damage), read_checks(place.path)
            damage += [stored.damage] if stored.damage else []
            checks = [check.to_dict() for check in stored.checks]
            detail |= {
                "settings": view.config.to_dict(),
                "version": view.version,
                "engine": view.engine,
                "gradcheck": {"format": GRADCHECK_FORMAT, "checks": checks}
                if stored.begun
                else None,
                "passage": view.passage,
                "damage": list(map(for_page, damage)),
            }
        return Plain(detail)

    @router.get("/api/runs/{run}/records")
    def records(
        run: RunKey, most: Annotated[int, Query(ge=2, le=wire.MOST_RECORDS)] = 5_000
    ) -> wire.Records:
        """The records of a run. Thinned ones keep the first, the last, and every end of an epoch
        and judgement as far as they fit."""
        damage: list[str] = []
        lines, total = some_of(journal(shelf.path(run) / METRICS, is_record, damage), most)
        found = thinned([record_of(line) for line in lines], most)
        return wire.Records(records=found, total=total, damage=list(map(for_page, damage)))

    @router.get("/api/runs/{run}/samples", response_model=wire.Samples)
    def samples(run: RunKey) -> Plain:
        """The samples of a run, by update."""
        damage: list[str] = []
        found = list(journal(shelf.path(run) / SAMPLES, is_sample, damage))
        return Plain({"samples": found, "damage": list(map(for_page, damage))})

    @router.get("/api/runs/{run}/events", response_model=wire.Events)
    def events(run: RunKey) -> Plain:
        """What happened to a run."""
        damage: list[str] = []
        found = list(journal(shelf.path(run) / EVENTS, is_event, damage))
        return Plain({"events": found, "damage": list(map(for_page, damage))})

    @router.post("/api/runs/{run}/control")
    def control(run: RunKey, command: wire.Command) -> wire.Sent:
        """Pause, continue or stop a run, or change how fast it learns, whoever trains it."""
        path = shelf.place(run).path
        try:
            sent = api.control(
                path, command.command, learning_rate_factor=command.learning_rate_factor
            )
        except ConfigError as error:
            raise NotAllowedError(error.message, "command") from None
        return wire.Sent(
            sequence=sent.sequence,
            command=sent.command,
            learning_rate_factor=sent.learning_rate_factor,
        )

    @router.get("/api/stream", status_code=200, response_class=EventStream, responses=EVENT_STREAM)
    async def stream(
        run: Annotated[list[wire.Key], Query(max_length=MOST_FOLLOWED)] = [],  # noqa: B006
    ) -> EventStream:
        """The list of runs, and the journals of those named, as they grow.

        Events: `runs` (the whole list, at once and whenever it changes); of each run named
        `records`, `samples`, `events`, each `{run, fresh, …}`: where `fresh` is true, those of
        before count no more.
        """
        paths = {key: await asyncio.to_thread(shelf.path, key) for key in run}
        return EventStream(watching(shelf, watchers, paths), closing)

    return router


@asynccontextmanager
async def watching(
    shelf: Shelf, watchers: Counter, paths: dict[str, Path]
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The events of a stream, with a place among those who watch."""
    async with watchers.place():
        yield follow(shelf, paths)


async def follow(shelf: Shelf, paths: dict[str, Path]) -> AsyncIterator[bytes]:
    """The list of runs and some runs' journals, again and again."""
    followed = [
        (kind, key, Tail(path / name, fits))
        for key, path in paths.items()
        for kind, name, fits in JOURNALS
    ]
    before: list[wire.Run] | None = None
    first, silent = True, 0.0
    while True:
        said = False
        runs = await asyncio.to_thread(shelf.runs)
        if runs != before:
            before, said = runs, True
            yield event("runs", {"runs": [run.model_dump() for run in runs]})
        for kind, key, tail in followed:
            fresh, lines = False, list[dict[str, Any]]()
            with suppress(OSError):  # no file can be opened: the next look finds what is new
                fresh, lines = await asyncio.to_thread(tail.look)
            if not (lines or fresh or first):
                continue
            said = True
            if kind == "records":
                lines = [record_of(line).model_dump() for line in lines]
                if first:
                    lines = thinned(lines, MOST_AT_FIRST)
            # The first event of each kind always comes, so that a page knows that there is nothing.
            for at in range(0, max(len(lines), 1), MANY):
                part = lines[at : at + MANY]
                yield event(kind, {"run": key, "fresh": (fresh or first) and not at, kind: part})
        first = False
        silent = 0.0 if said else silent + LOOK_SECONDS
        if silent >= PING_SECONDS:
            silent = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def journal(
    path: Path, fits: Callable[[dict[str, Any]], bool], damage: list[str]
) -> Iterator[dict[str, Any]]:
    """The lines of a journal that can be read; a run that is starting has none yet.

    Args:
        damage: gets a marked message about those that cannot.
    """
    return sound_objects(path, fits, damage) if path.exists() else iter(())


def some_of(lines: Iterable[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], int]:
    """At least as many records as `thinned` takes, evenly spread, and how many there are; a journal may
    have millions, so few are held at a time."""
    special: Spread[dict[str, Any]] = Spread(2 * most)
    others: Spread[dict[str, Any]] = Spread(2 * most)
    for line in lines:
        matters = is_end(line["epoch"]) or line.get("validation_nats") is not None
        (special if matters else others).add(line)
    kept = [*special.kept(), *others.kept()]
    return sorted(kept, key=lambda line: int(line["update"])), special.total + others.total


def record_of(line: dict[str, Any]) -> wire.Record:
    """A record as it is sent, of a line that `is_record` has accepted."""
    return wire.Record.model_validate({**line, "end": is_end(line["epoch"])})


def is_end(epoch: float) -> bool:
    """Whether a record of this epoch was made where an epoch ended."""
    return epoch >= 1 and float(epoch).is_integer()


def thinned(records: list[Any], most: int) -> list[Any]:
    """At most so many records: the first, the last, ends and judgements before all others."""
    if len(records) <= most:
        return records

    def matters(record: Any) -> bool:
        values = record if isinstance(record, dict) else vars(record)
        return bool(values["end"]) or values["validation_nats"] is not None

    special = [n for n, record in enumerate(records) if matters(record)]
    if len(special) > most // 2:
        special = spread(special, most // 2)
    kept = {*special, *spread(range(len(records)), most - len(special))}
    return [records[n] for n in sorted(kept)]


def spread(items: Any, count: int) -> list[int]:
    """So many of some items, the first and the last among them, evenly."""
    if count <= 1:
        return [items[-1]]
    return [items[round(n * (len(items) - 1) / (count - 1))] for n in range(count)]
