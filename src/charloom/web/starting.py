"""Starts or resumes a training from the page, in a process of its own.

It is `charloom train` and `charloom resume`, as a terminal would start them; the server's end is not
theirs. From the look whether there is room to the start, one request has its turn. It knows nothing
of how training works.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from typing import Final

from fastapi import APIRouter

from charloom.config import Config
from charloom.errors import RunExistsError, RunInUseError
from charloom.messages import option
from charloom.recipes import DEFAULT_RECIPE, RECIPES, configure
from charloom.spelling import shortened
from charloom.store.run import acquire
from charloom.web import contract as wire
from charloom.web.folder import key_of
from charloom.web.jobs import Jobs
from charloom.web.limits import Busy
from charloom.web.mistakes import NotAllowedError
from charloom.web.shelf import Shelf
from charloom.web.texts import FOLDER, TextShelf

MOST_AT_ONCE: Final = 4
RETRY_SECONDS: Final = 30
ENDS: Final = ("epochs", "updates", "minutes")


def routes(shelf: Shelf, texts: TextShelf, jobs: Jobs) -> APIRouter:
    """The routes that start a training."""
    router = APIRouter(tags=["training"])

    @router.post("/api/runs", status_code=202)
    def start(new: wire.NewRun) -> wire.Started:
        """Start a training in a process of its own. What is wrong with the text itself shows as
        the run's state `failed`, with the reason."""
        recipe = new.recipe or DEFAULT_RECIPE
        text = texts.find(new.text)
        given = new.settings.model_dump(exclude_none=True)
        settle(recipe, given)
        if new.name is not None:
            require_name(new.name)
        options = [
            word for setting, value in given.items() for word in (option(setting), str(value))
        ]
        with jobs.turn:
            require_room(jobs)
            for name in names(text.about.name) if new.name is None else (new.name,):
                path = shelf.folder.resolve() / name
                place = [option("run"), str(path), option("recipe"), recipe]
                command = ["train", *text.sources, *place, *options]
                try:
                    if os.path.lexists(path):
                        raise RunExistsError(
                            f"there is a run {shortened(name)} already; give another name."
                        )
                    jobs.start(name, command, text.about.name, recipe)
                except RunExistsError:
                    if new.name is not None:
                        raise
                else:
                    break
        shelf.look(anew=True)  # so that whoever asks next sees it
        return wire.Started(run=name)

    @router.post("/api/runs/{run}/resume", status_code=202)
    def resume(run: wire.Key, further: wire.GoOn) -> wire.Started:
        """Go on with a run that no process trains, in a process of its own."""
        ends = further.model_dump(exclude_none=True)
        if len(ends) > 1:
            raise NotAllowedError(
                f"{' and '.join(ends)} each set the end of training; give only one.", [*ends][1]
            )
        options = [word for end, value in ends.items() for word in (option(end), str(value))]
        with jobs.turn:
            require_room(jobs)
            shelf.look(anew=True)
            place, told = shelf.place(run), shelf.run(run)
            require_rest(told, ends)
            if (job := jobs.all().get(run)) is not None and job.alive:
                raise RunInUseError(f"{run} is in use: process {job.pid} trains it; wait a moment.")
            acquire(place.path).release()  # whoever else trains it holds its lock
            jobs.start(run, ["resume", str(place.path.resolve()), *options], told.text)
        shelf.look(anew=True)
        return wire.Started(run=run)

    @router.post("/api/runs/{run}/dismiss")
    def dismiss(run: wire.Key, _: wire.Nothing) -> wire.Dismissed:
        """Take a start off the list that came to nothing, and its log. No run is ever removed."""
        with jobs.turn:
            shelf.look(anew=True)
            if not shelf.run(run).dismissible:
                raise NotAllowedError(f"{run} is no start that came to nothing; it stays.")
            jobs.forget(jobs.all()[run])
        shelf.look(anew=True)
        return wire.Dismissed(run=run)

    return router


def require_rest(told: wire.Run, ends: dict[str, float]) -> None:
    """Refuse to go on with a run that is at work, damaged, or at its end already."""
    if not told.resumable:
        raise NotAllowedError(
            f"{told.key} is {told.state}; only a run that no process trains can go on."
        )
    if told.update is not None and ends.get("updates", told.update + 1) <= told.update:
        raise NotAllowedError(
            f"{told.key} has {told.update:,} updates already; give more than that.", "updates"
        )
    if told.state == "finished" and not ends:
        raise NotAllowedError(
            f"{told.key} is finished, at update {told.update:,}; to train it further, say for how "
            f"many minutes, or to how many epochs or updates.",
            "minutes",
        )


def require_name(name: str) -> None:
    """Refuse a name under which the list would not show the run, or that is taken by the texts."""
    if key_of(name) != name or name.casefold() == FOLDER:
        raise NotAllowedError(
            f"a run cannot be called {shortened(name)}; take letters, digits, and within it _, . and -.",
            "name",
        )


def require_room(jobs: Jobs) -> None:
    """Refuse a training where enough that were started here are at work."""
    running = sum(job.alive for job in jobs.all().values())
    if running >= MOST_AT_ONCE:
        raise Busy(
            f"{running} trainings that were started here are at work; stop one, or wait.",
            RETRY_SECONDS,
            status=429,
        )


def settle(recipe: str, given: dict[str, object]) -> Config:
    """The settings as they will be, so that what is wrong with them shows now.

    Raises:
        NotAllowedError: no such recipe, or more than one end.
        ConfigError: a value out of its range, or settings that contradict each other.
    """
    if recipe not in RECIPES:
        raise NotAllowedError(
            f"there is no recipe {shortened(recipe)}; there are {', '.join(RECIPES)}.", "recipe"
        )
    ends = [end for end in ENDS if end in given]
    if len(ends) > 1:
        raise NotAllowedError(
            f"{' and '.join(ends)} each set the end of training; give only one of them.",
            f"settings.{ends[1]}",
        )
    return configure(recipe, **{name: v for name, v in given.items() if name != "minutes"})


def names(text: str) -> Iterator[str]:
    """TEXT-1, TEXT-2, …: names for runs of a text, of letters without accents."""
    letters = unicodedata.normalize("NFKD", text.removesuffix(".txt"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", bare).strip("-")[:40]
    return (f"{plain or 'text'}-{n}" for n in count(1))
