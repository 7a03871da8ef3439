"""The routes of runs: the list, the journals of each, all of it as a live stream, and steering."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
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
from charloom.store.view import lengths_at, read_outline, sound_objects
from charloom.web import contract as wire
from charloom.web.answers import Plain
from charloom.web.limits import Counter
from charloom.web.mistakes import NotAllowedError
from charloom.web.paging import MOST, After, Limit, Skipped, page_after, page_from
from charloom.web.shelf import UNREADABLE, Seen, Shelf
from charloom.web.streams import EVENT_STREAM, EventStream, event
from charloom.web.tail import Tail

LOOK_SECONDS: Final = 0.25  # between two looks at the files
PING_SECONDS: Final = 10.0  # after which a silent stream says that it is alive
MOST_FOLLOWED: Final = 8
MOST_AT_FIRST: Final = 5_000  # records of a run when it begins to be followed
MANY: Final = 2_000  # lines of one event
FIRST_RUNS: Final = 200  # of the list, where nobody asks for more

JOURNALS: Final = (
    ("records", METRICS, is_record), ("samples", SAMPLES, is_sample), ("events", EVENTS, is_event),
)  # fmt: skip

RunKey = wire.Key


def routes(shelf: Shelf, watchers: Counter, closing: asyncio.Event) -> APIRouter:
    """The routes of runs."""
    router = APIRouter(tags=["runs"])

    @router.get("/api/runs")
    def list_runs(limit: Limit = FIRST_RUNS, after: After = None) -> wire.Runs:
        """The runs, those that changed last first, a page at a time."""
        seen = shelf.look()
        page = page_after(seen.runs, lambda run: run.key, limit, after)
        return wire.Runs(
            runs=list(page.items), total=seen.total, next=page.next, unread=seen.unread
        )

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
        lines, total = some_of(journal(shelf.path(run), METRICS, is_record, damage), most)
        found = thinned([record_of(line) for line in lines], most)
        return wire.Records(records=found, total=total, damage=list(map(for_page, damage)))

    @router.get("/api/runs/{run}/samples", response_model=wire.Samples)
    def samples(run: RunKey, limit: Limit = MOST, after: Skipped = 0) -> Plain:
        """The samples of a run, by update, a page at a time."""
        return Plain(page_of(shelf.path(run), SAMPLES, is_sample, "samples", limit, after))

    @router.get("/api/runs/{run}/events", response_model=wire.Events)
    def events(run: RunKey, limit: Limit = MOST, after: Skipped = 0) -> Plain:
        """What happened to a run, a page at a time."""
        return Plain(page_of(shelf.path(run), EVENTS, is_event, "events", limit, after))

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
        limit: Annotated[int, Query(ge=0, le=MOST)] = FIRST_RUNS,
    ) -> EventStream:
        """The first `limit` runs of the list, and the journals of those named, as they grow.

        Events: `runs`, `{runs, gone, total, unread, fresh}`: at once the first `limit` runs of the
        list, with `fresh` true, and then, whenever the list changes, those of its first `limit` that
        are new or changed, and the keys of runs that are gone; none where `limit` is 0. Of each run named
        `records`, `samples`, `events`, each `{run, fresh, …}`: where `fresh` is true, those of
        before count no more. The first `records` have `total`, how many there were before they were
        thinned.
        """
        paths = {key: await asyncio.to_thread(shelf.path, key) for key in run}
        return EventStream(watching(shelf, watchers, paths, limit), closing)

    return router


@asynccontextmanager
async def watching(
    shelf: Shelf, watchers: Counter, paths: dict[str, Path], limit: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The events of a stream, with a place among those who watch."""
    async with watchers.place():
        yield follow(shelf, paths, limit)


@lru_cache(maxsize=4)  # all who watch are told the same
def news(before: Seen | None, now: Seen, limit: int) -> bytes | None:
    """The event that tells what has changed in the list, or all of it where nothing was told before;
    None where nothing has."""
    first, gone = now.runs[:limit], list[str]()
    if before is not None:
        old = {run.key: run for run in before.runs[:limit]}
        first = [run for run in first if old.get(run.key) is not run and old.get(run.key) != run]
        gone = list({run.key for run in before.runs} - {run.key for run in now.runs})
        if not (first or gone) and (before.total, before.unread) == (now.total, now.unread):
            return None
    told = {
        "runs": [run.model_dump() for run in first],
        "gone": gone,
        "total": now.total,
        "unread": now.unread,
        "fresh": before is None,
    }
    return event("runs", told)


async def follow(shelf: Shelf, paths: dict[str, Path], limit: int) -> AsyncIterator[bytes]:
    """The list of runs and some runs' journals, again and again."""
    followed = [
        (kind, key, Tail(path / name, fits))
        for key, path in paths.items()
        for kind, name, fits in JOURNALS
    ]
    before: Seen | None = None
    first, silent = True, 0.0
    while True:
        said = False
        if limit:
            seen = await asyncio.to_thread(shelf.look)
            if seen is not before:
                found = await asyncio.to_thread(news, before, seen, limit)
                before = seen
                if found is not None:
                    said = True
                    yield found
        for kind, key, tail in followed:
            fresh, lines = False, list[dict[str, Any]]()
            with suppress(OSError):  # no file can be opened: the next look finds what is new
                fresh, lines = await asyncio.to_thread(tail.look)
            if not (lines or fresh or first):
                continue
            said = True
            more: dict[str, Any] = {}
            if kind == "records":
                lines = await asyncio.to_thread(readable, lines)
                if first:
                    more = {"total": len(lines)}
                    lines = thinned(lines, MOST_AT_FIRST)
            # The first event of each kind always comes, so that a page knows that there is nothing.
            at_once = max(len(lines), 1) if first else MANY
            for at in range(0, max(len(lines), 1), at_once):
                told = {"run": key, "fresh": (fresh or first) and not at, **more}
                yield await asyncio.to_thread(event, kind, {**told, kind: lines[at : at + at_once]})
        first = False
        silent = 0.0 if said else silent + LOOK_SECONDS
        if silent >= PING_SECONDS:
            silent = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def journal(
    run: Path, file: str, fits: Callable[[dict[str, Any]], bool], damage: list[str]
) -> Iterator[dict[str, Any]]:
    """The lines of a run's journal that can be read; a run that is starting has none yet.

    Args:
        damage: gets a marked message about those that cannot, or are lost.
    """
    saved = None if file == EVENTS else lengths_at(run)
    if saved is None and not (run / file).exists():
        return iter(())
    return sound_objects(run / file, fits, damage, saved=saved)


def page_of(
    run: Path, file: str, fits: Callable[[dict[str, Any]], bool], name: str, limit: int, after: int
) -> dict[str, Any]:
    """A page of a run's journal, as it is told."""
    damage: list[str] = []
    page = page_from(list(journal(run, file, fits, damage)), limit, after)
    told = {"total": page.total, "next": page.next, "damage": list(map(for_page, damage))}
    return {name: page.items, **told}


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


def readable(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records of some lines, as they are told; work for a thread."""
    return [record_of(line).model_dump() for line in lines]


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
