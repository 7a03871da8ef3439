"""The routes of runs: the list, the journals of a run, live changes of the list and journals, and commands to runs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import ValidationError

from charloom.api import run_control
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
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.search_plot_range import plot_range
from charloom.training.stored_search import read_search
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
from charloom.web.training_jobs import Job

LOOK_SECONDS: Final = 0.25  # a stream looks for changes of the list and of the journals this often
# after this time without an event, a stream sends a line that clients ignore
PING_SECONDS: Final = 10.0
MOST_FOLLOWED: Final = 8
MOST_AT_FIRST: Final = 5_000  # largest number of records in a stream's first event about a run
MANY: Final = 2_000  # largest number of journal lines in a later event of a stream
FIRST_RUNS: Final = 200  # the number of runs on a page of the list, by default

# For each journal of a run: its file, and the function that returns True for a valid line of the file.
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
        """Return a run, its settings, its gradient checks, the search for its learning rate, and its long sample.

        The run wrote the long sample at its end.
        """
        return AsciiJSONResponse(detail_of(run_index, run, known))

    @router.post("/api/runs/{run}/control")
    def control(run: RunKey, command: wire.Command) -> wire.Sent:
        """Pause, continue or stop a run, or change its learning rate.

        The process that trains the run need not have been started by this server. A run that is starting, for example
        while its learning rate is searched, can only be stopped.
        """
        place, job = run_index.place_if_any(run), starting_job(run_index, run)
        if job is not None and (command.command == "stop" or place is None):
            return stop_start(run_index, job, command)
        path = run_index.place(run).path
        try:
            sent = run_control.control(
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

        The event `runs` is `{runs, gone, total, unread, fresh}`. In the first event `runs`, the field `runs` has
        the first `limit` runs, and `fresh` is true. In later events `runs`, the field `runs` has only new and
        changed runs among the first `limit` runs, and `gone` has the keys of removed runs. If `limit` is 0, no
        event `runs` is sent. `total` is the number of all runs, and `unread` is the number of runs that the
        server has not read yet.

        The event `records` is `{run, fresh, records}` with new records of the run whose key is `run`. The events
        `samples` and `events` have the field `samples` or `events` instead of `records`. If `fresh` is true, the
        client must delete the lines that it received before in events with this name for this run. The first
        event `records` of a run has at most 5,000 records, and also the field `total`, the number of records from
        which they were selected. In a very long journal, later events bring the remaining records.
        """
        paths = {key: await asyncio.to_thread(run_index.path, key) for key in run}
        return EventStream(counted_stream(run_index, stream_limit, paths, limit), closing)

    return router


def starting_job(run_index: RunIndex, run: str) -> Job | None:
    """Return the job of a run that is starting; None if no process that a server started is starting it.

    Raises:
        NotFoundError: no run has the key `run`.
    """
    if run_index.run(run).state != "starting":
        return None
    job = run_index.jobs.all().get(run)
    return job if job is not None and job.alive else None


def stop_start(run_index: RunIndex, job: Job, command: wire.Command) -> wire.Sent:
    """Stop the process of a job whose run is starting.

    Raises:
        NotAllowedError: the command is not to stop.
    """
    if command.command != "stop":
        raise NotAllowedError(f"{job.run} is starting; it can only be stopped.", "command")
    run_index.jobs.cancel(job)
    return wire.Sent(sequence=0, command="stop", learning_rate_factor=None)


def journal_routes(run_index: RunIndex) -> APIRouter:
    """Return the routes of the journals of a run."""
    router = APIRouter()

    @router.get("/api/runs/{run}/records")
    def records(
        run: RunKey, most: Annotated[int, Query(ge=2, le=wire.MOST_RECORDS)] = 5_000
    ) -> wire.Records:
        """Return the records of a run; if there are more than `most` records, a selection of at most `most` of them.

        The selected records are evenly spread. The last record is always selected; the first record is selected
        if `most` is 3 or more. Records at the end of an epoch and records with a validation loss are preferred.
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
        """Return a page of the events of a run, such as its start or a pause."""
        return page_of(run_index.path(run), "events", limit, after)

    return router


def detail_of(run_index: RunIndex, run: str, known: IntactCheckpoints) -> dict[str, Any]:
    """Return the fields of the schema `RunDetail` for the run with the key `run`.

    `known` stores which checkpoints are intact, so that no checkpoint is checked again.

    Raises:
        NotFoundError: no run has the key `run`.
    """
    place, listed = run_index.place_if_any(run), run_index.run(run)
    detail = wire.RunDetail(run=listed, request=request_of(run_index, run)).model_dump()
    if place is not None and listed.state not in UNREADABLE:
        view, stored = inspect_run(place.path, known), read_checks(place.path)
        found = read_search(place.path)
        damage = [*view.damage, *filter(None, (stored.damage, found.damage))]
        checks = [check.to_dict() for check in stored.checks]
        detail |= {
            "settings": view.config.to_dict(),
            "version": view.version,
            "engine": view.engine,
            "gradcheck": {"format": GRADCHECK_FORMAT, "checks": checks} if stored.begun else None,
            "search": None if found.search is None else search_detail(found.search),
            "passage": view.passage,
            "damage": list(map(for_page, damage)),
        }
    return detail


def request_of(run_index: RunIndex, run: str) -> wire.NewRun | None:
    """Return the request that started a run on this server; None if it is not known or its file was changed."""
    job = run_index.jobs.all().get(run)
    try:
        return None if job is None or job.request is None else wire.NewRun(**job.request)
    except (ValidationError, TypeError):
        return None


def search_detail(search: LearningRateSearch) -> dict[str, Any]:
    """Return the fields of the schema `RateSearch` for a search."""
    return {**search.to_dict(), "plot": asdict(plot_range(search))}


@asynccontextmanager
async def counted_stream(
    run_index: RunIndex, stream_limit: StreamLimit, paths: dict[str, Path], limit: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield an iterator over the events of a stream. Inside the `with` block, the stream counts as open.

    Args:
        run_index: the list of runs.
        stream_limit: limits the number of open streams.
        paths: by key, the directories of the runs whose journals are sent.
        limit: how many runs, from the beginning of the list, are sent; 0 sends no list.

    Raises:
        Busy: too many streams are open.
    """
    async with stream_limit.place():
        yield follow(run_index, paths, limit)


@lru_cache(maxsize=4)  # all streams send the same event, so the event is encoded only once
def list_changes(before: RunList | None, now: RunList, limit: int) -> bytes | None:
    """Return an event with the changes between the lists `before` and `now`; None if nothing has changed.

    New and changed runs are only sent if they are among the first `limit` runs of the list; the keys of removed
    runs are always sent. If `before` is None, the event has the first `limit` runs.
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
    """Yield events with the changes of the list of runs and of the journals of some runs, without end.

    Args:
        run_index: the list of runs.
        paths: by key, the directories of the runs whose journals are sent.
        limit: how many runs, from the beginning of the list, are sent; 0 sends no list.
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
            # If no file descriptor is free, the new lines of the journal are read in the next round of the loop.
            with suppress(OSError):
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
            # The first event for each journal is sent even if it has no lines, so that the page knows that the
            # journal is empty.
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
    """Return an iterator over the readable lines of a run's journal; no lines while the run is starting.

    Args:
        run: the run directory.
        kind: which journal to read: "records", "samples" or "events".
        damage: a list to which messages about damaged or lost lines are added.
    """
    file, fits = JOURNALS[kind]
    saved = None if file == EVENTS else lengths_at(run)
    if saved is None and not (run / file).exists():
        return iter(())
    return sound_objects(run / file, fits, damage, saved=saved)


def page_of(run: Path, kind: str, limit: int, after: int) -> AsciiJSONResponse:
    """Return a response with a page of a run's journal.

    Args:
        run: the run directory.
        kind: which journal to send: "records", "samples" or "events"; also the name of the field with the lines.
        limit: the largest number of lines on the page.
        after: the number of lines of the journal before the page.
    """
    damage: list[str] = []
    page = page_from(list(journal(run, kind, damage)), limit, after)
    body = {"total": page.total, "next": page.next, "damage": list(map(for_page, damage))}
    return AsciiJSONResponse({kind: page.items, **body})


def readable(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the fields of the schema `Record` for each of `lines`, the valid lines of metrics.jsonl."""
    return [record_of(line).model_dump() for line in lines]


def record_of(line: dict[str, Any]) -> wire.Record:
    """Return `line`, a valid line of metrics.jsonl, as an object of the schema `Record`."""
    return wire.Record.model_validate({**line, "end": is_end(line["epoch"])})
