"""The routes of runs: the list of runs, the journals of a run, a live stream of both, and commands to runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from charloom import api
from charloom.errors import ConfigError
from charloom.gradient_check import read_checks
from charloom.messages import for_page
from charloom.run_file_names import EVENTS, METRICS, SAMPLES
from charloom.store import inspect_run
from charloom.store.format_versions import GRADCHECK_FORMAT
from charloom.store.intact_checkpoints import IntactCheckpoints
from charloom.store.journal_lines import is_event, is_record, is_sample
from charloom.store.journal_objects import sound_objects
from charloom.store.run_reader import lengths_at
from charloom.web import schemas as wire
from charloom.web.concurrency import StreamLimit
from charloom.web.error_responses import NotAllowedError
from charloom.web.event_stream import EVENT_STREAM, EventStream, event
from charloom.web.indexed_run import UNREADABLE
from charloom.web.journal_follower import Tail
from charloom.web.json_response import AsciiJSONResponse
from charloom.web.pagination import MOST, After, Limit, Skipped, page_after, page_from
from charloom.web.record_thinning import is_end, sample_records, thinned
from charloom.web.run_index import RunIndex, RunList

LOOK_SECONDS: Final = 0.25  # time between two readings of the list and the journals
PING_SECONDS: Final = 10.0  # a stream sends a comment after this time without an event
MOST_FOLLOWED: Final = 8
MOST_AT_FIRST: Final = 5_000  # largest number of records of a run in its first event
MANY: Final = 2_000  # largest number of lines in each later event
FIRST_RUNS: Final = 200  # runs on a page of the list, by default

# The file of each journal, and the function that returns True for a valid line.
JOURNALS: Final = {
    "records": (METRICS, is_record), "samples": (SAMPLES, is_sample), "events": (EVENTS, is_event),
}  # fmt: skip

RunKey = wire.Key


def routes(run_index: RunIndex, stream_limit: StreamLimit, closing: asyncio.Event) -> APIRouter:
    """Return the routes of runs."""
    router = APIRouter(tags=["runs"])
    router.include_router(journal_routes(run_index))
    known = IntactCheckpoints()

    @router.get("/api/runs")
    def list_runs(limit: Limit = FIRST_RUNS, after: After = None) -> wire.Runs:
        """Return a page of the list of runs, most recently changed first."""
        listed = run_index.read_list()
        page = page_after(listed.runs, lambda run: run.key, limit, after)
        return wire.Runs(
            runs=list(page.items), total=listed.total, next=page.next, unread=listed.unread
        )

    @router.get("/api/runs/{run}", response_model=wire.RunDetail)
    def one_run(run: RunKey) -> AsciiJSONResponse:
        """Return one run with its settings, its gradient checks and its long sample."""
        return AsciiJSONResponse(detail_of(run_index, run, known))

    @router.post("/api/runs/{run}/control")
    def control(run: RunKey, command: wire.Command) -> wire.Sent:
        """Pause, continue or stop a run, or change its learning rate. Any process may train it."""
        path = run_index.place(run).path
        try:
            sent = api.control(
                path, command.command, learning_rate_factor=command.learning_rate_factor
            )
        except ConfigError as error:
            raise NotAllowedError(error.message, "command") from None
        return wire.Sent.model_validate(sent, from_attributes=True)

    @router.get("/api/stream", status_code=200, response_class=EventStream, responses=EVENT_STREAM)
    async def stream(
        run: Annotated[list[wire.Key], Query(max_length=MOST_FOLLOWED)] = [],  # noqa: B006
        limit: Annotated[int, Query(ge=0, le=MOST)] = FIRST_RUNS,
    ) -> EventStream:
        """Stream the first `limit` runs of the list, and the journals of the runs in `run`.

        The event `runs` is `{runs, gone, total, unread, fresh}`. The first such event has the first `limit`
        runs, and its `fresh` is true. Each later event has those of the first `limit` runs that are new or
        changed, and in `gone` the keys of runs that were removed. With `limit` 0 there is no such event.

        The events `records`, `samples` and `events` of a run are `{run, fresh, …}`. If `fresh` is true, the
        event replaces all earlier events of this kind for the run. The first event `records` also has
        `total`, the number of records before thinning.
        """
        paths = {key: await asyncio.to_thread(run_index.path, key) for key in run}
        return EventStream(counted_stream(run_index, stream_limit, paths, limit), closing)

    return router


def journal_routes(run_index: RunIndex) -> APIRouter:
    """Return the routes of the journals of a run."""
    router = APIRouter()

    @router.get("/api/runs/{run}/records")
    def records(
        run: RunKey, most: Annotated[int, Query(ge=2, le=wire.MOST_RECORDS)] = 5_000
    ) -> wire.Records:
        """Return the records of a run, thinned to at most `most`.

        Thinning keeps the first and the last record. It prefers records at the end of an epoch and records
        with a validation loss.
        """
        damage: list[str] = []
        lines, total = sample_records(journal(run_index.path(run), "records", damage), most)
        found = [record_of(line) for line in thinned(lines, most)]
        return wire.Records(records=found, total=total, damage=list(map(for_page, damage)))

    @router.get("/api/runs/{run}/samples", response_model=wire.Samples)
    def samples(run: RunKey, limit: Limit = MOST, after: Skipped = 0) -> AsciiJSONResponse:
        """Return a page of the samples of a run, in the order of their updates."""
        return page_of(run_index.path(run), "samples", limit, after)

    @router.get("/api/runs/{run}/events", response_model=wire.Events)
    def events(run: RunKey, limit: Limit = MOST, after: Skipped = 0) -> AsciiJSONResponse:
        """Return a page of the events of a run."""
        return page_of(run_index.path(run), "events", limit, after)

    return router


def detail_of(run_index: RunIndex, run: str, known: IntactCheckpoints) -> dict[str, Any]:
    """Return the fields of the schema `RunDetail` for the run with the key `run`.

    Raise the errors of `RunIndex.run`. Checkpoints in `known` are intact and are not checked again.
    """
    place, listed = run_index.place_if_any(run), run_index.run(run)
    detail = wire.RunDetail(run=listed).model_dump()
    if place is not None and listed.state not in UNREADABLE:
        view, stored = inspect_run(place.path, known), read_checks(place.path)
        damage = [*view.damage, *([stored.damage] if stored.damage else [])]
        checks = [check.to_dict() for check in stored.checks]
        detail |= {
            "settings": view.config.to_dict(),
            "version": view.version,
            "engine": view.engine,
            "gradcheck": {"format": GRADCHECK_FORMAT, "checks": checks} if stored.begun else None,
            "passage": view.passage,
            "damage": list(map(for_page, damage)),
        }
    return detail


@asynccontextmanager
async def counted_stream(
    run_index: RunIndex, stream_limit: StreamLimit, paths: dict[str, Path], limit: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield an iterator over the events that `follow` yields.

    The stream is one of the open event streams, whose number is limited, during the `with` block.
    """
    async with stream_limit.place():
        yield follow(run_index, paths, limit)


@lru_cache(maxsize=4)  # all streams send the same event, so encode it only once
def list_changes(before: RunList | None, now: RunList, limit: int) -> bytes | None:
    """Return an event with the changes of the list from `before` to `now`; None if nothing has changed.

    Only the first `limit` runs of the list are compared. If `before` is None, the event has all `limit` runs.
    """
    first, gone = now.runs[:limit], list[str]()
    if before is not None:
        old = {run.key: run for run in before.runs[:limit]}
        first = [run for run in first if old.get(run.key) is not run and old.get(run.key) != run]
        gone = list({run.key for run in before.runs} - {run.key for run in now.runs})
        if not (first or gone) and (before.total, before.unread) == (now.total, now.unread):
            return None
    data = {
        "runs": [run.model_dump() for run in first],
        "gone": gone,
        "total": now.total,
        "unread": now.unread,
        "fresh": before is None,
    }
    return event("runs", data)


async def follow(run_index: RunIndex, paths: dict[str, Path], limit: int) -> AsyncIterator[bytes]:
    """Yield events with the changes of the list and of the journals of some runs, without end.

    Args:
        run_index: the list of runs.
        paths: the directories of the runs whose journals are sent, by key.
        limit: the number of runs at the top of the list that are sent; 0 sends no list.
    """
    followed = [
        (kind, key, Tail(path / name, fits))
        for key, path in paths.items()
        for kind, (name, fits) in JOURNALS.items()
    ]
    before: RunList | None = None
    first, silent = True, 0.0
    while True:
        active = False
        if limit:
            listed = await asyncio.to_thread(run_index.read_list)
            if listed is not before:
                found = await asyncio.to_thread(list_changes, before, listed, limit)
                before = listed
                if found is not None:
                    active = True
                    yield found
        for kind, key, tail in followed:
            fresh, lines = False, list[dict[str, Any]]()
            with suppress(OSError):  # without a free file descriptor, the lines are read next time
                fresh, lines = await asyncio.to_thread(tail.new_lines)
            if not (lines or fresh or first):
                continue
            active = True
            more: dict[str, Any] = {}
            if kind == "records":
                if first:
                    more = {"total": len(lines)}
                    lines = thinned(lines, MOST_AT_FIRST)
                lines = await asyncio.to_thread(readable, lines)
            # The first event for each journal is always sent, so that a page knows when a journal is empty.
            at_once = max(len(lines), 1) if first else MANY
            for at in range(0, max(len(lines), 1), at_once):
                data = {"run": key, "fresh": (fresh or first) and not at, **more}
                yield await asyncio.to_thread(event, kind, {**data, kind: lines[at : at + at_once]})
        first = False
        silent = 0.0 if active else silent + LOOK_SECONDS
        if silent >= PING_SECONDS:
            silent = 0.0
            yield b": still here\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def journal(run: Path, kind: str, damage: list[str]) -> Iterator[dict[str, Any]]:
    """Return the readable lines of a run's journal; no lines while the run is starting.

    Args:
        run: the run directory.
        kind: the key of the journal in `JOURNALS`.
        damage: a list to which messages about damaged or lost lines are added.
    """
    file, fits = JOURNALS[kind]
    saved = None if file == EVENTS else lengths_at(run)
    if saved is None and not (run / file).exists():
        return iter(())
    return sound_objects(run / file, fits, damage, saved=saved)


def page_of(run: Path, kind: str, limit: int, after: int) -> AsciiJSONResponse:
    """Return a response with a page of a run's journal.

    The field `kind` of the response has at most `limit` lines, after the first `after` lines. `run` and
    `kind` are as in `journal`.
    """
    damage: list[str] = []
    page = page_from(list(journal(run, kind, damage)), limit, after)
    body = {"total": page.total, "next": page.next, "damage": list(map(for_page, damage))}
    return AsciiJSONResponse({kind: page.items, **body})


def readable(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fields of the schema `Record` for each line of metrics.jsonl in `lines`."""
    return [record_of(line).model_dump() for line in lines]


def record_of(line: dict[str, Any]) -> wire.Record:
    """Return a line of metrics.jsonl as the server sends it. `is_record` must have accepted the line."""
    return wire.Record.model_validate({**line, "end": is_end(line["epoch"])})
